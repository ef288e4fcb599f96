"""``kvwire experiment run --preset NAME --dry-run``: whether all of it can run here, and how long it would take."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import typer

from kvwire.cli.experiment_checks import checks
from kvwire.cli.experiment_groups import Given

if TYPE_CHECKING:
    from experiments.arms import Arm
    from experiments.plan import Plan

# Seconds per answer on one A100 as the literature has them (arXiv 2510.03215): 0.3 to 0.4 for a cache, 0.8 to 1.5 for
# text. Nobody has measured ours on a GPU: a guess to plan by.
_CACHE_S, _TEXT_S = 0.4, 1.5


def dry_run(plans: "Sequence[Plan]", given: Given, *, on_gpu: bool) -> None:
    """Print every recipe with its hours and what it needs; stop at the first thing that is missing.

    Raises:
        typer.Exit: Something is.
    """
    for plan in plans:
        recipe = plan.named.recipe
        print(f"{plan.named.name}: {recipe.title}; rows {', '.join(recipe.row)}{_hours(plan) if on_gpu else ''}")
        for check in checks(plan.named, given, on_gpu=on_gpu, ask_hub=True):
            print(f"  {'ok     ' if check.passed else 'MISSING'} {check.what}: {check.said}")
            if not check.passed:
                print(f"stopped: {plan.named.name} cannot run here without {check.what}")
                raise typer.Exit(1)
    print(f"all {len(plans)} recipes can run here")


def _hours(plan: "Plan") -> str:
    seconds = sum(len(block.questions) * sum(map(_seconds, block.arms)) for block in plan.blocks)
    return f"; about {seconds / 3600:.1f} hours, by latencies the literature has for an A100"


def _seconds(arm: "Arm") -> float:
    from kvwire.requests import Method

    return _TEXT_S if arm.method is Method.TEXT else _CACHE_S
