"""What is made for recipes, and which of them run on the same services."""

import json
from pathlib import Path

import pytest

from experiments.plan import plan_of
from experiments.questions.load import load_questions
from experiments.recipe import load_recipe
from kvwire.cli.experiment_groups import Given, grouped
from kvwire.cli.experiment_services import Wanted
from kvwire.errors import NotFoundError, StartError
from kvwire.processes import Pair


@pytest.fixture
def plan(tiny_llama, tmp_path, monkeypatch):
    """A plan of four questions for the tiny Llama with itself; ``more`` goes into its recipe."""
    monkeypatch.setenv("KVWIRE_HOME", str(tmp_path / "home"))

    def made(name, more=""):
        path = tmp_path / f"{name}.yaml"
        pair = f"path:{tiny_llama}:path:{tiny_llama}"
        path.write_text(f"title: t\npair: {pair}\ncodecs: [int8]\ndatasets: [{{name: pocket, limit: 4}}]\n{more}")
        named = load_recipe(str(path))
        return plan_of(named, load_questions(named, None, None))

    return made


def test_recipes_that_need_the_same_run_on_the_same_services(plan, tmp_path):
    """Another fuser, or the receiver's own model as sharer, needs others; the order is that of the first."""
    (tmp_path / "f.safetensors").write_bytes(b"fuser")
    needs = f"needs: {{f: {{how: path, path: {tmp_path / 'f.safetensors'}}}}}\n"
    plans = [plan("a"), plan("b", needs), plan("c"), plan("d", "controls: {same_model: identity}\n"), plan("e", needs)]
    groups = list(grouped(plans, Given(options=("--threads", "1"))))
    assert [[each.named.name for each in group.plans] for group in groups] == [["a", "c"], ["b", "e"], ["d"]]
    assert groups[1].wanted.fusers == (f"f={tmp_path / 'f.safetensors'}",)
    assert [group.wanted.same_model for group in groups] == [False, False, True]
    assert {group.wanted.options for group in groups} == {("--threads", "1")}
    assert set(groups[1].made) == {"b", "e"}
    assert len(groups[1].made["b"]["f"]) == 64
    assert groups[0].made == {"a": {}, "c": {}}


def test_what_the_command_line_gives_is_not_made(plan):
    """A fuser of the same name, and another pair."""
    more = "fuser: f\nneeds: {f: {how: path, path: nowhere}}\n"
    given = Given(pair="smollm2-135m:gemma3-270m", fusers=("f=mine.safetensors",))
    (group,) = grouped([plan("a", more)], given)
    assert group.wanted == Wanted(Pair("smollm2-135m", "gemma3-270m"), ("f=mine.safetensors",))
    with pytest.raises(NotFoundError, match="nowhere is not there; the recipe names it for fuser f"):
        list(grouped([plan("a", more)], Given()))


def test_a_fuser_is_made_by_its_command_and_only_once(plan, tmp_path, capfd):
    """A fresh C2C fuser of two tiny models; the second time it is there."""
    more = "method: fuse\nfuser: c2c\nneeds: {c2c: {how: fresh, hidden: 8, inner: 8}}\n"
    given = Given(artifacts=tmp_path / "artifacts")
    (first,) = grouped([plan("a", more)], given)
    assert "kvwire fuser fresh" in capfd.readouterr().err
    (again,) = grouped([plan("a", more)], given)
    assert "kvwire" not in capfd.readouterr().err
    assert first == again
    (file,) = (tmp_path / "artifacts").glob("fresh-*.safetensors")
    assert again.wanted.fusers == (f"c2c={file}",)


@pytest.mark.slow
def test_a_command_that_fails_ends_the_run_with_its_words(plan, tmp_path):
    """Nothing was started for the recipe yet."""
    text = tmp_path / "data" / "wikitext2" / "wikitext-2-raw_train.txt"
    text.parent.mkdir(parents=True)
    text.write_text("Too short.\n")
    more = "fuser: ridge\nneeds: {ridge: {how: calibrate}}\n"
    with pytest.raises(StartError, match=r"kvwire fuser calibrate .* ended with status 1"):
        list(grouped([plan("a", more)], Given(data=tmp_path / "data", artifacts=tmp_path)))


def test_a_folder_is_known_by_all_its_files(plan, tmp_path):
    """An official checkpoint is one."""
    folder = tmp_path / "checkpoint"
    (folder / "final").mkdir(parents=True)
    needs = f"needs: {{c2c: {{how: path, path: {folder}}}}}\n"
    found = []
    for said in ("a", "b"):
        (folder / "final" / "file.json").write_text(json.dumps(said))
        (group,) = grouped([plan("a", needs)], Given())
        found.append(group.made["a"]["c2c"])
    assert found[0] != found[1]


def test_tables_are_made_for_recipes_that_code_by_rate(plan, tmp_path):
    """And looked for where services find them."""
    given = Given(data=tmp_path, artifacts=tmp_path / "artifacts")
    (tmp_path / "wikitext2").mkdir()
    (tmp_path / "wikitext2" / "wikitext-2-raw_train.txt").write_text("Text.\n")
    for codec in ('unpruned: ["rd:bits=2"]\n', 'unpruned: ["int4+mix=k@rd:bits=2"]\n'):
        (needed,) = given.needs_of(plan("a", codec).named.recipe).artifacts
        assert needed.command[:2] == ("codec", "calibrate")
        assert needed.file.parent == Path(tmp_path / "home" / "calibrations")
    (needed,) = given.needs_of(plan("a", "policies: [budget=9000]\n").named.recipe).artifacts
    assert needed.command[:2] == ("codec", "profile")
    assert given.needs_of(plan("a").named.recipe).artifacts == ()
