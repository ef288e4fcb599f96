"""What metrics count, and what they do not."""

import pytest

from kvwire.report import FELL_BACK, Report
from kvwire.requests import Method
from kvwire.telemetry import Metrics


@pytest.mark.parametrize(
    ("path", "reason", "fallbacks"),
    [
        (Method.PREFIX, "asked for", None),
        (Method.RECEIVER_READS, "ttft=1ms: reading is forecast to be the fastest", None),
        (Method.RECEIVER_ONLY, f"{FELL_BACK} to receiver_only because the sharer failed: UNAVAILABLE: gone", 1),
    ],
    ids=["as asked", "another way by choice", "another way by a fault"],
)
def test_only_a_fault_makes_an_answer_a_fallback(path, reason, fallbacks):
    """What a policy chooses is no failure of the sharer, of which an alert would tell."""
    metrics = Metrics("receiver")
    metrics.count(Report("", Method.PREFIX, path, reason), "int8")
    counted = {"method": "prefix", "path": path.value}
    assert metrics.registry.get_sample_value("kvwire_fallbacks_total", counted) == fallbacks
    assert metrics.registry.get_sample_value("kvwire_answers_total", counted) == 1
