"""A whole run over the real wire: order, content, comparison, reuse, and what ends it."""

import asyncio
import json
from pathlib import Path

import pytest

from experiments.engines.base import Introduction
from experiments.engines.pair_worker import PairWorker
from experiments.ledger import Ledger
from experiments.plan import Plan, plan_of
from experiments.preflight import preflight
from experiments.provenance import provenance
from experiments.questions.load import load_questions
from experiments.recipe import load_recipe
from experiments.runner import Runner
from kvwire.client import Client
from kvwire.errors import InvalidRequestError, UnavailableError

RECIPE = """\
title: tiny
datasets:
  - name: pocket
    limit: 3
    wrong_context: unpruned
  - name: wikitext2
    limit: 1
    context_characters: 60
    continuation_characters: 20
  - name: xquad_en
codecs: [int8]
keep: [1, 0.5]
selectors: [front]
relay_max_tokens: 2
together: 3
timed: 1
"""
ARTICLE = " = Mia = \n\n Mia hid the key under the mat because she did not want to carry it on her way to the sea . \n"
ASKED = {"id": "s1", "question": "Where is the key?", "answers": [{"text": "the mat"}]}
SPANS = {"data": [{"paragraphs": [{"context": "It is under the mat.", "qas": [ASKED]}]}]}


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    """One article and one reading question."""
    folder = tmp_path_factory.mktemp("data")
    (folder / "wikitext2").mkdir()
    (folder / "wikitext2" / "wikitext-2-raw_test.txt").write_text(ARTICLE)
    (folder / "xquad.en.json").write_text(json.dumps(SPANS))
    return folder


def plan(folder, data, text=RECIPE) -> Plan:
    path = folder / "tiny.yaml"
    path.write_text(text)
    named = load_recipe(str(path))
    return plan_of(named, load_questions(named, data, None))


async def run(plan, address, path, workers=1) -> list[dict]:
    worker = PairWorker(address, address, "in-process")
    with Ledger(path, list(plan.keys())) as ledger:
        await Runner([worker] * workers, plan).run(ledger, lambda _: None)
    await worker.close()
    return [json.loads(line) for line in path.read_text().splitlines()]


async def introduced(pair) -> Introduction:
    worker = PairWorker(pair.sharer, pair.receiver, "in-process")
    found = await worker.introduce()
    await worker.close()
    return found


@pytest.fixture(scope="module")
def lines(pair, data, tmp_path_factory) -> list[dict]:
    """The lines of one uninterrupted run."""
    folder = tmp_path_factory.mktemp("run")
    return asyncio.run(run(plan(folder, data), pair.receiver, folder / "results.jsonl"))


def of(lines, dataset, arm):
    return [line for line in lines if (line["dataset"], line["arm"]) == (dataset, arm)]


def test_every_item_goes_through_every_arm_in_the_planned_order(lines, data, tmp_path):
    """And none fails."""
    keys = [(line["dataset"], line["item"], line["arm"]) for line in lines]
    assert keys == list(plan(tmp_path, data).keys())
    assert [line["error"] for line in lines if line["error"]] == []
    assert len(keys) == 3 * (7 + 3) + 7 + 7


async def test_a_second_run_writes_the_same_but_for_what_is_measured(lines, data, pair, tmp_path):
    """Answers, likelihoods, tokens and bytes are a function of the recipe."""
    again = await run(plan(tmp_path, data), pair.receiver, tmp_path / "results.jsonl")
    # The request id is made from the recipe and the line, so that even the bytes around a cache are the same.
    assert [{**line, "measured": None} for line in again] == [{**line, "measured": None} for line in lines]


async def test_items_that_run_side_by_side_are_written_in_the_same_order(lines, data, pair, tmp_path):
    """And are the same but for what is measured."""
    again = await run(plan(tmp_path, data), pair.receiver, tmp_path / "results.jsonl", workers=3)
    assert [{**line, "measured": None} for line in again] == [{**line, "measured": None} for line in lines]


def test_arms_are_compared_with_the_uncompressed_cache(lines):
    """Reading equals it, int8 is near, half of the tokens is further away; the reference and controls are not asked."""
    (reads,), (int8,), (half,), (reference,) = (
        of(lines, "wikitext2", arm)
        for arm in ("receiver_reads", "prefix int8", "prefix int8+keep=0.5,by=front", "prefix fp32")
    )
    assert reads["result"]["kl_nats"] < 1e-6
    assert reads["result"]["same_top1"] == 1
    assert reads["result"]["kl_nats"] < int8["result"]["kl_nats"] < half["result"]["kl_nats"]
    assert reference["result"]["kl_nats"] is None
    assert all(line["result"]["kl_nats"] is None for line in lines if line["arm"].startswith("wrong context"))


def test_the_control_gets_the_context_of_another_item(lines):
    """Its likelihood is that of neither the right context nor none."""
    for item in range(3):
        wrong, right, none = (
            of(lines, "pocket", arm)[item]["result"]["nll_nats"]
            for arm in ("wrong context, prefix fp32", "prefix fp32", "receiver_only")
        )
        own = of(lines, "pocket", "wrong context, receiver_reads")[item]["result"]["nll_nats"]
        assert wrong == pytest.approx(own, abs=1e-3)
        assert len({wrong, right, none}) == 3


def test_the_sharer_reads_an_item_once(lines):
    """The reference pays for the prefill, the other cache arms of the item do not.

    Of the last item not even the reference: it is the one before the first, so the first control has read it.
    """
    for item in range(2):
        first, *later = [
            of(lines, "pocket", arm)[item]["measured"]["stages_ms"]["sharer.prefill"]
            for arm in ("prefix fp32", "prefix int8", "prefix int8+keep=0.5,by=front")
        ]
        assert max(later) < first


def test_only_items_asked_one_by_one_have_a_latency(lines):
    """The first of a dataset, and every reference; what is written is always asked by itself."""
    timed = {(line["item"], line["arm"]) for line in lines if line["measured"]["ttft_ms"] is not None}
    items = list(dict.fromkeys(line["item"] for line in lines if line["dataset"] == "pocket"))
    by_itself = {items[0], *(line["item"] for line in lines if line["dataset"] != "pocket")}
    assert timed == {
        (line["item"], line["arm"]) for line in lines if line["item"] in by_itself or line["arm"] == "prefix fp32"
    }


async def test_arms_scored_together_give_what_they_give_one_by_one(lines, data, pair, tmp_path):
    """But for rounding: same decisions, same bytes, likelihoods equal to the fifth digit."""
    apart = await run(plan(tmp_path, data, RECIPE.replace("timed: 1", "timed: 9")), pair.receiver, tmp_path / "l")
    for one, other in zip(lines, apart, strict=True):
        if one["dataset"] == "pocket":
            assert one["result"]["nll_nats"] == pytest.approx(other["result"]["nll_nats"], abs=1e-5)
            assert one["result"]["decision"] == other["result"]["decision"]
            assert one["bytes"] == other["bytes"]


def test_written_answers_are_scored_by_exact_match_and_f1(lines):
    """A reply and its scores, and no likelihood."""
    for line in lines:
        if line["dataset"] == "xquad_en":
            assert set(line["result"]) == {"exact", "f1", "reply"}


def test_bytes_and_tokens_are_in_every_line_that_sent_something(lines):
    """Half of the tokens take about half of the bytes."""
    (whole,), (half,) = (of(lines, "wikitext2", f"prefix int8{keep}") for keep in ("", "+keep=0.5,by=front"))
    assert whole["tokens"]["slots"] == half["tokens"]["slots"] > 10
    assert 0.4 < half["bytes"]["payload"] / whole["bytes"]["payload"] < 0.7
    assert whole["bytes"]["payload"] < whole["bytes"]["grpc"] < whole["measured"]["socket_bytes"]


async def test_an_item_the_service_refuses_is_a_failed_line_and_the_run_goes_on(pair, tmp_path):
    """Too long for the model: an error in its lines, answers in the others'."""
    row = {"question": "q", "choices": {"text": ["x", "y"], "label": ["A", "B"]}, "answerKey": "A"}
    rows = [{**row, "id": "long", "fact1": "word " * 5000}, {**row, "id": "short", "fact1": "word"}]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(each) + "\n" for each in rows))
    text = f"title: t\ndatasets: [{{name: 'file:{tmp_path}/rows.jsonl', open_book: true}}]\ncodecs: [int8]\n"
    lines = await run(plan(tmp_path, None, text), pair.receiver, tmp_path / "results.jsonl")
    errors = {(line["item"], line["arm"]): line["error"] for line in lines}
    assert errors["long", "prefix int8"].startswith("InvalidRequestError: the receiver: ")
    assert errors["short", "prefix int8"] is None
    assert errors["long", "receiver_only"] is None


def test_a_failed_line_names_no_address():
    """They change with every run; there may be several of each service."""
    worker = PairWorker("s:1,s:2", "r:1, r:2", "here")
    assert worker._without_addresses("r:2 was full, s:1 too") == "the receiver was full, the sharer too"


async def test_services_that_are_gone_end_the_run(tmp_path, data):
    """Not one failure per line: nothing is written, and the words say how to go on."""
    with pytest.raises(UnavailableError, match="run the same command again to go on"):
        await run(plan(tmp_path, data), "127.0.0.1:1", tmp_path / "results.jsonl")
    assert (tmp_path / "results.jsonl").read_text() == ""


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("codecs: [int8]", "fuser: mapped\ncodecs: [int8]", r"line 11 \(fuser\): .*'mapped', only identity"),
        ("codecs: [int8]", "codecs: [fp16, int7]", r"line 11 \(codecs\.1\): int7 by method prefix: .*int8"),
        ("codecs: [int8]", "codecs: [int8]\nunpruned: [int7]", r"line 12 \(unpruned\.0\): int7 by"),
        ("codecs: [int8]", "codecs: ['int8:pre=head']", r"line 11 \(codecs\.0\): .*'pre'.*per"),
        ("codecs: [int8]", "codecs: [int8+rope=before]", r"line 11 \(codecs\.0\): .*pre, post"),
        ("codecs: [int8]", "codecs: [int8+entropy=ans]", r"line 11 \(codecs\.0\): .*does not offer entropy=ans"),
    ],
)
async def test_a_fuser_or_a_spec_the_services_refuse_is_refused_at_its_line_before_anything_runs(
    pair, data, tmp_path, old, new, words
):
    """With the service's own words on what is allowed."""
    named = plan(tmp_path, data, RECIPE.replace(old, new)).named
    async with Client(pair.receiver) as client:
        with pytest.raises(InvalidRequestError, match=words):
            await preflight(client, named)


async def test_the_provenance_names_code_models_data_and_machine(pair, data, tmp_path):
    """Enough to know what a number came from."""
    found = provenance(plan(tmp_path, data), [await introduced(pair)], {"engine": "in-process", "workers": 1})
    assert found["recipe"]["text"] == RECIPE
    assert len(found["models"]["receiver"]["weights_sha256"]) == 64
    assert [len(dataset["items"]) for dataset in found["datasets"]] == [3, 1, 1]
    assert all(len(dataset["items_sha256"]) == 64 for dataset in found["datasets"])
    assert found["datasets"][1]["clusters"] == ["0-Mia"]
    assert found["fusers"] == ["identity"]
    assert found["machine"]["cpu"]
    assert found["machine"]["engine"] == "in-process"
    assert found["code"]["torch"]
