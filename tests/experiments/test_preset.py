"""A preset from nothing to its results, on tiny models: sizes that fit the time, and going on after a cut."""

import json
import os
import subprocess
import sys
import time

import pytest
import typer
from typer.testing import CliRunner

from experiments.engines.in_process import InProcess
from experiments.plan import plan_of
from experiments.questions.load import load_questions
from experiments.recipe import load_recipe
from kvwire.cli import experiment_preset
from kvwire.cli.experiment import app
from kvwire.cli.experiment_dry_run import dry_run
from kvwire.cli.experiment_groups import Given
from kvwire.cli.experiment_preset import PRESETS, run_preset
from kvwire.errors import InvalidRequestError

RECIPE = """\
title: {name}
row: [B1-self]
pair: path:{model}:path:{model}
codecs: [int8]
baselines: [receiver_only, receiver_reads]
timed: 1
datasets:
  - {{name: pocket, limit: {limit}}}
"""
NEEDY = """\
needs:
  ridge: {how: calibrate}
"""


@pytest.fixture
def plans(tiny_llama, tmp_path, monkeypatch):
    """Two recipes that can run, and one whose fuser takes nobody knows how long to make."""
    monkeypatch.setenv("KVWIRE_HOME", str(tmp_path / "home"))
    text = tmp_path / "data" / "wikitext2"
    text.mkdir(parents=True)
    (text / "wikitext-2-raw_train.txt").write_text("Nothing is made from this.\n")
    found = []
    for name, limit, more in (("small", 3, ""), ("large", 9, ""), ("needy", 3, NEEDY)):
        path = tmp_path / f"{name}.yaml"
        path.write_text(RECIPE.format(name=name, model=tiny_llama, limit=limit) + more)
        named = load_recipe(str(path))
        found.append(plan_of(named, load_questions(named, None, None)))
    return found


def lines(out, name):
    return [json.loads(line) for line in (out / name / "results.jsonl").read_text().splitlines()]


@pytest.mark.slow  # starts three services twice
def test_a_preset_measures_plans_says_and_asks(plans, tmp_path, capsys):
    """Every recipe that can be made in the time; a second run finds nothing left to do and starts nothing."""
    out, given = tmp_path / "out", Given(data=tmp_path / "data", options=("--threads", "1"))
    run_preset(PRESETS["local"], plans, 20, out, given, InProcess())
    said = capsys.readouterr().out
    schedule = json.loads((out / "schedule.json").read_text())
    assert schedule["sizes"] == {"small": {"pocket": 3}, "large": {"pocket": 9}}
    assert set(schedule["speeds"]) == {"small", "large"}
    assert "left out: needy: making what it needs takes an unknown time" in said
    assert "9 of 9" in said
    assert [len(lines(out, name)) for name in ("small", "large")] == [3 * 4, 9 * 4]
    assert json.loads((out / "small" / "run.json").read_text())["row"] == ["B1-self"]
    rows = json.loads((out / "matrix.json").read_text())
    assert {"row", "title", "recipe", "state", "why"} == set(rows[0])

    before = (out / "large" / "results.jsonl").read_bytes()
    begun = time.monotonic()
    run_preset(PRESETS["local"], plans, 20, out, given, InProcess())
    assert time.monotonic() - begun < 5
    assert (out / "large" / "results.jsonl").read_bytes() == before


@pytest.mark.slow  # starts two services
def test_a_preset_that_was_cut_goes_on_with_the_sizes_it_had(plans, tmp_path):
    """Whatever it would measure now."""
    out, given = tmp_path / "out", Given(data=tmp_path / "data", options=("--threads", "1"))
    out.mkdir()
    settled = {"format": 1, "preset": "local", "minutes": 2, "start_s": {}, "left_out": {}}
    settled |= {"speeds": {"large": {"pocket": [9.0, 9.0]}}, "sizes": {"large": {"pocket": 2}}}
    (out / "schedule.json").write_text(json.dumps(settled))
    run_preset(PRESETS["local"], plans, 2, out, given, InProcess())
    assert len(lines(out, "large")) == 2 * 4
    assert not (out / "small").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--preset", "huge"], "no preset 'huge'; there are local, full, h100"),
        (["--preset", "local", "smoke"], "name recipes, or give --preset"),
        ([], "name recipes, or give --preset"),
        (["--preset", "full", "--engine", "ray"], "not offered on Ray; name its recipes instead"),
    ],
)
def test_a_mistaken_command_is_refused(tmp_path, arguments, said):
    """Before anything starts."""
    command = [sys.executable, "-m", "kvwire", "experiment", "run", *arguments, "--out", str(tmp_path / "out")]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    assert said in ended.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [(["smoke"], "give --out"), (["--preset", "local"], "give --out"), (["smoke", "--dry-run"], "give --preset")],
)
def test_only_a_dry_run_of_a_preset_needs_no_folder(arguments, said):
    """What else lacks one is refused before anything starts."""
    command = [sys.executable, "-m", "kvwire", "experiment", "run", *arguments]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    assert said in ended.stderr


def test_the_dry_run_of_the_literatures_rows_runs_as_documented(tmp_path):
    """Without a folder; where there is no data, it stops at that."""
    environment = {**os.environ, "KVWIRE_HOME": str(tmp_path), "HF_HUB_OFFLINE": "1", "KVWIRE_DATA": str(tmp_path)}
    command = [sys.executable, "-m", "kvwire", "experiment", "run", "--preset", "h100", "--dry-run"]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert ended.returncode == 1
    assert "openbookqa" in ended.stderr + ended.stdout
    assert "--out" not in ended.stderr


def test_a_dry_run_stops_at_what_this_machine_cannot_give(tmp_path, monkeypatch, capsys):
    """Behind the whole plan, with its hours, and everything that can be looked at here."""
    monkeypatch.setenv("KVWIRE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    plans = []
    for name in ("first", "second"):
        path = tmp_path / f"{name}.yaml"
        text = RECIPE.format(name=name, model="x", limit=5)
        path.write_text(text.replace("path:x:path:x", f"hf:o/n@{40 * '0'}:hf:o/m@{40 * '1'}"))
        named = load_recipe(str(path))
        plans.append(plan_of(named, load_questions(named, None, None)))
    with pytest.raises(typer.Exit):
        dry_run(plans, Given(), on_gpu=True)
    said = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in said if not line.startswith(" ")][:2] == ["first", "second"]
    assert "hours" in said[0]
    assert any("5 items by 4 arms" in line for line in said)
    assert any(line.startswith("  ok      memory: ") for line in said)
    assert said[-1].startswith("stopped: first needs ")
    assert "which only " in said[-1]


def test_a_preset_writes_the_numbers_of_the_report_too(write_results, tmp_path, monkeypatch):
    """Whatever it ran: here, results that are there already."""
    out, numbers = write_results().parent, tmp_path / "numbers.json"
    monkeypatch.setattr(experiment_preset, "command", lambda *_: None)
    arguments = ["run", "--preset", "local", "--out", str(out), "--json", str(numbers)]
    assert CliRunner().invoke(app, arguments, catch_exceptions=False).exit_code == 0
    arms = {row["arm"]["name"] for row in json.loads(numbers.read_text())["made-up"]}
    assert arms >= {"prefix int8", "receiver_only"}


def test_what_only_started_services_take_is_refused_beside_addresses(tmp_path):
    """They would run with other models and fusers than were asked for."""
    given = ["--receiver", "r:1", "--sharer", "s:1", "--fusers", "ridge=x"]
    refused = CliRunner().invoke(app, ["run", "smoke", "--out", str(tmp_path), *given]).exception
    assert isinstance(refused, InvalidRequestError)
    assert "--pair and --fusers are for services that are started here" in str(refused)
