"""What an item takes, by asking a few: one arm by arm, and as many together as there are pairs."""

import tempfile
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from kvwire.errors import KvwireError

if TYPE_CHECKING:
    from experiments.engines.base import Worker
    from experiments.plan import Plan


@dataclass
class Measured:
    """Seconds per item by recipe and dataset, arm by arm and together; which recipes failed and why.

    ``asking_s``: how long all of this asking took.
    """

    speeds: dict[str, dict[str, tuple[float, float]]] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    asking_s: float = 0.0


async def measured(plans: "Sequence[Plan]", workers: "Sequence[Worker]") -> Measured:
    """Ask a few items of each dataset of every recipe; one that the services refuse does not stop the others."""
    found = Measured()
    async with AsyncExitStack() as stack:
        for worker in workers:
            stack.push_async_callback(worker.close)
        for plan in plans:
            try:
                await workers[0].check(plan.named)
                begun = time.monotonic()
                found.speeds[plan.named.name] = {
                    block.dataset: await _speed(replace(plan, blocks=(block,)), workers) for block in plan.blocks
                }
                found.asking_s += time.monotonic() - begun
            except KvwireError as error:
                found.failed[plan.named.name] = f"{type(error).__name__}: {error}"
    return found


async def _speed(plan: "Plan", workers: "Sequence[Worker]") -> tuple[float, float]:
    """Of the one dataset of a plan."""
    from experiments.ledger import Ledger
    from experiments.runner import Runner

    (block,) = plan.blocks
    few = replace(block, questions=block.questions[: 1 + len(workers)])
    named = replace(plan.named, recipe=plan.named.recipe.model_copy(update={"timed": 1}))
    plan = replace(plan, named=named, blocks=(few,))
    came = [time.monotonic()]
    with tempfile.TemporaryDirectory() as folder, Ledger(Path(folder) / "lines", list(plan.keys())) as ledger:
        await Runner(workers, plan).run(ledger, lambda _: came.append(time.monotonic()))
    alone_s = came[len(block.arms)] - came[0]
    others = len(few.questions) - 1
    return alone_s, (came[-1] - came[len(block.arms)]) / others if others else alone_s
