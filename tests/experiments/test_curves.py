"""The numbers of the report, against the lines they come from."""

import json

import pytest

from experiments.curves import rows_of
from experiments.results import load_results


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
