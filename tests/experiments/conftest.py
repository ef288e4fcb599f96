"""Results made up on the spot, and a tiny pair that is asked for real ones."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from experiments.arms import Arm, arms_of
from experiments.provenance import FORMAT
from experiments.recipe import Recipe
from experiments.report import write_report
from kvwire.processes import Pair, running_pair

RECIPE = Recipe.model_validate(
    {
        "title": "Made up <on> the spot",
        "datasets": [{"name": "pocket", "wrong_context": "all"}],
        "codecs": ["fp16", "int8", "int4"],
        "keep": [1, 0.5, 0.1],
        "selectors": ["recency", "front"],
        "seed": 7,
    }
)
_BITS = {"fp32": 32, "fp16": 16, "int8": 8.25, "int4": 4.25}


def made_up(arm: Arm, item: int, draw: np.random.Generator) -> dict:
    """A record of an arm: the fewer bits and tokens, the less of the context arrives."""
    bits, tokens = _BITS.get(arm.codec, 0), 40
    arrived = {"receiver_only": 0.0, "receiver_reads": 1.0, "verbatim": 1.0, "text": 0.3}.get(
        arm.name, (1 - 2 / (bits or 4)) * arm.keep**0.3
    )
    if arm.wrong_context:
        arrived = 0.05
    nll = 5 - 2 * arrived + 0.1 * draw.standard_normal() + item % 3
    payload = int(tokens * arm.keep * bits * 100) if bits else 60 * (arm.name in ("text", "verbatim"))
    compared = not (arm.reference or arm.wrong_context)
    return {
        "dataset": "pocket",
        "item": f"item-{item}",
        "arm": arm.name,
        "result": {
            "right": bool(draw.random() < 0.3 + 0.6 * arrived),
            "nll_nats": nll,
            "kl_nats": 1e-4 + (1 - arrived) ** 2 if compared else None,
            "same_top1": arrived if compared else None,
        },
        "error": None,
        "codec": arm.codec,
        # The sharer's tokens are smaller here than the receiver's.
        "tokens": {"context": 50, "slots": tokens if bits else 0},
        "bytes": {"payload": payload, "grpc": payload + 100, "values": tokens * 100 if bits else 0, "formula": 0.0}
        if payload
        else None,
        "measured": {
            "ttft_ms": 50.0,
            "e2e_ms": 90.0,
            "stages_ms": {},
            "socket_bytes": payload + 200 if payload else 0,
            "socket_isolated": True,
            "engine": "in-process",
        },
    }


Write = Callable[..., Path]


@pytest.fixture
def write_results(tmp_path) -> Write:
    """Write a run of so many items, so many of each document; ``change(record)`` may change each line."""

    def write(
        items: int = 30,
        name: str = "made-up",
        change: Callable[[dict], None] = lambda _: None,
        per_document: int = 1,
    ) -> Path:
        arms = arms_of(RECIPE, "all")
        draw = np.random.default_rng(3)
        records = [made_up(arm, item, draw) for item in range(items) for arm in arms]
        for record in records:
            change(record)
        card = {"id": "m", "weight_format": "f32", "compute_dtype": "float32", "weights_sha256": "ab" * 32}
        run = {
            "format": FORMAT,
            "begun": "2026-01-01T00:00:00+00:00",
            "recipe": {"name": name, "sha256": "cd" * 32, "text": ""},
            "title": RECIPE.title,
            "seed": RECIPE.seed,
            "datasets": [
                {
                    "name": "pocket",
                    "items": [f"item-{item}" for item in range(items)],
                    "clusters": [f"document-{item // per_document}" for item in range(items)],
                    "arms": [arm.to_json() for arm in arms],
                }
            ],
            "models": {"receiver": card, "sharer": card},
            "code": {"commit": None, "kvwire": "0"},
            "machine": {"cpu": "c", "cores": 2},
        }
        folder = tmp_path / "out" / name
        folder.mkdir(parents=True)
        (folder / "run.json").write_text(json.dumps(run))
        (folder / "results.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
        return folder

    return write


@pytest.fixture
def report(write_results) -> dict[str, Path]:
    """The files of a report of one run, by name."""
    folder = write_results()
    return {path.name: path for path in write_report(folder.parent)}


@dataclass(frozen=True)
class Addresses:
    """Where a running pair is."""

    sharer: str
    receiver: str


@pytest.fixture(scope="module")
def pair(tiny_llama: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Addresses]:
    """A tiny Llama on both sides; the sharer keeps what it has read, as in a real run."""
    home, logs = tmp_path_factory.mktemp("home"), tmp_path_factory.mktemp("logs")
    arguments = ["--threads", "1", "--log-level", "warning"]
    keeping = ["--reuse-bytes", str(64 << 20)]
    models = Pair(f"path:{tiny_llama}", f"path:{tiny_llama}")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KVWIRE_HOME", str(home))
        with running_pair(models, arguments, log_dir=logs, sharer_arguments=keeping) as (sharer, receiver):
            yield Addresses(sharer.address, receiver.address)
