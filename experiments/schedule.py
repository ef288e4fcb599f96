"""What a preset will ask, as a file: speeds that were measured, sizes that follow from them, and what is left out.

Written once into the folder of the results, so that a run that was cut short goes on with the same sizes.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from experiments.plan import Block, Plan
from experiments.questions.choices import ChoiceQuestion
from experiments.questions.continuations import ContinuationQuestion
from experiments.resolution import Resolution, of_answers, of_choices, of_text
from experiments.sizes import Cost, divided
from kvwire.errors import InvalidRequestError

FORMAT = 1


@dataclass
class Schedule:
    """What is known so far.

    ``start_s``: what starting services takes, by the first recipe that runs on them. ``speeds``: seconds per item by
    recipe and dataset, asked arm by arm and together. ``sizes``: items, once they are settled. ``left_out``: why, by
    recipe.
    """

    preset: str
    minutes: float
    start_s: dict[str, float] = field(default_factory=dict)
    speeds: dict[str, dict[str, tuple[float, float]]] = field(default_factory=dict)
    sizes: dict[str, dict[str, int]] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)

    def settle(self, plans: Sequence[Plan], seconds: float) -> None:
        """Divide the seconds over all datasets whose speeds are known."""
        blocks = [(plan, block) for plan in plans for block in plan.blocks]
        costs = [self._cost(plan, block) for plan, block in blocks]
        for (plan, block), items in zip(blocks, divided(costs, seconds), strict=True):
            self.sizes.setdefault(plan.named.name, {})[block.dataset] = items

    def cut(self, plan: Plan) -> Plan:
        """The plan with as many items as are to be asked."""
        sizes = self.sizes[plan.named.name]
        return replace(
            plan,
            blocks=tuple(replace(block, questions=block.questions[: sizes[block.dataset]]) for block in plan.blocks),
        )

    def seconds(self, plan: Plan) -> float:
        """What a recipe is expected to take."""
        return sum(self.block_seconds(plan, block) for block in plan.blocks)

    def block_seconds(self, plan: Plan, block: Block) -> float:
        """The same of one of its datasets, with all its items in ``block``."""
        return self._cost(plan, block).seconds(self.sizes[plan.named.name][block.dataset])

    def write(self, path: Path) -> None:
        """Into a file that :func:`read_schedule` reads; it appears whole or not at all."""
        draft = path.with_suffix(".tmp")
        draft.write_text(json.dumps({"format": FORMAT} | vars(self), indent=1) + "\n", encoding="utf-8")
        draft.replace(path)

    def _cost(self, plan: Plan, block: Block) -> Cost:
        alone, together = self.speeds[plan.named.name][block.dataset]
        return Cost(alone, together, plan.named.recipe.timed, len(block.questions))


def read_schedule(path: Path, preset: str, minutes: float) -> Schedule:
    """The one that is there, or a new one.

    Raises:
        InvalidRequestError: It is of another preset or time, or no schedule.
    """
    if not path.is_file():
        return Schedule(preset, minutes)
    try:
        said: Mapping[str, Any] = json.loads(path.read_bytes())
        found = Schedule(**{key: value for key, value in said.items() if key != "format"})
    except (ValueError, TypeError, AttributeError) as error:
        raise InvalidRequestError(f"{path} is no schedule ({error}); use another folder") from error
    if (said.get("format"), found.preset, found.minutes) != (FORMAT, preset, minutes):
        raise InvalidRequestError(
            f"{path.parent} holds preset {found.preset} of {found.minutes:g} minutes; go on with that, or use another "
            "folder"
        )
    return found


def resolution(block: Block, items: int) -> Resolution:
    """The smallest difference that so many of its items are expected to show."""
    match block.questions[0]:
        case ContinuationQuestion():
            return of_text(items, net_gain=any(arm.wrong_context for arm in block.arms))
        case ChoiceQuestion():
            return of_choices(items)
        case _:
            return of_answers(items)
