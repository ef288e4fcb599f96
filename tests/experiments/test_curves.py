"""The numbers of the report, against the lines they come from."""

import json
from dataclasses import replace

import pytest

from experiments.curves import rows_of
from experiments.results import load_results
from kvwire.requests import Method


def row(folder, arm):
    return next(row for row in rows_of(load_results(folder)) if row.arm.name == arm)


def test_the_numbers_are_recomputable_from_the_lines_in_ten_lines(write_results):
    """The script of docs/experiments.md, against every arm of the report."""
    folder = write_results()
    lines = [json.loads(line) for line in (folder / "results.jsonl").read_text().splitlines()]
    by_arm = {}
    for line in lines:
        by_arm.setdefault(line["arm"], []).append(line)
    nll = {arm: sum(line["result"]["nll_nats"] for line in own) / len(own) for arm, own in by_arm.items()}
    rows = {row.arm.name: row for row in rows_of(load_results(folder))}
    for arm, own in by_arm.items():
        accuracy = sum(bool(line["result"] and line["result"]["right"]) for line in own) / len(own)
        gain = (nll["receiver_only"] - nll[arm]) / (nll["receiver_only"] - nll["receiver_reads"])
        sent = [line["measured"]["socket_bytes"] for line in own if line["bytes"]]
        found = rows[arm]
        assert found.estimates["accuracy"].value == pytest.approx(accuracy)
        assert found.estimates["nll_nats"].value == pytest.approx(nll[arm])
        if not found.arm.wrong_context:
            assert found.estimates["gain_retained"].value == pytest.approx(gain)
        assert found.costs.wire_bytes == (pytest.approx(sum(sent) / len(sent)) if sent else None)


def test_a_failed_item_is_wrong_and_stays_in_the_denominator(write_results):
    """Thirty items, ten failed: at most twenty are right; the likelihood says it is of twenty."""

    def fail(record):
        if record["arm"] == "prefix int8" and int(record["item"].split("-")[1]) < 10:
            record.update(result=None, error="LocalError: broke", bytes=None, measured=None, tokens=None)
        elif record["arm"] == "prefix int8":
            record["result"]["right"] = True

    found = row(write_results(change=fail), "prefix int8")
    assert (found.items, found.failed) == (30, 10)
    assert found.estimates["accuracy"].value == pytest.approx(20 / 30)
    assert found.estimates["nll_nats"].items == 20
    assert found.estimates["top1"].items == 30


def test_an_arm_that_failed_everywhere_still_has_its_row(write_results):
    """Accuracy 0, no likelihood, no bytes."""

    def fail(record):
        if record["arm"] == "prefix int4":
            record.update(result=None, error="LocalError: broke", bytes=None, measured=None, tokens=None)

    found = row(write_results(items=5, change=fail), "prefix int4")
    assert found.estimates["accuracy"].value == 0
    assert "nll_nats" not in found.estimates
    assert found.estimates["gain_retained"].value == 0
    assert found.costs.wire_bytes is None


def test_bytes_fall_back_to_grpc_messages_where_a_connection_was_shared(write_results):
    """And the source says so."""

    def share(record):
        if record["measured"]:
            record["measured"]["socket_isolated"] = record["item"] != "item-0"

    costs = row(write_results(items=3, change=share), "prefix fp16").costs
    assert costs.wire_bytes == costs.payload_bytes + 100
    assert costs.wire_bytes_source.startswith("grpc")


def test_bytes_per_token_are_per_token_that_the_sharer_read(write_results):
    """33,000 bytes for 50 tokens in 40 slots; in method fuse each token has a slot; a text has no such number."""
    results = load_results(write_results())
    (dataset,) = results.datasets
    arms = tuple(replace(arm, method=Method.FUSE) for arm in dataset.arms)
    fused = replace(results, datasets=(replace(dataset, arms=arms),))
    prefix, fuse = ({found.arm.name: found.costs for found in rows_of(each)} for each in (results, fused))
    assert prefix["prefix int8"].payload_bytes_per_token == 660
    assert fuse["prefix int8"].payload_bytes_per_token == 825
    assert prefix["text"].payload_bytes_per_token is None


def test_intervals_are_of_whole_documents_and_means_of_items(write_results):
    """Five items of a document that are all hard or all easy tell as little as one."""

    def alike(record):
        if record["result"]:
            record["result"]["nll_nats"] += 2.0 * (int(record["item"].split("-")[1]) // 5 % 2)

    apart = row(write_results(name="apart", change=alike), "prefix int8").estimates["nll_nats"]
    together = row(write_results(name="together", change=alike, per_document=5), "prefix int8").estimates["nll_nats"]
    assert (together.value, together.items) == (apart.value, apart.items)
    assert together.high - together.low > 1.5 * (apart.high - apart.low)


def test_a_run_that_tells_no_documents_has_items_of_their_own(write_results):
    """As those have that were made before documents were told."""
    folder = write_results()
    told = [found.to_json() for found in rows_of(load_results(folder))]
    run = json.loads((folder / "run.json").read_text())
    for dataset in run["datasets"]:
        del dataset["clusters"]
    (folder / "run.json").write_text(json.dumps(run))
    assert [found.to_json() for found in rows_of(load_results(folder))] == told


def test_every_cache_arm_with_a_control_has_a_net_gain_and_what_it_keeps_of_the_uncompressed_one(write_results):
    """Pruned ones too; their quotient is what is kept."""
    found = {each.arm.name: each.estimates for each in rows_of(load_results(write_results()))}
    half, whole = found["prefix int8+keep=0.5,by=front"], found["prefix fp32"]
    assert half["net_gain_kept"].value == pytest.approx(half["net_gain"].value / whole["net_gain"].value)
    assert whole["net_gain_kept"][:3] == (1, 1, 1)
    assert all(("net_gain" in found[name]) == (not name.startswith("wrong")) for name in found if "prefix" in name)


def test_the_gap_closed_is_between_the_receiver_alone_and_the_receiver_that_reads(write_results):
    """0 and 1 at its ends; a control has none."""
    found = {each.arm.name: each.estimates for each in rows_of(load_results(write_results(items=90)))}
    none, arm, reads = (found[name]["accuracy"].value for name in ("receiver_only", "prefix int8", "receiver_reads"))
    closed = found["prefix int8"]["gap_closed"]
    assert closed.value == pytest.approx((arm - none) / (reads - none))
    assert closed.low < closed.value < closed.high
    assert found["receiver_only"]["gap_closed"][:3] == (0, 0, 0)
    assert found["receiver_reads"]["gap_closed"][:3] == (1, 1, 1)
    assert "gap_closed" not in found["wrong context, prefix int8"]


def test_an_unfinished_item_is_left_out_of_every_arm(write_results):
    """Arms are compared on the same items, so an item counts once all of them have answered it."""
    folder = write_results(items=4)
    path = folder / "results.jsonl"
    path.write_bytes(path.read_bytes()[:-5000])
    results = load_results(folder)
    (dataset,) = results.datasets
    assert 0 < len(dataset.items) < dataset.planned == 4
    assert {row.items for row in rows_of(results)} == {len(dataset.items)}


def test_arms_are_compared_with_the_uncompressed_cache_the_text_and_the_receiver_alone(write_results):
    """Each with a difference, an interval and words."""
    found = row(write_results(items=60), "prefix int4+keep=0.1,by=front")
    assert list(found.versus) == ["prefix fp32", "text", "receiver_only"]
    against = found.versus["prefix fp32"]
    assert against["nll_nats"].verdict == against["accuracy"].verdict == "worse"
    assert against["accuracy"].p < 0.05
