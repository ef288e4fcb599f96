"""Snippets of Python in the documentation work as they stand; only addresses are others."""

import io
import json
import subprocess
import sys
import textwrap
from contextlib import redirect_stdout

from kvwire.client import Client
from kvwire.requests import GenerateRequest, Text
from tests.test_documents import ROOT, SNIPPETS

#: Looked at elsewhere: tutorials are followed (tests/test_tutorials.py), http.md's block runs against a front door
#: (tests/deploy/test_http_document.py), and serving.md's needs vLLM.
ELSEWHERE = {"tutorial-fuser.md", "tutorial-quantizer.md", "http.md", "serving.md"}


def only(page):
    [text] = [text for name, text in SNIPPETS if name == page]
    return text


def printed(text, **names):
    """What a snippet prints, and the names it leaves."""
    out = io.StringIO()
    with redirect_stdout(out):
        exec(compile(text, "snippet", "exec"), names)  # noqa: S102  # our own documentation
    return out.getvalue(), names


def test_each_page_s_snippet_has_a_test_here_or_elsewhere():
    """A new one fails until it has."""
    here = {"README.md", "balancing.md", "codec-guide.md", "experiments.md"}
    assert {name for name, _ in SNIPPETS} - ELSEWHERE == here


async def test_the_readme_asks_a_receiver(pair, capsys):
    """Its ``main`` prints the answer and its bytes."""
    _, names = printed(only("README.md").replace("127.0.0.1:50052", pair.receiver.address))
    await names["main"]()
    assert "payload_bytes" in capsys.readouterr().out


async def test_a_client_of_several_addresses_asks(pair):
    """The lines of docs/balancing.md, within a function."""
    addresses = "10.0.0.7:50052,10.0.0.8:50052"
    assert addresses in only("balancing.md")
    body = only("balancing.md").replace(addresses, pair.receiver.address)
    text = f"async def ask():\n{textwrap.indent(body, '    ')}    return answer\n"
    _, names = printed(
        text, Client=Client, request=GenerateRequest(Text("Where?"), Text("Under the pot."), max_new_tokens=1)
    )
    assert len((await names["ask"]()).tokens) == 1


def test_the_codec_guide_sends_a_cache_through_codecs():
    """nf4 with blocks of 32 takes a little over 4.5 bits per value."""
    said, names = printed(only("codec-guide.md"))
    assert 4.5 < float(said.split(" bits")[0]) < 5
    assert names["keys"].shape == (1, 3, 20, 64)
    assert len(names["before"].layers) == 2


def test_the_script_of_the_experiments_page_reads_lines_of_a_run():
    """A line for each arm of the local run's baselines, with a share, a likelihood and bytes."""
    lines = ROOT / "docs/local-run/baselines-local/results.jsonl"
    arms = {json.loads(line)["arm"] for line in lines.read_text().splitlines()}
    command = [sys.executable, "-c", only("experiments.md"), str(lines)]
    said = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout.splitlines()
    assert len(said) == len(arms) > 1
    assert all(0 <= float(line.split()[-3]) <= 1 for line in said)
