"""``kvwire experiment run --preset``: all rows of the matrix that a machine can measure, by one command."""

import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from kvwire.cli import experiment_dry_run
from kvwire.cli.experiment_groups import Given, Group, grouped
from kvwire.cli.experiment_matrix import write_states
from kvwire.cli.experiment_measure import measured
from kvwire.cli.experiment_run import run_all
from kvwire.cli.experiment_services import started
from kvwire.errors import InvalidRequestError, NotFoundError

if TYPE_CHECKING:
    from experiments.engines.base import Engine
    from experiments.plan import Plan
    from experiments.schedule import Schedule

SCHEDULE = "schedule.json"
# What may be spent on making fusers, of the time that is given; later runs find them made.
_MAKING_SHARE = 0.75
# Of what is left, for whatever was not foreseen; and how much longer than planned a recipe may take before it is
# stopped where it is.
_RESERVE, _SLACK, _SLACK_S = 0.05, 1.3, 15.0


@dataclass(frozen=True)
class Preset:
    """Which rows, by variant, and on what; ``within``: sizes follow from the time, otherwise every item is asked."""

    name: str
    variants: tuple[str, ...]
    within: bool = False
    on_gpu: bool = False


PRESETS = {
    preset.name: preset
    for preset in (
        Preset("local", ("-self", "-local"), within=True),
        Preset("full", ("-self", "-local")),
        Preset("h100", ("",), on_gpu=True),
    )
}


def dry_run(name: str, given: Given) -> None:
    """What ``kvwire experiment run --preset --dry-run`` does."""
    preset = preset_of(name)
    experiment_dry_run.dry_run(plans_of(preset, given), given, on_gpu=preset.on_gpu)


def command(name: str, minutes: float, out: Path, given: Given, engine: "Engine") -> None:
    """What ``kvwire experiment run --preset`` does."""
    preset = preset_of(name)
    given = _on_gpus(given) if preset.on_gpu else given
    run_preset(preset, plans_of(preset, given), minutes, out, given, engine)


def _on_gpus(given: Given) -> Given:
    """Sharers on the first GPU, receivers on the second, or both on the only one.

    Raises:
        NotFoundError: There is none.
    """
    import torch

    if not torch.cuda.is_available():
        raise NotFoundError("this preset needs a CUDA GPU; --dry-run tells what else, preset local needs none")
    return replace(
        given,
        devices=("cuda:0", f"cuda:{min(1, torch.cuda.device_count() - 1)}"),
        options=(*given.options, "--dtype", "bfloat16"),
    )


def preset_of(name: str) -> Preset:
    """A preset by name.

    Raises:
        InvalidRequestError: There is none of that name.
    """
    if name not in PRESETS:
        raise InvalidRequestError(f"no preset {name!r}; there are {', '.join(PRESETS)}")
    return PRESETS[name]


def plans_of(preset: Preset, given: Given) -> "list[Plan]":
    """All its recipes, with every item there is; those whose fusers take a training last, for that takes longest."""
    from experiments.matrix import recipes_of
    from experiments.needs import Trained
    from experiments.plan import plan_of
    from experiments.questions.load import load_questions

    named = sorted(
        recipes_of(*preset.variants),
        key=lambda each: any(isinstance(need, Trained) for need in each.recipe.needs.values()),
    )
    return [plan_of(each, load_questions(each, given.data, None)) for each in named]


def run_preset(
    preset: Preset, plans: "Sequence[Plan]", minutes: float, out: Path, given: Given, engine: "Engine"
) -> None:
    """Make what is needed, measure what an item takes, say what will be asked, and ask it; goes on if it was cut short.

    Raises:
        InvalidRequestError: The folder holds another preset or time.
    """
    from experiments.schedule import read_schedule

    ends = time.monotonic() + 60 * minutes
    out.mkdir(parents=True, exist_ok=True)
    schedule = read_schedule(out / SCHEDULE, preset.name, minutes)
    if not schedule.sizes:
        if preset.within and not schedule.left_out:
            schedule.left_out = _left_out(plans, given, _MAKING_SHARE * minutes)
        plans = [plan for plan in plans if plan.named.name not in schedule.left_out]
        for group in grouped([plan for plan in plans if plan.named.name not in schedule.speeds], given):
            _measure(group, schedule, engine)
            schedule.write(out / SCHEDULE)
        left_s = ends - time.monotonic() - sum(schedule.start_s.values())
        plans = [plan for plan in plans if plan.named.name in schedule.speeds]
        schedule.settle(plans, (1 - _RESERVE) * left_s if preset.within else float("inf"))
        schedule.write(out / SCHEDULE)
        least_s = sum(map(schedule.seconds, plans))
        if preset.within and least_s > left_s:
            left = max(0.0, left_s) / 60
            print(f"{left:.0f} minutes are left, the least takes {least_s / 60:.0f}; give more --minutes")
    plans = [plan for plan in plans if plan.named.name in schedule.sizes]
    tell(schedule, plans)
    try:
        _run([schedule.cut(plan) for plan in plans], schedule, out, ends if preset.within else None, given, engine)
    finally:
        write_states(out, given)


def tell(schedule: "Schedule", plans: "Sequence[Plan]") -> None:
    """What will be asked, how long it takes, and what it can show."""
    from experiments.schedule import resolution

    table = Table("recipe", "rows", "dataset", "arms", "items", "minutes", "smallest difference", box=SIMPLE_HEAD)
    total_s = 0.0
    for plan in plans:
        total_s += schedule.seconds(plan)
        for block in plan.blocks:
            items = schedule.sizes[plan.named.name][block.dataset]
            minutes = schedule.block_seconds(plan, block) / 60
            table.add_row(
                plan.named.name,
                " ".join(plan.named.recipe.row),
                block.dataset,
                str(len(block.arms)),
                f"{items} of {len(block.questions)}",
                f"{minutes:.1f}",
                str(resolution(block, items)),
            )
    console = Console(width=None if sys.stdout.isatty() else 200)
    console.print(table, highlight=False)
    print(f"about {total_s / 60:.0f} minutes of asking; the smallest difference is what 80 of 100 such runs would show")
    for recipe, why in schedule.left_out.items():
        print(f"left out: {recipe}: {why}")
    sys.stdout.flush()


def _left_out(plans: "Sequence[Plan]", given: Given, making_minutes_most: float) -> dict[str, str]:
    """Recipes whose fusers take too long to make, one after the other; a fuser that several need is made once."""
    from experiments.artifacts import Artifact, making_minutes

    chosen: list[Artifact] = []
    why = {}
    for plan in plans:
        own = given.needs_of(plan.named.recipe).artifacts
        minutes = making_minutes([*chosen, *own])
        if minutes is not None and minutes <= making_minutes_most:
            chosen += own
            continue
        takes = making_minutes(own)
        why[plan.named.name] = (
            f"making what it needs takes {'an unknown time' if takes is None else f'about {takes:.0f} minutes'}, "
            f"{making_minutes_most:.0f} are for all of it; first run: kvwire experiment make {plan.named.name}"
        )
    return why


def _measure(group: Group, schedule: "Schedule", engine: "Engine") -> None:
    """Start a group's services and ask a few items of each dataset."""
    import asyncio

    begun = time.monotonic()
    with engine.workers(partial(started, group.wanted)) as workers:
        found = asyncio.run(measured(group.plans, workers))
    schedule.speeds |= found.speeds
    schedule.left_out |= found.failed
    # Services start once for all recipes of a group.
    schedule.start_s[group.plans[0].named.name] = time.monotonic() - begun - found.asking_s


def _run(
    plans: "Sequence[Plan]", schedule: "Schedule", out: Path, ends: float | None, given: Given, engine: "Engine"
) -> None:
    import asyncio

    for group in grouped([plan for plan in plans if not _done(plan, out)], given):
        with engine.workers(partial(started, group.wanted)) as workers:
            for plan in group.plans:
                left_s = float("inf") if ends is None else ends - time.monotonic()
                if left_s <= 0:
                    print("the time is up; the same command goes on with what is left")
                    return
                limit_s = None if ends is None else min(_SLACK * schedule.seconds(plan) + _SLACK_S, left_s)
                asyncio.run(run_all([plan], workers, engine.facts, out, group.made, limit_s))


def _done(plan: "Plan", out: Path) -> bool:
    path = out / plan.named.name / "results.jsonl"
    return path.is_file() and path.read_bytes().count(b"\n") >= len(list(plan.keys()))
