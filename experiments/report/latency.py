"""Time to the first token against bytes, of the items that were asked with nothing beside them."""

from collections.abc import Sequence

from experiments.curves import Row
from experiments.report.axis import bytes_text, number_text
from experiments.report.cloud import LEVELS, Cloud, Spot, draw_cloud, key, styles
from experiments.report.figures import Figure
from experiments.report.panel import Level, Point


def latency_figures(dataset: str, rows: Sequence[Row]) -> list[Figure]:
    """One, or none where no item was timed; ``rows`` are all of that dataset."""
    own = [row for row in rows if not row.arm.is_control]
    spots = [spot for row in own if (spot := _spot(row))]
    if not spots:
        return []
    cloud = Cloud("time to first token, ms", "lower is better", "bytes per request", number_text, log=True)
    levels = [level for row in own if (level := _level(row))]
    drawn = draw_cloud(cloud, spots, levels, [], styles(rows))
    timed = max(row.costs.timed_items for row in own)
    note = (
        f"p50 of {timed} items asked with nothing beside them; bars from the least to the most. That of the "
        f"uncompressed cache has the sharer's prefill in it, those of others have not.{drawn.unseen}"
    )
    panels, marks = (drawn.svg,), key(rows, with_front=False)
    return [Figure(f"{dataset}-ttft", _headline(own), panels, marks, note, (drawn.panel,))]


def _headline(rows: Sequence[Row]) -> str:
    caches = [row.costs.ttft_ms for row in rows if row.arm.codec and not row.arm.reference and row.costs.ttft_ms]
    reading = next((row.costs.ttft_ms for row in rows if row.arm.name == "receiver_reads"), None)
    if not caches:
        return "Time to first token"
    found = f"First token: {min(caches):.0f} to {max(caches):.0f} ms behind a cache at hand"
    return f"{found}, {reading:.0f} ms if the receiver reads" if reading else found


def _spot(row: Row) -> Spot | None:
    sent, spread = row.costs.wire_bytes, row.costs.ttft_spread_ms
    if not sent or not spread:
        return None
    middle, least, most = spread
    label = f"{row.arm.name}: {middle:.0f} ms ({least:.0f} to {most:.0f}), {bytes_text(sent)}"
    return row, Point(sent, middle, least, most, label)


def _level(row: Row) -> Level | None:
    kind, spread = LEVELS.get(row.arm.name), row.costs.ttft_spread_ms
    return Level(row.arm.name, kind, *spread) if kind and spread else None
