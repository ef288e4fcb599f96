"""The load tester against a real tiny pair."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from kvwire.client import Client
from kvwire.processes import Pair, running_pair
from kvwire.requests import Exchange, Method
from loadtest.datasets import load
from loadtest.driver import Driver, Plan
from loadtest.report import summarize

KVWIRE = str(Path(sys.executable).with_name("kvwire"))


@pytest.fixture(scope="module")
def pair(tiny_llama, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KVWIRE_HOME", str(tmp_path_factory.mktemp("home")))
        model = f"path:{tiny_llama}"
        options = ["--threads", "1", "--log-level", "warning"]
        with running_pair(Pair(model, model), options, tmp_path_factory.mktemp("logs")) as started:
            yield started


async def run(address, plan, limit):
    items = load("pocket", limit=limit)
    async with Client(address) as client:
        return items, await Driver(client, plan).run(items, lambda _: None)


@pytest.mark.parametrize("concurrency", [1, 3])
async def test_every_item_has_an_outcome_in_order(pair, concurrency):
    """Whatever order they end in."""
    plan = Plan(Exchange(Method.PREFIX, codec="int8"), concurrency=concurrency)
    items, outcomes = await run(pair[1].address, plan, 6)
    assert [o.result.id for o in outcomes] == [item.id for item in items]
    assert all(o.result.error is None and o.total_s >= o.first_token_s > 0 for o in outcomes)


async def test_letter_scoring_reads_a_generated_reply(pair):
    """A random model's reply is kept, right or wrong."""
    _, outcomes = await run(pair[1].address, Plan(Exchange(Method.RECEIVER_READS), scoring="letter"), 2)
    assert all(o.result.reply is not None and not o.result.scores for o in outcomes)


async def test_failed_items_count_as_wrong_and_are_listed(pair):
    """They stay in the denominator, with their error."""
    plan = Plan(Exchange(Method.PREFIX, codec="int8", sharer="nobody"))
    _, outcomes = await run(pair[1].address, plan, 3)
    result = summarize({}, plan, {}, outcomes)
    assert (result["items"], result["failed"], result["accuracy"]) == (3, 3, 0)
    assert all("nobody" in item["error"] for item in result["per_item"])
    assert result["ttft_ms"] is None


async def test_shared_connections_are_counted_by_messages_and_say_so(pair):
    """The kernel's counters cannot be split between requests in flight together."""
    plan = Plan(Exchange(Method.PREFIX, codec="fp32"), concurrency=4)
    _, outcomes = await run(pair[1].address, plan, 8)
    result = summarize({}, plan, {}, outcomes)
    assert "grpc" in result["wire_bytes_source"]
    assert result["wire_bytes_per_request"] > result["payload_bytes_per_request"]


def test_the_command_writes_every_promised_key(pair, tmp_path):
    """`kvwire loadtest --json`: what scripts rely on."""
    out = tmp_path / "out.json"
    arguments = ["loadtest", "--dataset", "pocket", "--limit", "3", "--method", "prefix", "--codec", "int8"]
    ran = subprocess.run(
        [KVWIRE, *arguments, "--receiver", pair[1].address, "--json", out], capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr
    result = json.loads(out.read_text())
    for key in ("accuracy", "accuracy_ci95", "items", "failed", "wire_bytes_per_request", "bits_per_value"):
        assert result[key] is not None
    for key in ("ttft_ms", "e2e_ms"):
        assert set(result[key]) == {"p50", "p95", "p99"}
    assert {"id", "decision", "loglik"} <= set(result["per_item"][0])
    assert len(result["per_item"][0]["loglik"]) == 4
    assert result["configuration"]["plan"]["exchange"]["codec"] == "int8"
    assert result["configuration"]["pair"] is None  # whoever was asked, this command did not start it
    assert "prefix int8" in ran.stdout


def test_a_run_in_which_everything_failed_is_a_failure_and_says_the_first(pair):
    """A codec that the service does not know."""
    command = [KVWIRE, "loadtest", "--limit", "2", "--codec", "wrong", "--receiver", pair[1].address]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ran.returncode == 1
    assert "2 of 2 items failed, which counts as wrong; first: InvalidRequestError: " in ran.stderr
    assert "unknown base" in ran.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    "loop",
    [
        pytest.param([], id="closed"),
        pytest.param(["--arrivals", "constant", "--rate", "4", "--duration", "1.2"], id="open"),
        pytest.param(["--arrivals", "constant", "--rate", "4", "--duration", "1.2", "--processes", "2"], id="spread"),
    ],
)
def test_the_command_asks_several_addresses_in_turn_and_tells_who_answered(pair, tmp_path, loop):
    """Two names of one receiver are two addresses; each process takes turns of its own."""
    out, port = tmp_path / "out.json", pair[1].address.rpartition(":")[2]
    names = [f"127.0.0.1:{port}", f"localhost:{port}"]
    arguments = ["loadtest", "--limit", "4", "--codec", "int8", *loop, "--balance", "round_robin"]
    command = [KVWIRE, *arguments, "--receiver", ",".join(names), "--json", out]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    result = json.loads(out.read_text())
    assert result["answered_at"] == dict.fromkeys(names, 2)
    assert sorted(item["answered_at"] for item in result["per_item"]) == sorted(names * 2)
    assert result["configuration"]["balance"] == "round_robin"
    assert f"answered 2 at {names[0]}, 2 at {names[1]}" in " ".join(ran.stdout.split())


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["loadtest", "--dataset", "nothing"], "dataset 'nothing'"),
        (["loadtest", "--dataset", "openbookqa", "--data", "/nowhere"], "/nowhere"),
        (["loadtest", "--scoring", "guess"], "loglik"),
        (["loadtest", "--method", "sharer_only", "--receiver", "127.0.0.1:1"], "--sharer"),
        (["ask", "--prompt", "x", "--pair", "one"], "write SHARER:RECEIVER"),
        (["ask", "--prompt", "x", "--receiver", "127.0.0.1:1"], "check that it runs"),
        (["models", "pull", "gpt-17"], "smollm2-135m"),
    ],
)
def test_a_command_that_cannot_work_says_why_in_one_line(arguments, words):
    """No traceback, a status other than 0."""
    ran = subprocess.run([KVWIRE, *arguments], capture_output=True, text=True, check=False)
    assert ran.returncode != 0
    assert words in " ".join(ran.stderr.split())
    assert "Traceback" not in ran.stderr


def test_ask_shows_the_answer_and_its_bytes(pair, tmp_path):
    """One question over the wire, from the command line."""
    out = tmp_path / "answer.json"
    arguments = ["ask", "--context", "a fact ", "--prompt", "hello", "--codec", "int8", "--max-new-tokens", "4"]
    ran = subprocess.run(
        [KVWIRE, *arguments, "--receiver", pair[1].address, "--json", out], capture_output=True, text=True, check=True
    )
    report = json.loads(out.read_text())["report"]
    assert f"payload   {report['bytes']['payload_bytes']} bytes" in ran.stdout
    assert report["codec"] == "int8"
