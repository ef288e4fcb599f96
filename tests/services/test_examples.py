"""The examples that ask services, run as they are; tests/codec/test_example.py runs the one that asks none."""

import asyncio
import re
import runpy
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture
def shown(pair, capsys):
    """Run an example against the pair of services; what it printed."""

    def run(name):
        asyncio.run(runpy.run_path(str(EXAMPLES / name))["main"](pair.receiver.address))
        return capsys.readouterr().out

    return run


def test_one_question_is_answered_from_the_sharers_cache(shown):
    """The answer, its TTFT, and the bytes that int8 took."""
    lines = shown("ask.py")
    assert re.search(r"first token after \d+ ms\n[1-9]\d* bytes of cache, (8|9)\.\d\d bits per value\n$", lines)


def test_tokens_are_shown_as_they_come_and_the_way_they_were_made(shown):
    """The sharer is there, so the answer is made by method prefix."""
    assert re.search(r".+\nanswered by prefix: .*\n$", shown("stream_and_fall_back.py"), re.DOTALL)


def test_two_codecs_are_measured_on_the_same_questions(shown):
    """int4 moves fewer bytes than fp16."""
    found = re.findall(r"(\w+): \d+ of 10, (\d+) bytes each", shown("load_test.py"))
    assert [codec for codec, _ in found] == ["fp16", "int4"]
    assert int(found[0][1]) > 3 * int(found[1][1]) > 0
