"""The map of the fastest ways, of services that run."""

import pytest

from bench.services import crossover


@pytest.mark.slow
def test_every_way_is_timed_and_a_policy_chooses_among_them(tiny_llama, tmp_path, monkeypatch):
    """Of a sharer that has read the context and one that has not; a hopeless way is left out after three rounds."""
    monkeypatch.setenv("KVWIRE_HOME", str(tmp_path))
    for name, value in (
        ("_RATIOS", (1.0,)),
        ("_CHARACTERS", (250,)),
        ("_CODECS", ("fp16", "int8")),
        ("_HOPELESS", 1.0),
    ):
        monkeypatch.setattr(crossover, name, value)
    *_, found = crossover.measure(f"path:{tiny_llama}", 4)
    assert {cell["sharer"] for cell in found["cells"]} == {"cold", "warm"}
    for cell in found["cells"]:
        ways = {"fp16", "int8", "reading again", "text relay"}
        assert cell["ttft_s"].keys() == ways
        assert len(cell["chosen"]) == 4
        assert set(cell["chosen"]) <= ways | {"nf4"}
        assert cell["rounds"][cell["fastest"]] == 4
        assert min(cell["rounds"].values()) == 3
