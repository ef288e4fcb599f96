"""The same requests are played through a pair and through its simulation; what differs is told."""

import json

import pytest

import bench.services.played
from bench.services import service_times, simulated
from bench.services.asker import Asker
from bench.services.played import Played, capacity, requests
from bench.services.simulated import Round, compared, main
from bench.services.simulated_figure import plot
from loadtest.driver import Outcome
from loadtest.open_loop import Sent
from loadtest.scoring import ItemResult
from tests.bench.services.test_stage_points import fitted


def round_of(times):
    """A round whose measured figures are the simulated ones, but for first tokens that took a fifth longer."""
    asked = requests(0.5, 60.0, 0)
    own = simulated.simulated(times, asked)
    found = Played([1.2 * each for each in own.first_token_s], own.total_s, own.run_s, own.busy_s)
    return Round(asked, found, [Sent(each.due_s, 0.001, Outcome(ItemResult("", 0))) for each in asked])


def test_a_simulation_that_is_right_is_not_apart():
    """And where it is wrong, by how much."""
    found = compared(0.3, 0.5, [round_of(fitted())] * 2, [fitted()] * 2)
    assert found["apart"]["e2e_p95_s"] == pytest.approx(0)
    assert found["apart"]["receiver_busy"] == pytest.approx(0)
    assert found["apart"]["ttft_p50_s"] == pytest.approx(1 / 1.2 - 1)
    assert found["requests"] == 2 * len(requests(0.5, 60.0, 0))
    assert (found["failed"], found["tester_lag_p99_ms"]) == (0, pytest.approx(1.0))


def test_a_run_without_answers_has_no_figures():
    """Rather than some that mean nothing."""
    assert Played([], [], 10.0, (1.0, 1.0)).figures() == {}


def test_the_capacity_is_where_first_tokens_are_no_longer_in_time(monkeypatch):
    """The more is promised, the less it is."""
    monkeypatch.setattr(bench.services.played, "_PROBED_S", 60.0)
    assert 0 < capacity(fitted(), 1.0) < capacity(fitted(), 4.0)


def test_the_figure_has_every_point():
    """Of three panels, measured and simulated."""
    loads = [compared(share, share, [round_of(fitted())], [fitted()]) for share in (0.3, 0.6, 0.85)]
    drawn = plot({"loads": loads})
    assert drawn.count("first token, p95, measured, ") == drawn.count("sharer busy, simulated, ") == 3


@pytest.mark.slow
def test_a_pair_is_calibrated_loaded_and_compared(tiny_llama, tmp_path, monkeypatch):
    """On services of their own; whether it was close says nothing of a model that takes next to no time."""
    monkeypatch.setenv("KVWIRE_HOME", str(tmp_path))
    monkeypatch.setattr(service_times, "CONTEXTS", (16, 64))
    monkeypatch.setattr(service_times, "PROMPTS", (4, 16))
    monkeypatch.setattr(simulated, "capacity", lambda *_: 10.0)
    found, times = tmp_path / "found.json", tmp_path / "times.json"
    with pytest.raises(SystemExit):
        main(found, times, f"path:{tiny_llama}", "int8", 1, 1, 5.0, 1, 2.0, tmp_path / "found.svg")
    result = json.loads(found.read_text())
    assert [load["failed"] for load in result["loads"]] == [0, 0, 0]
    for load in result["loads"]:
        assert load["measured"].keys() == load["simulated"].keys()
        assert min(load["measured"].values()) > 0
        assert load["measured"]["answered_rps"] == pytest.approx(load["rate_rps"], rel=0.5)
    assert json.loads(times.read_text())["times"]["shape"]["layers"] == 4


@pytest.mark.model
def test_no_two_requests_are_about_the_same_context(smollm2):
    """Or a service that keeps contexts would answer from memory."""
    asker = Asker(f"path:{smollm2.path}", "int8")
    asked = [asker.request(16, 4, 1).context for _ in range(3000)]
    assert len(set(asked)) == 3000
    assert {len(each.ids) for each in asked} == {16}
