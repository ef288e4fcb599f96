"""``kvwire fuser calibrate`` and ``train``: from text files to a fuser that a receiver takes."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from fuser.registry import read_fuser
from kvwire.cli.fuser import app

LICENCE = (Path(__file__).parents[2] / "LICENSE").read_text()


@pytest.fixture(scope="module")
def made(tiny_qwen2, tiny_gemma, tmp_path_factory):
    """Options of both commands, and what they wrote."""
    folder = tmp_path_factory.mktemp("made")
    numbered = (f"{number} {line}" for number, line in enumerate((LICENCE * 10).splitlines()))
    (folder / "text.txt").write_text("\n".join(numbered))
    options = ["--sharer", f"path:{tiny_qwen2}", "--receiver", f"path:{tiny_gemma}", "--text", str(folder / "text.txt")]
    options += ["--pieces", "32", "--threads", "1", "--readings", str(folder / "readings")]
    closed, trained = folder / "closed.safetensors", folder / "trained.safetensors"
    calibrate = ["calibrate", str(closed), "--json", str(folder / "closed.json")]
    train = ["train", str(closed), str(trained), "--steps", "4", "--batch", "2"]
    train += ["--codec", "int8", "--bfloat16", "--bend", "8"]
    train += ["--json", str(folder / "trained.json"), "--plot", str(folder / "losses.svg")]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KVWIRE_HOME", str(folder / "home"))
        ran = [CliRunner().invoke(app, [*command, *options], catch_exceptions=False) for command in (calibrate, train)]
    assert [each.exit_code for each in ran] == [0, 0]
    return folder


def test_calibrate_writes_a_fuser_and_what_it_is_worth(made):
    """R2 per layer, and gains on text that it was not made from."""
    found = json.loads((made / "closed.json").read_text())
    assert read_fuser(made / "closed.safetensors").name == "ridge"
    assert len(found["r2_keys"]) == len(found["r2_values"]) == 4
    assert {"gain_retained", "net_gain", "tokens", "ridge"} <= found.keys()
    assert found["file_bytes"] == (made / "closed.safetensors").stat().st_size


def test_train_writes_another_and_every_loss(made):
    """It knows the one it came from."""
    found = json.loads((made / "trained.json").read_text())
    closed, trained = (read_fuser(made / f"{name}.safetensors") for name in ("closed", "trained"))
    assert found["from"] == closed.fingerprint.hex() != trained.fingerprint.hex()
    assert len(found["losses"]) == 4
    assert found["codec"] == "int8"
    assert trained.weights()["0.bend_out"].shape == (trained.bands[0].rank, 8)
    assert trained.weights()["0.bend_out"].any()
    assert "<svg" in (made / "losses.svg").read_text()


def test_each_model_read_each_piece_once(made):
    """Both commands go by the same files, which are called by what was read."""
    folders = sorted((made / "readings").iterdir())
    assert [len(list(folder.glob("*.safetensors"))) for folder in folders] == [32, 32]


def test_a_fresh_fuser_is_written_and_trained(tiny_llama, other_llama, tmp_path, monkeypatch):
    """Of C2C's architecture, by the same command as any other; what it is worth may be told elsewhere."""
    monkeypatch.setenv("KVWIRE_HOME", str(tmp_path / "home"))
    (tmp_path / "text.txt").write_text(LICENCE * 10)
    pair = ["--sharer", f"path:{other_llama}", "--receiver", f"path:{tiny_llama}"]
    begun, ended = tmp_path / "fresh.safetensors", tmp_path / "trained.safetensors"
    fresh = ["fresh", str(begun), *pair, "--hidden", "16", "--inner", "16", "--json", str(tmp_path / "fresh.json")]
    train = ["train", str(begun), str(ended), *pair, "--text", str(tmp_path / "text.txt"), "--pieces", "32"]
    train += ["--steps", "2", "--batch", "2", "--threads", "1", "--json", str(tmp_path / "trained.json")]
    train += ["--no-worth"]
    for command in (fresh, train):
        assert CliRunner().invoke(app, command, catch_exceptions=False).exit_code == 0
    written, found = (json.loads((tmp_path / f"{name}.json").read_text()) for name in ("fresh", "trained"))
    assert written["file_bytes"] == begun.stat().st_size
    assert written["weights"] > 0
    assert len(found["losses"]) == 2
    assert "net_gain" not in found
    assert read_fuser(ended).name == "c2c"
    assert read_fuser(ended).fingerprint != read_fuser(begun).fingerprint
