"""``kvwire codec bench`` and ``profile``: rows on the screen and in a file."""

import json
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from bench.results import read, text_of
from bench.row import PeerRow, Row
from bench.speed import Speed
from codec.allocate.profile import Profile
from codec.allocate.profiles import Profiles
from codec.codec import Codec
from kvwire.cli.codec import app
from kvwire.errors import InvalidRequestError

SPEED = Speed("int8", 4096, 8, 128, "bfloat16", 1, 8.1, 1.0, 1.0, 6.0, 1.0, 1.0)
ARGUMENTS = ["bench", "--speed-only", "--tokens", "16", "--tokens", "8", "--budget-s", "0", "--codec", "int8"]


@pytest.fixture(autouse=True)
def threads():
    """As they were before the command set them."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def test_speed_alone_needs_no_model(tmp_path):
    """A row for each length."""
    file = tmp_path / "rows.json"
    done = CliRunner().invoke(app, [*ARGUMENTS, "--json", str(file)])
    assert done.exit_code == 0
    assert [(row["codec"], row["tokens"]) for row in json.loads(file.read_text())] == [("int8", 16), ("int8", 8)]


@pytest.mark.parametrize("options", [["--no-own"], ["--speed-only", "--peers"], ["--speed-only", "--plot", "x.svg"]])
def test_options_that_leave_nothing_to_do_are_refused(options):
    """Before a model is fetched."""
    refused = CliRunner().invoke(app, ["bench", *options]).exception
    assert isinstance(refused, InvalidRequestError)


def test_speed_alone_needs_no_calibration(monkeypatch):
    """Of all codecs that are measured without being asked for by name, none does."""
    from bench import speed  # noqa: PLC0415  # what is patched here

    specs = []
    monkeypatch.setattr(speed, "measure", lambda spec, *_: specs.append(spec) or SPEED)
    assert CliRunner().invoke(app, ["bench", "--speed-only"]).exit_code == 0
    assert len(specs) > 10
    for spec in specs:
        Codec(spec)


def test_ctrl_c_keeps_what_was_measured(tmp_path, monkeypatch):
    """It comes while the second length is being measured."""
    from bench import speed  # noqa: PLC0415  # what is patched here

    measure = speed.measure

    def interrupted(spec, shape, budget_s):
        if shape.tokens == 8:
            raise KeyboardInterrupt
        return measure(spec, shape, budget_s)

    monkeypatch.setattr(speed, "measure", interrupted)
    file = tmp_path / "rows.json"
    done = CliRunner().invoke(app, [*ARGUMENTS, "--json", str(file)])
    assert done.exit_code == 0
    assert "kept" in done.output
    assert [row["tokens"] for row in json.loads(file.read_text())] == [16]


def test_rows_of_two_runs_become_one_file_one_plot_and_tables(tmp_path):
    """The peer's from one, ours from the other."""
    own = Row("int8", "m", 512, 8.25, 1e-4, (5e-5, 2e-4), 0.99, 1.0, 2.0, 6.0, 20)
    peer = PeerRow("cachegen", "m", 512, 4.6, 0.08, (0.07, 0.09), 0.88, 0.01, 0.02, 6.0, 20, "lmcache", "0.5.6")
    files = [tmp_path / "one.json", tmp_path / "two.json"]
    for file, row in zip(files, (own, peer), strict=True):
        file.write_text(text_of([row]))
    out, plot, tables = (tmp_path / name for name in ("all.json", "all.svg", "all.md"))
    options = ["--json", str(out), "--plot", str(plot), "--markdown", str(tables)]
    done = CliRunner().invoke(app, ["report", *map(str, files), *options])
    assert done.exit_code == 0, done.output
    assert "lmcache cachegen" in done.output
    assert read([out]) == [own, peer]
    assert "<title>lmcache</title>" in plot.read_text()
    assert "| `int8` | 8.25 |" in tables.read_text()


@pytest.mark.model
@pytest.mark.slow
def test_quality_rows_are_written_and_drawn(smollm2, tmp_path):  # noqa: ARG001  # pulled
    """Of the shipped model on one short document."""
    text = " = One = \n " + "The river runs through the town and under its old bridge . " * 40 + "\n"
    (tmp_path / "wikitext2").mkdir()
    (tmp_path / "wikitext2" / "wikitext-2-raw_test.txt").write_text(text)
    file, plot = tmp_path / "rows.json", tmp_path / "plot.svg"
    options = ["--tokens", "16", "--documents", "1", "--budget-s", "0", "--codec", "int8", "--codec", "int4"]
    done = CliRunner().invoke(
        app, ["bench", *options, "--data", str(tmp_path), "--json", str(file), "--plot", str(plot)]
    )
    assert done.exit_code == 0, done.output
    eight, four = json.loads(file.read_text())
    assert set(eight) == {
        *("codec", "model", "tokens", "bits_per_value", "kl", "kl_ci95", "top1"),
        *("encode_gbps", "decode_gbps", "copy_gbps", "documents"),
    }
    assert eight["kl"] < four["kl"]
    assert eight["bits_per_value"] > four["bits_per_value"]
    assert plot.read_text().startswith("<svg")


def test_a_profile_is_written_where_sharers_look_and_drawn(tiny_llama, tmp_path, monkeypatch):
    """Under the weights' fingerprint, as a file that reads back."""
    monkeypatch.setenv("KVWIRE_HOME", str(tmp_path / "home"))
    text, drawn = tmp_path / "text.txt", tmp_path / "profile.svg"
    text.write_text(" ".join(f"{number} times {number} is {number * number}." for number in range(200)))
    asked = ["profile", "--model", f"path:{tiny_llama}", "--text", str(text), "--windows", "1", "--threads", "1"]
    result = CliRunner().invoke(app, [*asked, "--codec", "int8", "--codec", "int4", "--plot", str(drawn)])
    assert result.exit_code == 0, result.output
    assert "text 1 of 1, layer 4 of 4" in result.output
    found = Profile.load(Path(result.output.split()[-1]))
    assert Profiles(tmp_path / "home" / "profiles").of(found.weights, "tiny") == found
    assert found.codecs == ("int8", "int4")
    assert "<svg" in drawn.read_text()
