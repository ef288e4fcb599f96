"""Every baseline and control over the wire: two models of one tokenizer, a fuser between them, three processes."""

import asyncio
import json

import pytest

from experiments.arms import arms_of
from experiments.engines.pair_worker import PairWorker
from experiments.ledger import Ledger
from experiments.plan import plan_of
from experiments.preflight import preflight
from experiments.questions.base import Shown
from experiments.questions.load import load_questions
from experiments.recipe import load_recipe
from experiments.runner import Runner
from kvwire.cli.experiment_services import Wanted, started
from kvwire.client import Client
from kvwire.errors import InvalidRequestError
from kvwire.processes import Pair
from loadtest import scoring

RECIPE = """\
title: controls
method: fuse
fuser: c2c
datasets:
  - name: pocket
    limit: 2
  - {name: pocket, label: letters, limit: 1, scoring: letter}
codecs: [int8]
other_fusers: [other]
baselines: [receiver_only, receiver_reads, sharer_only, text, text_question, text_options]
controls:
  zeroed: true
  without_sharer: other
  same_model: identity
relay_max_tokens: 3
timed: 1
together: 4
"""
OPEN = {"key": 1.0, "value": 1.0}


def plan(folder, text=RECIPE):
    path = folder / "controls.yaml"
    path.write_text(text)
    named = load_recipe(str(path))
    return plan_of(named, load_questions(named, None, None))


async def asked(plan, pair, path):
    worker = PairWorker(*pair, "in-process")
    await worker.check(plan.named)
    with Ledger(path, list(plan.keys())) as ledger:
        await Runner([worker], plan).run(ledger, lambda _: None)
    await worker.close()
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.fixture(scope="module")
def trio(tiny_llama, other_llama, official_c2c, tmp_path_factory):
    """Sharer: the smaller Llama; receiver: the tiny one, which is a sharer of its own too; two fusers."""
    home = tmp_path_factory.mktemp("home")
    files = [
        official_c2c.write_checkpoint(home / name, (3, 1, 32), (4, 2, 16), [OPEN] * 4, seed=seed)
        for seed, name in enumerate(("c2c", "other"))
    ]
    wanted = Wanted(
        Pair(f"path:{other_llama}", f"path:{tiny_llama}"),
        tuple(f"{file.name}={file}" for file in files),
        same_model=True,
        options=("--threads", "1"),
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KVWIRE_HOME", str(home))
        with started(wanted) as addresses:
            yield addresses


@pytest.fixture(scope="module")
def lines(trio, tmp_path_factory):
    """What all arms answered, by dataset and arm; the first item."""
    folder = tmp_path_factory.mktemp("run")
    found = asyncio.run(asked(plan(folder), trio, folder / "results.jsonl"))
    assert [line["error"] for line in found if line["error"]] == []
    return {(line["dataset"], line["arm"]): line for line in reversed(found)}


def test_the_sharer_answers_by_itself(lines):
    """From its own process: another model's likelihoods, nothing sent, nothing to compare with."""
    alone, reads = lines["pocket", "sharer_only"], lines["pocket", "receiver_reads"]
    assert alone["bytes"] is None
    assert alone["result"]["kl_nats"] is None
    assert reads["result"]["kl_nats"] is not None
    assert alone["result"]["nll_nats"] != reads["result"]["nll_nats"]
    assert alone["tokens"]["context"] == reads["tokens"]["context"] > 0


def test_a_relay_is_shown_the_question_and_the_options_if_it_is_to_be(lines, tmp_path):
    """Three requests, three instructions; what is sent back is a message."""
    question = plan(tmp_path).blocks[0].questions[0]
    context, asked_too, options = (question.told[shown] for shown in Shown)
    assert asked_too == f"{context}Question: {question.item.question}\n"
    assert options == f"{asked_too}Choices:\n" + scoring.lettered_choices(question.item)
    sent = [lines["pocket", arm]["bytes"] for arm in ("text", "text_question", "text_options")]
    assert len({each["grpc"] - each["payload"] for each in sent}) == 3
    assert all(0 < each["payload"] < 60 for each in sent)


def test_a_zeroed_sharer_is_sent_in_full_and_not_heard(lines):
    """The same bytes as the uncompressed cache; two fusers, each with its own idea of nothing."""
    whole, zeroed, alone = (
        lines["pocket", f"{control}fuse fp32"] for control in ("", "zeroed sharer, ", "fuser without sharer, ")
    )
    assert zeroed["bytes"]["payload"] == alone["bytes"]["payload"] == whole["bytes"]["payload"]
    assert len({each["result"]["nll_nats"] for each in (whole, zeroed, alone)}) == 3


def test_the_receivers_own_model_can_be_its_sharer(lines):
    """Through the identity fuser its cache is the receiver's own, so the answer is that of reading."""
    same, reads = lines["pocket", "same model, fuse fp32"], lines["pocket", "receiver_reads"]
    assert same["bytes"]["payload"] > 0
    assert same["result"]["nll_nats"] == pytest.approx(reads["result"]["nll_nats"], abs=1e-4)


def test_codecs_go_through_the_other_fusers_too(lines):
    """Beside the uncompressed cache; what arrives is the same."""
    one, other = (lines["pocket", f"fuse int8{fuser}"] for fuser in ("", ", fuser other"))
    assert one["bytes"]["payload"] == other["bytes"]["payload"]
    assert one["result"]["nll_nats"] != other["result"]["nll_nats"]
    assert ("pocket", "fuse fp32, fuser other") in lines


def test_a_letter_is_written_and_read(lines):
    """By every arm, the sharer alone too; there is no likelihood."""
    for (dataset, _), line in lines.items():
        if dataset == "letters":
            assert set(line["result"]) == {"decision", "right", "reply"}


@pytest.mark.slow
def test_a_receiver_without_its_own_model_as_sharer_is_refused_at_the_line(pair, tmp_path):
    """And the words say how to start it."""
    text = RECIPE.replace("fuser: c2c", "fuser: identity").replace("other_fusers: [other]", "other_fusers: []")
    named = plan(tmp_path, text.replace("  zeroed: true\n  without_sharer: other\n", ""))

    async def check():
        async with Client(pair.receiver) as client:
            await preflight(client, named.named)

    with pytest.raises(InvalidRequestError, match=r"line 12 \(controls\.same_model\): .*--sharers self=HOST:PORT"):
        asyncio.run(check())


def test_every_arm_has_a_name_of_its_own(tmp_path):
    """Results are told apart by it."""
    for dataset in ("none", "all"):
        names = [arm.name for arm in arms_of(plan(tmp_path).named.recipe, dataset)]
        assert len(set(names)) == len(names)
