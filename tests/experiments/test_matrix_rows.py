"""Every row of the matrix has its recipes, and says how far it has come."""

import contextlib
import re

import pytest

from codec.codec import Codec
from codec.spec import CodecSpec
from experiments.arms import cache_arms
from experiments.matrix import ROWS, VARIANTS, entries, recipes_of, variant
from experiments.needs import Published
from experiments.recipe import SHIPPED, load_recipe
from kvwire.cli.experiment_checks import absent, look
from kvwire.cli.experiment_groups import Given
from kvwire.cli.experiment_matrix import row_states
from kvwire.errors import BindingError
from kvwire.models.catalog import CATALOG
from kvwire.processes import Pair

MEASURING = [name for name in (path.stem for path in sorted(SHIPPED.glob("*.yaml"))) if load_recipe(name).recipe.row]


@pytest.fixture(autouse=True)
def own_home(tmp_path, monkeypatch):
    """No model is on disk, no hub is asked."""
    monkeypatch.setenv("KVWIRE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


@pytest.mark.parametrize("row", ROWS)
def test_every_row_is_there_for_the_literatures_pair_and_for_one_that_runs_here(row):
    """But accuracy by itself, which the literature's rows all have."""
    variants = {entry.variant for entry in entries() if entry.row.removesuffix(entry.variant) == row}
    assert "-local" in variants
    assert ("" in variants) == (row != "ACC")


@pytest.mark.parametrize("name", MEASURING)
def test_a_recipe_of_a_row_names_rows_that_exist_and_its_pair(name):
    """All of one variant; local ones run on models of the catalog, the literature's on pinned ones of the hub."""
    recipe = load_recipe(name).recipe
    assert {row.removesuffix(variant(row)) for row in recipe.row} <= ROWS.keys()
    (kind,) = {variant(row) for row in recipe.row}
    assert kind in VARIANTS
    pair = Pair.parse(recipe.pair)
    for model in (pair.sharer, pair.receiver):
        assert re.fullmatch(r"hf:[\w.-]+/[\w.-]+@[0-9a-f]{40}", model) if kind == "" else model in CATALOG
    for need in recipe.needs.values():
        assert not isinstance(need, Published) or re.fullmatch("[0-9a-f]{40}", need.revision)
    named = {recipe.fuser, *recipe.other_fusers, recipe.controls.without_sharer, recipe.controls.same_model}
    assert named - {"", "identity"} <= recipe.needs.keys()
    assert (kind == "-self") == (pair.sharer == pair.receiver)


@pytest.mark.parametrize("name", MEASURING)
def test_every_codec_of_a_recipe_can_be_made(name):
    """The services would refuse it, but only once they run; ``rd`` may still want its tables."""
    for arm in cache_arms(load_recipe(name).recipe):
        if arm.codec:
            with contextlib.suppress(BindingError):
                Codec(CodecSpec.parse(arm.spec))


def test_all_six_ordered_pairs_are_there():
    """Of the three families that run here."""
    pairs = {entry.named.recipe.pair for entry in entries() if entry.row == "PAIRS-local"}
    assert pairs == {f"{one}:{other}" for one in CATALOG for other in CATALOG if one != other}


def test_a_recipe_of_several_rows_runs_once():
    """In the order of the table."""
    names = [named.name for named in recipes_of("-local", "-self")]
    assert len(set(names)) == len(names)
    assert names.index("baselines-local") < names.index("quantized-local") < names.index("pruned-local")
    assert not any(name.startswith("c2c") for name in names)


def test_a_row_says_what_it_lacks():
    """The literature's a GPU and the hub; local ones fetch their models first."""
    states = {(state.row, state.recipe): state for state in row_states(None, Given())}
    assert states["A1", "c2c-baselines"].state == "missing"
    assert "hf:Qwen/Qwen3-0.6B@" in states["A1", "c2c-baselines"].why
    assert states["B1-self", "quantized-self"].state == "ready"
    assert "smollm2-135m will be fetched first" in states["B1-self", "quantized-self"].why


@pytest.mark.parametrize(
    ("items", "state", "why"),
    [(2, "measured", "pocket 2 of 2 items"), (3, "ready", "begun: pocket 2 of 3 items")],
)
def test_a_row_whose_results_are_there_is_measured(write_results, items, state, why):
    """Or begun, where items are missing."""
    folder = write_results(items=2, name="quantized-self")
    run = (folder / "run.json").read_text()
    if items > 2:
        (folder / "run.json").write_text(run.replace('"item-1"]', '"item-1", "item-2"]'))
    found = next(found for found in row_states(folder.parent, Given()) if found.row == "B1-self")
    assert (found.state, found.why) == (state, why)


def recipe(tmp_path, **changes):
    fields = {"pair": "hf:o/n@" + "0" * 40 + ":smollm2-135m", "needs": "{}"} | changes
    path = tmp_path / "r.yaml"
    said = "".join(f"{key}: {value}\n" for key, value in fields.items())
    path.write_text(f"title: t\n{said}codecs: [int8]\ndatasets: [{{name: pocket, limit: 2}}]\n")
    return load_recipe(str(path))


@pytest.mark.parametrize(
    ("changes", "what", "said"),
    [
        ({"pair": "hf:o/n:smollm2-135m"}, "model hf:o/n", "revision 'main' moves; give the commit"),
        ({"pair": "nobody:smollm2-135m"}, "model nobody", "no model is called"),
        ({"needs": "{c: {how: hub, repo: o/f, folder: d}}"}, "fuser c", "must give the revision of o/f"),
        ({"needs": "{c: {how: path, path: nowhere}}"}, "fuser c", "nowhere"),
    ],
)
def test_what_is_wrong_with_a_recipe_is_found_without_the_hub(tmp_path, changes, what, said):
    """A revision that is not given is never made up."""
    assert all(check.passed for check in look(recipe(tmp_path), Given(), ask_hub=True))
    found = look(recipe(tmp_path, **changes), Given(), ask_hub=True)
    failed = next(check for check in found if not check.passed)
    assert failed.what == what
    assert said in failed.said


def test_what_only_others_can_give_is_named_with_who_can(tmp_path):
    """A GPU, a model and a fuser, in this order; what is in the catalog is no obstacle."""
    revision = "1" * 40
    named = recipe(tmp_path, needs=f"{{c: {{how: hub, repo: o/f, folder: d, revision: '{revision}'}}}}")
    found = [(each.what, each.giver) for each in absent(named, Given(), on_gpu=True)]
    assert found == [("a GPU", "another machine"), ("model hf:o/n@" + "0" * 40, "the hub"), ("fuser c", "the hub")]
