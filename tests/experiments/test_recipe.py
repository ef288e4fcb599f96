"""A recipe is refused before anything runs, by file, line and key, with what is allowed."""

import json
from typing import get_args

import pytest

from codec.registry import SELECTORS
from experiments.arms import arms_of
from experiments.questions.load import load_questions, other_context
from experiments.recipe import SHIPPED, Selector, load_recipe
from kvwire.errors import InvalidRequestError, NotFoundError

GOOD = """\
title: t
datasets:
  - name: pocket
    limit: 3
codecs: [int8]
keep: [1, 0.5]
selectors: [recency]
"""


def write(tmp_path, text):
    path = tmp_path / "recipe.yaml"
    path.write_text(text)
    return str(path)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (
            "codecs:",
            "codec:",
            ["line 5 (codec)", "unknown key 'codec'", "codecs, unpruned, policies, other_fusers, selectors, keep"],
        ),
        ("limit:", "limt:", ["line 4 (datasets.0.limt)", "unknown key", "limit"]),
        ("pocket", "poket", ["line 3 (datasets.0)", "pocket", "wikitext2", "file:PATH"]),
        ("limit: 3", "limit: 0", ["line 4 (datasets.0.limit)", "greater than or equal to 1"]),
        ("0.5]", "0]", ["line 6 (keep.1)", "greater than 0, not 0"]),
        ("0.5]", "1.01]", ["line 6 (keep.1)", "less than or equal to 1, not 1.01"]),
        ("0.5]", ".nan]", ["line 6 (keep.1)", "finite number, not nan"]),
        ("0.5]", "half]", ["line 6 (keep.1)", "valid number, not 'half'"]),
        ("0.5]", "0.5, 0.5]", ["line 6 (keep)", "0.5 is listed twice"]),
        ("recency", "recent", ["line 7 (selectors.0)", "'recency', 'front', 'random'", "not 'recent'"]),
        ("selectors: [recency]\n", "", ["line 6 (keep)", "needs `selectors`"]),
        ("keep: [1, 0.5]", "keep: [1]", ["line 6 (keep)", "nothing to do"]),
        ("int8", "int8+keep=0.5", ["line 5 (codecs)", "under `keep`"]),
        ("int8", "'int 8'", ["line 5 (codecs)", "no codec spec", "int8:per=head"]),
        ("title: t", "title: t\nunpruned: [int8]", ["line 2 (unpruned)", "'int8' is listed twice"]),
        ("title: t", "title: t\nunpruned: [int8+keep=0.5]", ["line 2 (unpruned)", "under `keep`"]),
        ("title: t", "title: t\ntitle: u", ["line 2", "'title' stands on line 1 already"]),
        ("title: t", "method: text", ["line 1 (title)", "missing"]),
        ("title: t", "title: [", ["line ", "not YAML"]),
        ("title: t", "title: t\nbaselines: [reads]", ["line 2 (baselines.0)", "'receiver_reads'"]),
        ("title: t", "title: t\ncontrols: {zeroed: true}", ["line 2 (controls)", "that control is", "receiver_only"]),
        ("title: t", "title: t\ncontrols: {zero: true}", ["line 2 (controls.zero)", "allowed: zeroed, without_sharer"]),
        ("title: t", "title: t\npolicies: [budget]", ["line 2 (policies)", "budget=65536"]),
        ("title: t", "title: t\nneeds: {a: {how: buy}}", ["line 2 (needs.a)", "'calibrate'", "'hub'"]),
        ("title: t", "title: t\nneeds: {a: {how: calibrate, size: 1}}", ["(needs.a.size)", "allowed: how, pieces"]),
        ("title: t", "title: t\nneeds: {hub: {how: calibrate, size: 1}}", ["(needs.hub.size)", "allowed: how, pieces"]),
        ("title: t", "title: t\npath: x", ["line 2 (path)", "unknown key 'path'; allowed: title, row, pair"]),
        ("title: t", "title: t\nneeds: {a: {how: train, start: b, steps: 1}}", ["(needs)", "trained from 'b'"]),
        ("limit: 3", "scoring: letters", ["line 4 (datasets.0.scoring)", "'loglik' or 'letter'"]),
        ("    limit: 3", "    context_characters: 3", ["line 4 (datasets.0.context_characters)", "open_book"]),
    ],
)
def test_a_mistake_is_named_by_line_and_key_with_what_is_allowed(tmp_path, old, new, words):
    """Each kind of mistake, in an otherwise good recipe."""
    path = write(tmp_path, GOOD.replace(old, new))
    with pytest.raises(InvalidRequestError) as refused:
        load_recipe(path)
    assert all(word in str(refused.value) for word in [path, *words]), refused.value


@pytest.mark.parametrize("text", ["", "just text", "- 1", "a: &a [*a]", "\x00"])
def test_what_is_no_recipe_at_all_is_refused(tmp_path, text):
    """Empty files, lists and loops too."""
    with pytest.raises(InvalidRequestError, match=r"recipe\.yaml"):
        load_recipe(write(tmp_path, text))


def test_an_unknown_recipe_names_those_we_ship():
    """A name is looked up among the shipped ones."""
    with pytest.raises(NotFoundError, match=r"first-curve, fuse-self, fusers, .*, smoke"):
        load_recipe("frist-curve")


@pytest.mark.parametrize("name", [file.stem for file in SHIPPED.glob("*.yaml")])
def test_every_shipped_recipe_is_valid(name):
    """By name, from anywhere."""
    assert load_recipe(name).recipe.title


def test_the_first_curve_has_every_codec_ratio_and_selector():
    """Six codecs, whole and at three ratios by five selectors, beside the reference and four baselines."""
    arms = arms_of(load_recipe("first-curve").recipe, "none")
    assert len(arms) == 1 + 4 + 6 * (1 + 3 * 5) == len({arm.name for arm in arms})
    assert arms[0].reference


def test_the_selectors_a_recipe_may_name_are_those_of_the_codec():
    """Experiments may not import the codec; this keeps the two lists the same."""
    assert set(get_args(Selector)) == set(SELECTORS)


def test_a_missing_dataset_file_is_refused_at_its_line(tmp_path):
    """With the folder that was searched and what it should hold."""
    named = load_recipe(write(tmp_path, GOOD.replace("pocket", "wikitext2")))
    with pytest.raises(InvalidRequestError, match=r"line 3 \(datasets\.0\.name\): .* has no wikitext2/"):
        load_questions(named, tmp_path, None)


def test_a_dataset_without_a_context_is_refused_for_prefix(tmp_path):
    """There would be nothing to send."""
    (tmp_path / "rows.jsonl").write_text(
        '{"id": "a", "question": "q", "choices": {"text": ["x", "y"], "label": ["A", "B"]}, "answerKey": "A"}\n'
    )
    named = load_recipe(write(tmp_path, GOOD.replace("pocket", f"file:{tmp_path}/rows.jsonl")))
    with pytest.raises(InvalidRequestError, match="nothing that only the sharer reads; set open_book"):
        load_questions(named, None, None)


def test_a_control_with_a_single_item_is_refused(tmp_path):
    """Another item's context needs another item."""
    named = load_recipe(write(tmp_path, GOOD.replace("limit: 3", "wrong_context: all")))
    with pytest.raises(InvalidRequestError, match=r"line 4 .*the control needs another"):
        load_questions(named, None, 1)


def test_the_control_takes_the_context_of_the_item_before(tmp_path):
    """And the first item that of the last."""
    (questions,) = load_questions(load_recipe(write(tmp_path, GOOD)), None, None)
    contexts = [question.context for question in questions]
    assert [other_context(questions, index) for index in range(3)] == [contexts[2], contexts[0], contexts[1]]


def test_the_control_is_never_of_the_same_document(tmp_path):
    """Another paragraph of one article would tell of the same things; a single article is refused."""
    text = "Rain fell on the harbour for days and nights, and the bells of the tower rang {}, and nobody knew why."
    articles = [
        {"title": title, "paragraphs": [{"context": text.format(f"{title} {n}")} for n in range(count)]}
        for title, count in (("a", 3), ("b", 1))
    ]
    (tmp_path / "xquad.en.json").write_text(json.dumps({"data": articles}))
    lengths = "context_characters: 85\n    continuation_characters: 5\n    wrong_context: all"
    named = load_recipe(write(tmp_path, GOOD.replace("pocket", "xquad_contexts").replace("limit: 3", lengths)))
    (questions,) = load_questions(named, tmp_path, None)
    assert [question.cluster for question in questions] == ["a", "b", "a", "a"]
    wrong = [other_context(questions, index).split(" rang ")[1][0] for index in range(4)]
    assert wrong == ["b", "a", "b", "b"]
    (tmp_path / "xquad.en.json").write_text(json.dumps({"data": articles[:1]}))
    with pytest.raises(InvalidRequestError, match=r"wrong_context\): .*the control needs another"):
        load_questions(named, tmp_path, None)


def test_what_is_unpruned_makes_one_arm_whatever_the_ratios(tmp_path):
    """Behind the pruned ones."""
    arms = arms_of(load_recipe(write(tmp_path, f"unpruned: [fp16]\n{GOOD}")).recipe, "none")
    assert [arm.spec for arm in arms if arm.codec] == ["fp32", "int8", "int8+keep=0.5,by=recency,scope=layer", "fp16"]


def test_every_cache_arm_goes_through_the_fuser_of_the_recipe(tmp_path):
    """Baselines need none."""
    recipe = load_recipe(write(tmp_path, f"fuser: mapped\n{GOOD}")).recipe
    arms = arms_of(recipe, "all")
    assert {arm.exchange(1).fuser for arm in arms if arm.codec} == {"mapped"}
    assert {arm.exchange(1).fuser for arm in arms_of(load_recipe(write(tmp_path, GOOD)).recipe, "all")} == {"identity"}


def test_the_limit_of_the_command_lowers_that_of_the_recipe(tmp_path):
    """It never raises it."""
    named = load_recipe(write(tmp_path, GOOD))
    assert [len(load_questions(named, None, limit)[0]) for limit in (2, 50, None)] == [2, 3, 3]


def test_one_dataset_may_be_asked_in_several_ways(tmp_path):
    """Under labels, by which results tell them apart; without one its name stands twice."""
    twice = "datasets:\n  - {name: pocket, label: letters, scoring: letter}\n"
    named = load_recipe(write(tmp_path, GOOD.replace("datasets:\n", twice)))
    assert [dataset.called for dataset in named.recipe.datasets] == ["letters", "pocket"]
    with pytest.raises(InvalidRequestError, match="'pocket' is listed twice"):
        load_recipe(write(tmp_path, GOOD.replace("datasets:\n", twice.replace(", label: letters", ""))))


def test_controls_come_behind_all_codecs_and_name_their_fusers(tmp_path):
    """One sharer needs no name; of two, each has one."""
    text = f"""fuser: mapped\nother_fusers: [also]\nbaselines: [sharer_only]
controls: {{zeroed: true, without_sharer: alone, same_model: own}}\n{GOOD}"""
    arms = arms_of(load_recipe(write(tmp_path, text)).recipe, "none")
    assert [(arm.control, arm.fuser, arm.sharer) for arm in arms[-3:]] == [
        ("zeroed sharer", "mapped:zeroed", "sharer"),
        ("fuser without sharer", "alone:zeroed", "sharer"),
        ("same model", "own", "self"),
    ]
    assert {arm.spec for arm in arms if arm.control} == {"fp32"}
    assert [arm.spec for arm in arms if arm.fuser == "also"] == ["fp32", "int8"]
    assert {arm.sharer for arm in arms[:-1]} == {"sharer"}
    assert {arm.sharer for arm in arms_of(load_recipe(write(tmp_path, GOOD)).recipe, "all")} == {""}


def test_a_policy_is_an_arm_that_leaves_the_codec_to_the_sharer(tmp_path):
    """It sends what an exchange with that policy sends."""
    recipe = load_recipe(write(tmp_path, f"policies: [budget=9000]\n{GOOD}")).recipe
    (arm,) = (arm for arm in arms_of(recipe, "none") if arm.policy)
    assert (arm.name, arm.exchange(0).policy, arm.exchange(0).codec) == ("prefix budget=9000", "budget=9000", "fp16")


@pytest.mark.parametrize(
    ("baseline", "dataset", "said"),
    [
        ("text_options", "wikitext2", "wikitext2 has items without options"),
        ("text_question", "wikitext2", "wikitext2 has items without question"),
        ("text", "file:rows.jsonl", "has items without context"),
    ],
)
def test_a_relay_that_has_nothing_to_show_is_refused(tmp_path, monkeypatch, baseline, dataset, said):
    """Continuations have no question, closed-book questions no context."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "rows.jsonl").write_text(
        '{"id": "a", "question": "q", "choices": {"text": ["x", "y"], "label": ["A", "B"]}, "answerKey": "A"}\n'
    )
    (tmp_path / "wikitext2").mkdir()
    (tmp_path / "wikitext2" / "wikitext-2-raw_test.txt").write_text(" = A = \n" + "word " * 400)
    text = f"method: fuse\nbaselines: [{baseline}]\n{GOOD}".replace("pocket", dataset)
    with pytest.raises(InvalidRequestError, match=rf"line 2 \(baselines\): {baseline}: .*{said}"):
        load_questions(load_recipe(write(tmp_path, text)), tmp_path, None)
