"""A tiny pair and lm-eval's own model ``hf`` on the same weights, to be held against one another."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from lm_eval.models.huggingface import HFLM

from experiments.harness.model import KvwireLM
from kvwire.processes import Pair, running_pair


@dataclass(frozen=True)
class Both:
    """``wire(**arguments)`` and ``own(**arguments)`` make models that must agree."""

    sharer: str
    receiver: str
    wire: Callable[..., KvwireLM]
    own: Callable[..., HFLM]


@pytest.fixture(params=["llama", pytest.param("gemma", marks=pytest.mark.slow)])
def both(request):
    """Without BOS and with full attention, and with BOS and a sliding window."""
    return request.getfixturevalue(request.param)


@pytest.fixture(scope="module")
def llama(tiny_llama, tmp_path_factory):
    """The tiny Llama."""
    yield from started(tiny_llama, tmp_path_factory)


@pytest.fixture(scope="module")
def gemma(tiny_gemma, tmp_path_factory):
    """The tiny Gemma."""
    yield from started(tiny_gemma, tmp_path_factory)


@pytest.fixture(scope="module")
def real(smollm2, tmp_path_factory):
    """SmolLM2."""
    yield from started(smollm2.path, tmp_path_factory)


def started(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Both]:
    """A pair of a model with itself, at full precision, and a model store with nothing in it."""
    home, logs = tmp_path_factory.mktemp("home"), tmp_path_factory.mktemp("logs")
    arguments = ["--threads", "1", "--log-level", "warning"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KVWIRE_HOME", str(home))
        with running_pair(Pair(f"path:{folder}", f"path:{folder}"), arguments, log_dir=logs) as (sharer, receiver):

            def wire(**arguments: Any) -> KvwireLM:
                return KvwireLM(
                    **{"receiver": receiver.address, "tokenizer": f"path:{folder}", "codec": "fp32"} | arguments
                )

            @cache  # nothing changes it
            def own(**arguments: Any) -> HFLM:
                return HFLM(pretrained=str(folder), dtype="float32", device="cpu", **arguments)

            yield Both(sharer.address, receiver.address, wire, own)


ITEMS = (
    ("Which animal has feathers?", ("a dog", "a hen", "a fish"), 1),
    ("What falls from clouds?", ("sand", "rain", "smoke"), 1),
    ("What does a magnet attract?", ("iron", "paper"), 0),
    ("Which one is hot?", ("ice", "snow", "fog", "fire"), 3),
)


@pytest.fixture(scope="session")
def data(tmp_path_factory) -> Path:
    """A folder with ARC-Easy and OpenBookQA in their own formats, four items each."""
    folder = tmp_path_factory.mktemp("data")
    for name in ("arc", "openbookqa"):
        (folder / name).mkdir()
    arc, obqa = [], []
    for number, (question, choices, answer) in enumerate(ITEMS):
        labels = "ABCD"[: len(choices)]
        about = {"id": str(number), "answerKey": labels[answer]}
        arc.append(about | {"question": question, "choices": {"text": list(choices), "label": list(labels)}})
        told = [{"text": text, "label": label} for text, label in zip(choices, labels, strict=True)]
        obqa.append(about | {"question": {"stem": question, "choices": told}, "fact1": f"{choices[answer]} it is"})
    for split, theirs in (("train", "train"), ("validation", "dev"), ("test", "test")):
        _write(folder / "arc" / f"ARC-Easy-{split}.jsonl", arc)
        _write(folder / "openbookqa" / f"{theirs}_complete.jsonl", obqa)
    return folder


def _write(path: Path, rows: list[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
