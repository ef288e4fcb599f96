"""Runs plans on workers that are ready, each to its end or as long as it may take."""

import sys
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from experiments.engines.base import Worker
    from experiments.plan import Plan


async def run_all(
    plans: "Sequence[Plan]",
    workers: "Sequence[Worker]",
    facts: Mapping[str, Any],
    out: Path,
    made: Mapping[str, Mapping[str, str]] | None = None,
    limit_s: float | None = None,
) -> None:
    """Check all plans against the services, then run them; ``facts`` are the engine's.

    ``made``: SHA-256 of what was made for each plan, by its name and theirs. A run that takes longer than ``limit_s``
    is stopped where it is.
    """
    import asyncio

    from experiments.ledger import Ledger
    from experiments.progress import progress
    from experiments.provenance import begin, provenance
    from experiments.runner import Runner

    async with AsyncExitStack() as stack:
        for worker in workers:
            stack.push_async_callback(worker.close)
        introduced = await asyncio.gather(*(worker.introduce() for worker in workers))
        for plan in plans:
            await asyncio.gather(*(worker.check(plan.named) for worker in workers))
        for plan in plans:
            folder = out / plan.named.name
            folder.mkdir(parents=True, exist_ok=True)
            begin(folder / "run.json", provenance(plan, introduced, facts, (made or {}).get(plan.named.name)))
        for plan in plans:
            keys = list(plan.keys())
            with (
                Ledger(out / plan.named.name / "results.jsonl", keys) as ledger,
                progress(plan.named.name, ledger.done, len(keys)) as told,
            ):
                try:
                    async with asyncio.timeout(limit_s):
                        await Runner(workers, plan).run(ledger, told)
                except TimeoutError:
                    sys.stderr.write(
                        f"{plan.named.name}: its time is up, {ledger.done} of {len(keys)} lines are there\n"
                    )
