"""Runs a peer's codecs for the bench: ``python exchange.py DRIVER MODEL``, by the python of the peer's environment.

May import: torch and safetensors, which every such environment has, and the driver; nothing of this project. A job is a
line of JSON on standard input, its answer a line on standard output; caches come and go as safetensors.

::

    -> {"codec": "cachegen", "cache": "a.safetensors", "decoded": "b.safetensors", "budget_s": 0.3}
    <- {"bytes": 1703936, "encode_s": 0.2, "decode_s": 0.3, "copy_s": 0.004}
    <- {"error": "AssertionError: ..."}

With ``"budget_s": null`` nothing is timed, and the three times are absent.
"""

import functools
import importlib.util
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file


def run(job: dict[str, Any], driver: Path, model: Path) -> dict[str, float]:
    """Encode, decode and save; the answer."""
    codec = _codec(driver, job["codec"], model)
    cache = load_file(job["cache"])
    encoded = codec.encode(cache)
    decoded = codec.decode(encoded)
    if hasattr(codec, "slots"):
        decoded["slots"] = codec.slots(encoded, cache)
    save_file({name: tensor.contiguous() for name, tensor in decoded.items()}, job["decoded"])
    answer = {"bytes": codec.size(encoded)}
    if job["budget_s"] is None:
        return answer
    return {
        **answer,
        "encode_s": _best_s(lambda: codec.encode(cache), job["budget_s"]),
        "decode_s": _best_s(lambda: codec.decode(encoded), job["budget_s"]),
        "copy_s": _best_s(lambda: (cache["keys"].clone(), cache["values"].clone()), job["budget_s"]),
    }


def _best_s(action: Callable[[], object], budget_s: float) -> float:
    """As ``bench.speed.best_s``, which is not to be had here; each action ran once before."""
    best, end = float("inf"), time.perf_counter() + budget_s
    while True:
        start = time.perf_counter()
        action()
        now = time.perf_counter()
        best = min(best, now - start)
        if now >= end:
            return best


@functools.cache
def _codec(driver: Path, codec: str, model: Path) -> Any:
    return _module(driver).make(codec, model)


@functools.cache
def _module(driver: Path) -> Any:
    spec = importlib.util.spec_from_file_location("driver", driver)
    if spec is None or spec.loader is None:
        message = f"{driver} is no Python file"
        raise ImportError(message)
    module = importlib.util.module_from_spec(spec)
    sys.modules["driver"] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def main() -> None:
    """Answer jobs until standard input ends."""
    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # libraries print; their lines are no answers
    driver, model = Path(sys.argv[1]), Path(sys.argv[2])
    for line in sys.stdin:
        try:
            answer: dict[str, Any] = run(json.loads(line), driver, model)
        except Exception as error:  # noqa: BLE001  # whatever a peer fails with is its row's reason
            answer = {"error": f"{type(error).__name__}: {error}"}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
