"""What a result depends on: nothing else is added to its folder, and nothing that differs is put together."""

from dataclasses import replace

import pytest

from experiments.engines.base import Introduction
from experiments.here import code_here
from experiments.plan import plan_of
from experiments.provenance import begin, provenance
from experiments.questions.load import load_questions
from experiments.recipe import load_recipe
from kvwire.errors import BindingError, InvalidRequestError
from kvwire.model_card import Description, Limits, ModelBinding, ModelCard

RECIPE = "title: tiny\ndatasets: [{{name: pocket, limit: {limit}}}]\ncodecs: [int8]\n"
CARD = ModelCard(ModelBinding("tiny", "1", b"w", b"t"), "llama", "f32", "float32", "cpu", 2, 16, 512, 1024, (), ())
MODEL = Description(CARD, ("int8",), ("identity",), (), Limits(), (), "kvwire")
WORKER = Introduction({"receiver": MODEL, "sharer": MODEL}, code_here(), {"cpu": "A fast one"})


@pytest.fixture
def plan(tmp_path):
    """Of so many items."""

    def made(limit=3):
        path = tmp_path / "tiny.yaml"
        path.write_text(RECIPE.format(limit=limit))
        named = load_recipe(str(path))
        return plan_of(named, load_questions(named, None, None))

    return made


def test_a_folder_of_another_run_is_refused_with_what_differs(plan, tmp_path):
    """The same run goes on, another recipe does not mix in."""
    one, other = (provenance(plan(limit), [WORKER], {"workers": 1}) for limit in (3, 2))
    path = tmp_path / "run.json"
    begin(path, one)
    text = path.read_text()
    begin(path, {**one, "begun": "later"})
    with pytest.raises(InvalidRequestError, match=r"recipe\.sha256 was .*; datasets was ") as refused:
        begin(path, other)
    assert str(tmp_path) in str(refused.value)
    assert path.read_text() == text


def test_workers_of_different_code_are_refused_with_what_differs(plan):
    """Lines of two versions must not stand in one file."""
    older = replace(WORKER, code={**WORKER.code, "torch": "1.0"})
    with pytest.raises(BindingError, match=r"torch was 2.*, is 1\.0"):
        provenance(plan(), [WORKER, older], {})


def test_workers_may_run_on_machines_of_different_kinds(plan):
    """Each kind is named once."""
    slower = replace(WORKER, machine={"cpu": "A slower one"})
    machine = provenance(plan(), [WORKER, slower, WORKER], {})["machine"]
    assert [machine["cpu"], *(other["cpu"] for other in machine["other_machines"])] == ["A fast one", "A slower one"]
