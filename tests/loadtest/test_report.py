"""What a run's result says of bytes, and what its table shows of that."""

from dataclasses import replace

import pytest

from kvwire.errors import KvwireError
from kvwire.report import ByteCounts, Report
from kvwire.requests import Exchange, Method
from loadtest.datasets import load
from loadtest.driver import Outcome, Plan
from loadtest.report import summarize
from loadtest.scoring import failed
from loadtest.table import show

(ITEM,) = load("pocket", limit=1)
RIGHT = replace(failed(ITEM, KvwireError("")), error=None)
SENT = ByteCounts(1000, 1100, 1150, 50, socket_isolated=True, values=800, formula_bytes=500.0)


def summed_up(*moved):
    outcomes = [Outcome(RIGHT, Report("r", Method.PREFIX, Method.PREFIX, bytes=each)) for each in moved]
    return summarize({}, Plan(Exchange()), {}, outcomes)


def test_an_answer_that_sent_nothing_counts_in_the_bytes_per_request():
    """As where a receiver chose to read by itself; what was sent still has its bits per value."""
    result = summed_up(SENT, None, None, None)
    assert result["wire_bytes_per_request"] == pytest.approx(300)
    assert result["payload_bytes_per_request"] == pytest.approx(250)
    assert result["grpc_bytes_per_request"] == pytest.approx(275)
    assert result["formula_bytes_per_request"] == pytest.approx(125)
    assert result["bits_per_value"] == pytest.approx(10)


def test_the_table_says_which_counter_its_bytes_are_of(capsys):
    """Of requests that shared a connection it is not the kernel's; of none it is nobody's."""
    shared = replace(SENT, socket_isolated=False)
    show("", [("alone", summed_up(SENT)), ("shared", summed_up(shared)), ("none", summed_up(None))])
    said = " ".join(capsys.readouterr().out.split())
    assert "bytes: grpc messages; requests shared a connection; bytes: socket (TCP_INFO)" in said
    assert "nothing was sent" not in said
