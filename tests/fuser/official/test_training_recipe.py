"""Training recipes in the official C2C format, turned into our commands."""

import json
import shlex

import pytest
from typer.testing import CliRunner

from fuser.official.training import import_training
from kvwire.cli.fuser import app
from kvwire.errors import InvalidRequestError

PARAMS = {"hidden_dim": 64, "intermediate_dim": 96, "num_layers": 4, "dropout": 0.0, "anneal_steps": 50}


def recipe(tmp_path, params=(), model=(), training=(), **sections):
    said = {
        "model": {
            "base_model": "Lab/Small-1B",
            "teacher_model": "Lab/Large-3B",
            "is_do_alignment": False,
            "projector": {"type": "C2CProjector", "params": {**PARAMS, **dict(params)}},
            "mapping": "k_nearest",
            **dict(model),
        },
        "training": {
            "learning_rate": 2e-05,
            "per_device_train_batch_size": 2,
            "gradient_accumulation_steps": 3,
            "num_processes": 4,
            "freeze": ["teacher", "base"],
            "seed": 7,
            **dict(training),
        },
        "output": {"output_dir": "made/small+large"},
        **sections,
    }
    path = tmp_path / "theirs.json"
    path.write_text(json.dumps(said))
    return path


def options(command):
    words = shlex.split(command)
    names = [index for index, word in enumerate(words) if word.startswith("--")]
    return words[: names[0]], {words[index]: words[index + 1] for index in names}


def test_the_fuser_is_the_same(tmp_path):
    """Models, widths, mapping and seed."""
    words, said = options(import_training(recipe(tmp_path)).fresh)
    assert words == ["kvwire", "fuser", "fresh", "small+large.fresh.safetensors"]
    assert said == {
        "--sharer": "hf:Lab/Large-3B",
        "--receiver": "hf:Lab/Small-1B",
        "--hidden": "64",
        "--inner": "96",
        "--layers": "4",
        "--mapping": "k_nearest",
        "--seed": "7",
    }


def test_the_training_is_as_long(tmp_path):
    """A step takes as many texts as all their devices together, and there are as many as the texts make."""
    data = {"kwargs": {"num_samples": 1000}, "train_ratio": 0.96}
    words, said = options(import_training(recipe(tmp_path, training={"num_epochs": 2}, data=data)).train)
    assert words == ["kvwire", "fuser", "train", "small+large.fresh.safetensors", "small+large.safetensors"]
    assert said["--batch"] == "24"
    assert said["--steps"] == str(2 * 960 // 24)
    assert said["--rate"] == "2e-05"
    assert said["--loss"] == "likelihood"


def test_without_a_number_of_texts_the_gates_tell(tmp_path):
    """They are hard at the last step."""
    _, said = options(import_training(recipe(tmp_path)).train)
    assert said["--steps"] == "50"


def test_the_commands_are_understood(tmp_path):
    """Every option is one of ours: none is refused before the models are looked for."""
    found = import_training(recipe(tmp_path))
    (tmp_path / "TEXT").write_text("a text")
    for command in (found.fresh, found.train):
        words = shlex.split(command)[2:]
        ended = CliRunner().invoke(app, [*words, "--help"])
        assert ended.exit_code == 0
        known = CliRunner().invoke(app, [words[0], "--help"], env={"COLUMNS": "200", "TERM": "dumb"}).output
        assert all(word in known for word in words if word.startswith("--"))


def test_what_has_no_counterpart_is_told_and_the_rest_is_not(tmp_path):
    """What is done as there is not; an unknown key is."""
    training = {"weight_decay": 0.01, "max_grad_norm": 1.0, "scheduler_type": "linear", "warmup_ratio": 0.1}
    found = import_training(recipe(tmp_path, {"dropout": 0.2, "final_temperature": 0.001}, training=training, notes={}))
    told = {each.key: each.value for each in found.left_out}
    assert told == {
        "model.projector.params.dropout": 0.2,
        "training.weight_decay": 0.01,
        "training.scheduler_type": "linear",
        "training.warmup_ratio": 0.1,
        "notes": {},
    }


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": {"projector": {"type": "OtherProjector", "params": PARAMS}}}, "OtherProjector.* cannot be trained"),
        ({"model": {"is_do_alignment": True}}, "both models must read the same tokens"),
        ({"model": {"mapping": "first"}}, "there are last_aligned, k_nearest"),
        ({"training": {"freeze": ["teacher"]}}, "here only fusers learn"),
        ({"training": {"learning_rate": "fast"}}, "learning_rate .* should be int or float"),
        ({"params": {"anneal_steps": None}}, "anneal_steps is missing"),
    ],
)
def test_what_cannot_be_trained_is_refused(tmp_path, changes, message):
    """By its key."""
    with pytest.raises(InvalidRequestError, match=message):
        import_training(recipe(tmp_path, **changes))


def test_the_command_prints_both_commands(tmp_path):
    """For a shell to run, and everything as JSON."""
    told = tmp_path / "told.json"
    ended = CliRunner().invoke(app, ["import-training", str(recipe(tmp_path)), "--json", str(told)])
    assert ended.exit_code == 0, ended.output
    found = json.loads(told.read_text())
    assert ended.stdout.splitlines() == [found["fresh"], found["train"]]
