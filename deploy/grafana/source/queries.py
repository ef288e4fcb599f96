"""PromQL that the dashboards have in common. Every query follows the variables of job and instance.

A ratio is left out where nothing was counted, and a quantile of nothing, which Prometheus calls NaN, is too: a panel
then keeps its last value instead of showing "NaN".
"""

SIDES = ("receiver", "sharer")  # also the jobs' names
OWN_CALLS = 'grpc_service=~"kvwire.*"'  # health probes are nobody's request


def series(metric: str, where: str = "") -> str:
    """A metric's series of the chosen jobs and instances; ``where`` holds further matchers."""
    matchers = ", ".join(filter(None, (where, 'job=~"$job"', 'instance=~"$instance"')))
    return f"{metric}{{{matchers}}}"


def per_second(counter: str, by: str = "", where: str = "") -> str:
    """How fast a counter grows, added up but for the labels ``by``."""
    return f"sum{_by(by)} (rate({series(counter, where)}[$__rate_interval]))"


def ratio(part: str, whole: str) -> str:
    """One query over another."""
    return f"{part} / ({whole} > 0)"


def or_zero(query: str) -> str:
    """The sum, 0 where the counter does not exist: one with labels begins with the first event."""
    return f"({query} or vector(0))"


def mean(histogram: str, by: str = "", where: str = "") -> str:
    """The mean of what a histogram observed."""
    return ratio(per_second(f"{histogram}_sum", by, where), per_second(f"{histogram}_count", by, where))


def quantile(q: float, histogram: str, by: str = "", where: str = "") -> str:
    """A quantile of what a histogram observed, interpolated within its bucket."""
    labels = ", ".join(filter(None, (by, "le")))
    return f"histogram_quantile({q}, {per_second(f'{histogram}_bucket', labels, where)}) >= 0"


def waits(q: float, side: str) -> str:
    """A quantile of the wait for a side's compute thread, as that side counts it: the receiver's port shows both."""
    return quantile(q, "kvwire_stage_seconds", "side", f'stage="wait", side="{side}", job="{side}"')


def longest_wait_p95() -> str:
    """Of the side that keeps its callers longer."""
    return f"max({' or '.join(f'({waits(0.95, side)})' for side in SIDES)})"


def _by(labels: str) -> str:
    return f" by ({labels})" if labels else ""
