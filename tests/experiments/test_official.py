"""Evaluation recipes in the official C2C format, turned into ours."""

import json

import pytest
import yaml
from typer.testing import CliRunner

from experiments.official import import_evaluation
from experiments.recipe import load_recipe
from kvwire.cli.experiment import app
from kvwire.errors import InvalidRequestError, NotFoundError

MODEL = {
    "model_name": "Rosetta",
    "rosetta_config": {
        "base_model": "Lab/Small-1B",
        "teacher_model": "/models/large",
        "is_do_alignment": False,
        "checkpoints_dir": "made/large+small/final",
    },
    "generation_config": {"do_sample": False, "max_new_tokens": 32},
}
EVAL = {"dataset": "openbookqa", "gpu_ids": [0, 1], "answer_method": "generate", "sample_interval": 1}


def recipe(tmp_path, model=(), rosetta=(), **evaluation):
    config = {**MODEL["rosetta_config"], **dict(rosetta)}
    said = {
        "model": {**MODEL, "rosetta_config": config, **dict(model)},
        "output": {"output_dir": "found/here"},
        "eval": {**EVAL, **evaluation},
    }
    path = tmp_path / "theirs.yaml"
    path.write_text(yaml.safe_dump(said))
    return path


def imported(tmp_path, **changes):
    found = import_evaluation(recipe(tmp_path, **changes), tmp_path / "ours.yaml")
    (tmp_path / "ours.yaml").write_text(found.text)
    return found, load_recipe(str(tmp_path / "ours.yaml")).recipe


@pytest.mark.parametrize(
    ("dataset", "limit", "name", "ours"),
    [
        ("openbookqa", 40, "openbookqa", 40),
        ("ai2-arc", [None, 40], "arc_challenge", 40),
        ("mmlu-redux", 2, "mmlu_redux", 114),
        ("mmlu-redux", None, "mmlu_redux", None),
    ],
)
def test_a_dataset_is_ours_and_its_limit_too(tmp_path, dataset, limit, name, ours):
    """Theirs limits each of the 57 subjects of MMLU-Redux, of which ours takes one question each in turn."""
    _, recipe = imported(tmp_path, dataset=dataset, limit=limit)
    assert recipe.method == "fuse"
    assert recipe.fuser == "c2c"
    assert [(each.name, each.limit) for each in recipe.datasets] == [(name, ours)]


def test_models_checkpoint_and_folder_are_in_the_command(tmp_path):
    """The teacher is the sharer; a checkpoint is the folder around its final/."""
    found, _ = imported(tmp_path)
    assert found.command == (
        f"kvwire experiment run {tmp_path}/ours.yaml --pair path:/models/large:hf:Lab/Small-1B "
        "--fusers c2c=made/large+small --out found/here"
    )


def test_letters_that_are_written_are_written_here_too(tmp_path):
    """In a chat, so that tokens may be aligned; what is done as there is not told."""
    config = {"do_sample": False, "max_new_tokens": 64}
    found, recipe = imported(
        tmp_path,
        rosetta={"is_do_alignment": True},
        model={"generation_config": config},
        use_template=True,
        use_cot=False,
    )
    assert [each.scoring for each in recipe.datasets] == ["letter"]
    assert [each.key for each in found.left_out] == ["eval.gpu_ids"]


def test_letters_that_are_told_by_their_logits_are_scored_here(tmp_path):
    """Choices by the likelihood of their text, and nothing of what is written counts."""
    found, recipe = imported(tmp_path, answer_method="logits", use_template=True)
    assert [each.scoring for each in recipe.datasets] == ["loglik"]
    told = {each.key for each in found.left_out}
    assert told == {"eval.answer_method", "eval.use_template", "model.generation_config", "eval.gpu_ids"}


@pytest.mark.parametrize(("order", "selector"), [("front", "front"), ("back", "recency")])
def test_a_share_of_the_cache_is_kept(tmp_path, order, selector):
    """The first tokens of the prompt, or the last ones."""
    _, recipe = imported(tmp_path, kv_cache_proportion=0.25, kv_cache_order_mode=order)
    assert recipe.keep == (0.25,)
    assert recipe.selectors == (selector,)


def test_what_has_no_counterpart_is_told_and_the_rest_is_not(tmp_path):
    """By key, with what it says; keys nobody knows among them."""
    found, _ = imported(tmp_path, rosetta={"include_response": True}, sample_interval=3, seeds=[1])
    told = {each.key: each.value for each in found.left_out}
    assert told == {
        "model.rosetta_config.include_response": True,
        "model.generation_config": {"do_sample": False, "max_new_tokens": 32},
        "eval.sample_interval": 3,
        "eval.gpu_ids": [0, 1],
        "eval.seeds": [1],
    }
    assert all(each.why for each in found.left_out)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"dataset": "gsm8k"}, r"eval.dataset \('gsm8k'\) is no dataset of ours; there are openbookqa"),
        ({"limit": [10, 20]}, "eval.limit .* a range from 0"),
        ({"limit": -1}, "should be a number above 0"),
        ({"limit": "ten"}, r"eval.limit \('ten'\) should be int or list"),
        ({"kv_cache_proportion": 1.5}, "above 0 to 1"),
        ({"model": {"model_name": "two_stage"}}, "model.model_name .* baselines"),
        ({"rosetta": {"is_do_alignment": True}, "answer_method": "logits"}, "is_do_alignment .* needs chats"),
        ({"rosetta": {"base_model": None}}, "rosetta_config.base_model is missing"),
        ({"rosetta": {"teacher_model": {"a": "A/a", "b": "B/b"}}}, "teacher_model .* should be str"),
        ({"rosetta": {"checkpoints_dir": None}}, "checkpoints_dir is missing"),
    ],
)
def test_what_cannot_be_done_is_refused(tmp_path, changes, message):
    """By its key, before anything is written."""
    with pytest.raises(InvalidRequestError, match=message):
        import_evaluation(recipe(tmp_path, **changes), tmp_path / "ours.yaml")


@pytest.mark.parametrize("text", ["a: [", "- a", "model: 3", "\udcff"])
def test_a_file_that_is_no_recipe_is_refused(tmp_path, text):
    """No YAML, no mapping, no sections, no UTF-8."""
    path = tmp_path / "theirs.yaml"
    path.write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(InvalidRequestError, match=r"theirs\.yaml"):
        import_evaluation(path, tmp_path / "ours.yaml")
    with pytest.raises(NotFoundError):
        import_evaluation(tmp_path / "absent.yaml", tmp_path / "ours.yaml")


def test_the_command_writes_the_recipe_and_tells_the_rest(tmp_path):
    """What to run next goes to standard output alone."""
    out, told = tmp_path / "ours.yaml", tmp_path / "told.json"
    ended = CliRunner().invoke(app, ["import", str(recipe(tmp_path)), str(out), "--json", str(told)])
    assert ended.exit_code == 0, ended.output
    assert ended.stdout.startswith("kvwire experiment run")
    assert len(ended.stdout.splitlines()) == 1
    assert "eval.gpu_ids" in ended.stderr
    assert load_recipe(str(out)).recipe.title == "theirs, official C2C evaluation"
    assert json.loads(told.read_text())["left_out"][-1]["why"]
