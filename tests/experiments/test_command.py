"""The commands as processes: killed at any point and started again, and from nothing to a report."""

import json
import signal

import pytest

from tests.experiments.command import ARMS, COMMAND, RECIPE, start

# Stands in for `kill -9` at an exact point: after so many lines, with the next one half-written.
KILLED = """
import os, signal, sys
from experiments.ledger import Ledger
append, after = Ledger.append, int(os.environ["LINES"])
def killed(ledger, record):
    if ledger.done == after:
        os.write(ledger._file.fileno(), b'{"dataset": "pocket", "it' if os.environ["TORN"] else b"")
        os.kill(os.getpid(), signal.SIGKILL)
    append(ledger, record)
Ledger.append = killed
from kvwire.cli.experiment import app
app()
"""


def results(folder):
    lines = [json.loads(line) for line in (folder / "tiny" / "results.jsonl").read_text().splitlines()]
    run = json.loads((folder / "tiny" / "run.json").read_text())
    return [{**line, "measured": None} for line in lines], {**run, "begun": None}


@pytest.fixture(scope="module")
def recipe(tmp_path_factory):
    path = tmp_path_factory.mktemp("recipe") / "tiny.yaml"
    path.write_text(RECIPE.format(items=3))
    return path


@pytest.fixture(scope="module")
def addresses(pair):
    return ["--receiver", pair.receiver, "--sharer", pair.sharer]


@pytest.fixture(scope="module")
def whole(recipe, addresses, tmp_path_factory):
    """The results of a run nobody disturbed."""
    folder = tmp_path_factory.mktemp("whole")
    ended = start(COMMAND, "run", recipe, "--out", folder, *addresses)
    assert ended.returncode == 0, ended.stderr
    return results(folder)


_KILLED = [
    pytest.param(0, "yes", marks=pytest.mark.slow),
    (ARMS, ""),
    pytest.param(ARMS + 1, "yes", marks=pytest.mark.slow),
    (2 * ARMS + 3, "yes"),
]


@pytest.mark.parametrize(("lines", "torn"), _KILLED)
def test_a_killed_run_goes_on_to_the_same_files(recipe, addresses, whole, tmp_path, lines, torn):
    """Before the first line, between items, after an item's reference, in the middle of an item."""
    killed = start(KILLED, "run", recipe, "--out", tmp_path, *addresses, LINES=str(lines), TORN=torn)
    assert killed.returncode == -signal.SIGKILL
    assert (tmp_path / "tiny" / "results.jsonl").read_bytes().count(b"\n") == lines
    again = start(COMMAND, "run", recipe, "--out", tmp_path, *addresses)
    assert again.returncode == 0, again.stderr
    assert results(tmp_path) == whole


@pytest.mark.slow
def test_run_and_report_from_nothing(recipe, tiny_llama, tmp_path):
    """It starts two pairs itself, and ends with a page and the numbers as JSON."""
    pair = f"path:{tiny_llama}:path:{tiny_llama}"
    numbers, out = tmp_path / "numbers.json", tmp_path / "out"
    home = {"KVWIRE_HOME": str(tmp_path / "home")}
    ended = start(
        COMMAND, "run", recipe, "--out", out, "--limit", 2, "--pair", pair, "--json", numbers, "--workers", 2, **home
    )
    assert ended.returncode == 0, ended.stderr
    assert f"tiny: {2 * ARMS}/{2 * ARMS} lines, 0 failed" in ended.stderr
    assert [row["items"] for row in json.loads(numbers.read_text())["tiny"]] == [2] * ARMS
    again = tmp_path / "again.json"
    reported = start(COMMAND, "report", out, "--json", again)
    assert reported.returncode == 0, reported.stderr
    assert str(out / "report.html") in reported.stdout
    assert again.read_bytes() == numbers.read_bytes()


def test_one_address_alone_is_refused(recipe, tmp_path):
    """Both models belong into the provenance."""
    ended = start(COMMAND, "run", recipe, "--out", tmp_path, "--receiver", "127.0.0.1:1")
    assert ended.returncode != 0
    assert "give both --receiver and --sharer" in ended.stderr
