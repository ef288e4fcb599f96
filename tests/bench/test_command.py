"""``kvwire codec bench`` and ``profile``: rows on the screen and in a file."""

import json
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from codec.allocate.profile import Profile
from codec.allocate.profiles import Profiles
from kvwire.cli.codec import app

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


@pytest.mark.model
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
