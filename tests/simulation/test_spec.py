"""A system and a load as a file: what may stand there, and what is said of anything else."""

import json
from dataclasses import asdict
from pathlib import Path

import pytest
from typer.testing import CliRunner

from kvwire.cli.main import app
from kvwire.errors import InvalidRequestError, NotFoundError, UnsupportedError
from simulation.choice import by_context
from simulation.spec import read_spec
from simulation.times import read_times

DOCS = Path(__file__).parents[2] / "docs" / "scale"
SPEC = """
times: times.json
sharers: 2
receivers: 3
link: {rate: 80mbit, delay: 5ms}
to_receivers: by_context
rates: [0.5, 2]
duration_s: 40
contexts: {tokens: {32: 1, 64: 3}, distinct: 40, zipf: 1}
prompt_tokens: {8: 1}
answer_tokens: {4: 1}
"""


@pytest.fixture
def spec(times, tmp_path):
    (tmp_path / "times.json").write_text(json.dumps({"times": asdict(times)}))
    (tmp_path / "spec.yaml").write_text(SPEC)
    return tmp_path / "spec.yaml"


def test_a_file_becomes_a_system_and_its_requests(spec, times):
    """With the times it names, looked up from its own folder."""
    planned = read_spec(spec)
    assert planned.times == times
    design = planned.design
    assert (design.sharers, design.receivers, design.rate_bytes_s, design.delay_s) == (2, 3, 1e7, 0.005)
    assert design.to_receivers is by_context
    requests = planned.requests(2)
    assert len(requests) == pytest.approx(80, abs=27)
    assert {each.context_tokens for each in requests} == {32, 64}


@pytest.mark.parametrize(
    ("before", "after", "complaint"),
    [
        ("sharers: 2", "sharer: 2", r"spec.yaml, line 3 \(sharer\): unknown key; allowed: times, sharers, receivers, "),
        ("rate: 80mbit", "rates: 80mbit", r"line 5 \(link.rates\): unknown key; allowed: rate, delay$"),
        ("sharers: 2", "sharers: 0", r"line 3 \(sharers\): Input should be greater than or equal to 1, not 0"),
        ("rates: [0.5, 2]", "rates: []", r"line 7 \(rates\)"),
        ("prompt_tokens: {8: 1}\n", "", r"\(prompt_tokens\): it is missing"),
        (
            "duration_s: 40",
            "duration_s: 40\nwarm_up_s: 40",
            r"line 9 \(warm_up_s\): it must be shorter than the run of 40.0 s$",
        ),
        ("{32: 1, 64: 3}", "{}", r"line 9 \(contexts.tokens\)"),
    ],
)
def test_a_defect_is_named_by_file_line_and_key(spec, before, after, complaint):
    """Before anything runs."""
    spec.write_text(SPEC.replace(before, after))
    with pytest.raises(InvalidRequestError, match=complaint):
        read_spec(spec)


def test_a_link_that_is_none_is_refused(spec):
    """In the words of ``kvwire link``."""
    spec.write_text(SPEC.replace("80mbit", "fast"))
    with pytest.raises(InvalidRequestError, match="100mbit"):
        _ = read_spec(spec).design


def test_times_that_were_never_measured_are_said_to_be_missing(tmp_path):
    """With the command that measures them."""
    with pytest.raises(NotFoundError, match=r"bench\.services\.service_times"):
        read_times(tmp_path / "none.json")


@pytest.mark.parametrize("text", ["{", "[]", '{"times": {}}', '{"spans": 1}'])
def test_a_file_of_something_else_holds_no_times(tmp_path, text):
    """And is refused by name."""
    (tmp_path / "other.json").write_text(text)
    with pytest.raises(InvalidRequestError, match="measure it anew"):
        read_times(tmp_path / "other.json")


def test_the_command_simulates_every_rate_and_writes_what_it_found(spec, tmp_path):
    """A line for each rate, JSON that says what it was made from, and a figure."""
    found, figure = tmp_path / "found.json", tmp_path / "found.svg"
    ran = CliRunner().invoke(app, ["simulate", str(spec), "--json", str(found), "--plot", str(figure)])
    assert ran.exit_code == 0, ran.output
    result = json.loads(found.read_text())
    assert [run["rate_rps"] for run in result["runs"]] == [0.5, 2]
    assert result["measured"] == {"model": "made up"}
    assert result["spec"]["link"] == {"rate": "80mbit", "delay": "5ms"}
    slow, fast = (run["utilisation"]["receivers"]["mean"] for run in result["runs"])
    assert fast > 2 * slow > 0
    assert "2/s: answered" in ran.output
    assert figure.read_text().count("first token, p95, ") == 2


def test_without_simpy_the_command_says_what_to_install(spec, monkeypatch):
    """And does nothing."""
    monkeypatch.setattr("kvwire.cli.simulate.find_spec", lambda _: None)
    ran = CliRunner().invoke(app, ["simulate", str(spec)])
    assert isinstance(ran.exception, UnsupportedError)
    assert "pip install 'kvwire[simulation]'" in str(ran.exception)


@pytest.mark.parametrize("name", ["pair", "fleet"])
def test_specs_of_this_project_are_read(spec, name):
    """But for the times, which are measured on the machine that publishes them."""
    text = (DOCS / f"{name}.yaml").read_text()
    spec.write_text(text.replace("service-times.json", "times.json"))
    assert read_spec(spec).design.sharers >= 1
