"""``kvwire experiment run --preset NAME --dry-run``: whether all of it can run here, and how long it would take."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import typer

from kvwire.cli.experiment_checks import Check, absent, look
from kvwire.cli.experiment_groups import Given
from kvwire.errors import KvwireError

if TYPE_CHECKING:
    from experiments.arms import Arm
    from experiments.plan import Plan

# Seconds per answer on one A100 as the literature has them (arXiv 2510.03215): 0.3 to 0.4 for a cache, 0.8 to 1.5 for
# text. Nobody has measured ours on a GPU: a guess to plan by.
_CACHE_S, _TEXT_S = 0.4, 1.5


def dry_run(plans: "Sequence[Plan]", given: Given, *, on_gpu: bool) -> None:
    """Print the plan, look at everything that is here, then ask for what is not; stop at the first that is missing.

    Raises:
        typer.Exit: Something is.
    """
    seen = set[Check]()
    for plan in plans:
        recipe = plan.named.recipe
        print(f"{plan.named.name}: {recipe.title}; rows {', '.join(recipe.row)}{_hours(plan) if on_gpu else ''}")
        for check in look(plan.named, given, ask_hub=True):
            if check not in seen:
                print(f"  {'ok     ' if check.passed else 'MISSING'} {check.what}: {check.said}")
            if not check.passed:
                _stop(f"{plan.named.name} cannot run without {check.what}")
            seen.add(check)
    if on_gpu:
        print(f"all together about {sum(map(_seconds, plans)) / 3600:.0f} hours on one GPU, by those latencies")
    found: dict[str, str] = {}
    for plan in plans:
        for each in absent(plan.named, given, on_gpu=on_gpu):
            if each.what in found:
                continue
            try:
                found[each.what] = each.ask()
            except KvwireError as error:
                print(f"  MISSING {each.what}: {error}")
                _stop(f"{plan.named.name} needs {each.what}, which only {each.giver} can give")
            print(f"  ok      {each.what}: {found[each.what]}")
    print(f"all {len(plans)} recipes can run here")


def _stop(why: str) -> None:
    print(f"stopped: {why}")
    raise typer.Exit(1)


def _hours(plan: "Plan") -> str:
    return f"; about {_seconds(plan) / 3600:.1f} hours, by latencies the literature has for an A100"


def _seconds(plan: "Plan") -> float:
    return sum(len(block.questions) * sum(map(_answer_s, block.arms)) for block in plan.blocks)


def _answer_s(arm: "Arm") -> float:
    from kvwire.requests import Method

    return _TEXT_S if arm.method is Method.TEXT else _CACHE_S
