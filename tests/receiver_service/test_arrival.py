"""How long a cache's arrival took, by its parts."""

from types import SimpleNamespace

from kvwire.report import StageTiming
from receiver_service.arrival import Arrival
from receiver_service.choosing.pace import Stream


def test_times_are_from_asking_to_the_header_from_there_to_the_end_and_of_placing_within(monkeypatch):
    """Asked for at 1 s, a header at 3 s, pieces placed from 4 to 5 s and from 7 to 9 s, all there at 10 s."""
    clock = iter([1.0, 3.0, 4.0, 5.0, 7.0, 9.0, 10.0])
    monkeypatch.setattr("receiver_service.arrival.time.perf_counter", lambda: next(clock))
    arrival = Arrival()
    arrival.begins()
    for _ in range(2):
        with arrival.placing():
            pass
    arrival.ends()
    stages = (StageTiming("prefill", "sharer", 0.5),)
    header = SimpleNamespace(source_tokens=7, expected_layers=(0, 2))
    trailer = SimpleNamespace(payload_bytes=100, stages=stages)
    assert arrival.of(header, trailer, "int8") == Stream(7, 2, "int8", 100, 2.0, 7.0, 3.0, stages)
