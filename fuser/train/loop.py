"""The training loop: Adam with a rate that rises, then falls to 0, in steps that can be gone on with after any end."""

import csv
import json
import math
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from kvwire.errors import InvalidRequestError

#: Steps over which the rate rises, so that Adam's first estimates do no harm.
WARM_UP_STEPS = 20
LARGEST_NORM = 1.0
_BETAS = (0.9, 0.98)
#: A step takes seconds; a checkpoint of 13 million weights 0.1 to 0.6 s (measured 2026-11-23).
STEPS_PER_CHECKPOINT = 25


@dataclass(frozen=True)
class Schedule:
    """How long, and how fast: ``rate`` is the largest of the run, per step."""

    steps: int
    rate: float

    def rate_at(self, step: int) -> float:
        """Half a cosine."""
        return self.rate * min(1.0, (step + 1) / WARM_UP_STEPS) * (1 + math.cos(math.pi * step / self.steps)) / 2


@dataclass(frozen=True)
class Step:
    """One step that was taken; ``seconds``: since the training began, over all its runs."""

    step: int
    loss: float
    rate: float
    seconds: float


#: The loss of a step, given the module to compute it with and the step, from which alone it draws its examples.
Loss = Callable[[nn.Module, int], Tensor]


def train(
    module: nn.Module, loss: Loss, schedule: Schedule, folder: Path, about: Mapping[str, object]
) -> Iterator[Step]:
    """Take the steps that ``folder`` does not hold yet and yield each; the module ends as trained.

    ``folder`` keeps ``training.json``, which is ``about``, the last whole checkpoint, and in it ``losses.csv``; it is
    made if it is not there.

    Raises:
        InvalidRequestError: The folder is of a training about something else.
    """
    _bind(folder, about)
    accelerator = Accelerator(cpu=not torch.cuda.is_available())
    optimizer = torch.optim.Adam([p for p in module.parameters() if p.requires_grad], schedule.rate, betas=_BETAS)
    prepared, prepared_optimizer = accelerator.prepare(module, optimizer)
    taken = _resume(accelerator, folder)
    begun = time.monotonic() - (taken[-1].seconds if taken else 0.0)
    for step in range(len(taken), schedule.steps):
        for group in prepared_optimizer.param_groups:
            group["lr"] = schedule.rate_at(step)
        prepared_optimizer.zero_grad()
        found = loss(prepared, step)
        accelerator.backward(found)
        accelerator.clip_grad_norm_(prepared.parameters(), LARGEST_NORM)
        prepared_optimizer.step()
        taken.append(Step(step, float(found.detach()), schedule.rate_at(step), time.monotonic() - begun))
        if len(taken) % STEPS_PER_CHECKPOINT == 0 or len(taken) == schedule.steps:
            _keep(accelerator, folder, taken)
        yield taken[-1]


def losses(folder: Path) -> list[Step]:
    """The steps that a folder's last checkpoint has taken."""
    path = _newest(folder) / "losses.csv"
    if not path.exists():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return [
            Step(int(row["step"]), float(row["loss"]), float(row["rate"]), float(row["seconds"]))
            for row in csv.DictReader(file)
        ]


def _bind(folder: Path, about: Mapping[str, object]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    path, said = folder / "training.json", json.dumps(about, indent=1, sort_keys=True)
    if path.exists() and path.read_text(encoding="utf-8") != said:
        raise InvalidRequestError(f"{path} is about another training; name another folder with --work, or delete it")
    draft = path.with_suffix(".draft")
    draft.write_text(said, encoding="utf-8")
    draft.replace(path)


def _newest(folder: Path) -> Path:
    return max(folder.glob("step-*[0-9]"), key=lambda path: int(path.name.removeprefix("step-")), default=folder)


def _resume(accelerator: Accelerator, folder: Path) -> list[Step]:
    taken = losses(folder)
    if taken:
        accelerator.load_state(str(_newest(folder)))
    return taken


def _keep(accelerator: Accelerator, folder: Path, taken: list[Step]) -> None:
    """Write a checkpoint that is there whole or not at all, then drop the one before."""
    draft, kept, before = folder / "draft", folder / f"step-{len(taken)}", _newest(folder)
    shutil.rmtree(draft, ignore_errors=True)
    accelerator.save_state(str(draft), safe_serialization=True)
    with (draft / "losses.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(("step", "loss", "rate", "seconds"))
        writer.writerows((each.step, each.loss, each.rate, round(each.seconds, 3)) for each in taken)
    draft.replace(kept)
    if before not in (folder, kept):
        shutil.rmtree(before)
