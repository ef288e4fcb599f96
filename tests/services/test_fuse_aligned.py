"""Method fuse with aligned tokens: an official checkpoint between two tokenizers, over the wire against float64."""

import json
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from experiments.preflight import preflight
from experiments.recipe import load_recipe
from fuser.align_official import first
from fuser.align_official_chat import receiver_chat, sharer_chat
from fuser.official.layout import read_official
from fuser.projectors import c2c_file
from kvwire.client import Client
from kvwire.errors import InvalidRequestError
from kvwire.models.store import ModelStore
from kvwire.processes import Pair, running_pair
from kvwire.requests import ChatMessage, Exchange, GenerateRequest, Messages, Method, Text
from kvwire.rpc.inspection import inspect
from tests.services.letters import reads_letters

SHAPE = (4, 2, 16)
OPEN, CLOSED = {"key": 0.5, "value": 1.0}, {"key": 0.0, "value": -1.0}
CHAT = (ChatMessage("system", "Grant licences."), ChatMessage("user", "What does each Contributor grant?"))
TEMPLATE = "{% for m in messages %}[{{ m['role'] }}] {{ m['content'] }} {% endfor %}[answer]"
STEPS = 4


@dataclass(frozen=True)
class Running:
    """A receiver's address, both models' folders, and the checkpoint."""

    receiver: str
    folders: tuple[Path, Path]
    checkpoint: Path


@pytest.fixture(scope="module")
def running(tiny_llama, tiny_qwen2, official_c2c, tmp_path_factory):
    """Receiver Llama; the sharer, Qwen2, reads letters, in a chat template of its own."""
    logs = tmp_path_factory.mktemp("aligned")
    sharer = reads_letters(tiny_qwen2, logs / "letters", TEMPLATE)
    checkpoint = official_c2c.write_checkpoint(logs / "c2c", SHAPE, SHAPE, [OPEN, CLOSED, OPEN, OPEN], seed=5)
    config = json.loads((checkpoint / "config.json").read_text())
    config["model"]["is_do_alignment"] = True
    (checkpoint / "config.json").write_text(json.dumps(config))
    bindings = [ModelStore().pull(f"path:{folder}").binding for folder in (sharer, tiny_llama)]
    c2c_file.write(read_official(checkpoint).bound(*bindings), logs / "c2c.safetensors", {})
    arguments = ["--inspect", "--fusers", f"c2c={logs / 'c2c.safetensors'}"]
    free = ["--threads", "1", "--log-level", "warning"]
    with running_pair(Pair(f"path:{sharer}", f"path:{tiny_llama}"), free, logs, receiver_arguments=arguments) as pair:
        yield Running(pair[1].address, (sharer, Path(tiny_llama)), checkpoint)


def request(codec="fp32", prompt=None):
    chat = Messages(CHAT[1:]) if prompt is None else prompt
    context = Messages(CHAT[:1]) if prompt is None else None
    exchange = Exchange(Method.FUSE, codec=codec, fuser="c2c")
    return GenerateRequest(chat, context, exchange, max_new_tokens=STEPS, ignore_eos=True)


@pytest.mark.parametrize(("codec", "kept"), [("fp32", 1.0), ("fp32+rope=pre", 1.0), ("fp32+keep=0.5,by=front", 0.5)])
async def test_content_is_fused_and_templates_are_left(running, official_c2c, codec, kept):
    """Each token of content with the sharer's for it; template tokens and pruned ones stay the receiver's own."""
    tokenizers = [AutoTokenizer.from_pretrained(folder) for folder in running.folders]
    messages = [{"role": each.role, "content": each.content} for each in CHAT]
    ours = receiver_chat(tokenizers[1], messages)
    theirs = sharer_chat(tokenizers[1], tokenizers[0], messages, first)
    sharer, receiver = (
        AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float64).eval() for folder in running.folders
    )
    own, other = official_c2c.caches(receiver, ours.ids[:-1]), official_c2c.caches(sharer, theirs.ids)
    begin, sent = theirs.content[0], theirs.content[-1] + 1 - theirs.content[0]
    last = begin + max(1, int(kept * sent + 0.5))
    pairs = [(mine, far) for mine, far in zip(ours.content, theirs.content, strict=True) if far < last]
    near, far = (torch.tensor(side) for side in zip(*pairs, strict=True))
    own_content = [(keys[:, near], values[:, near]) for keys, values in own]
    fused = official_c2c.fused(running.checkpoint, [(k[:, far], v[:, far]) for k, v in other], own_content)
    whole = [tuple(half.clone() for half in layer) for layer in own]
    for (keys, values), (fused_keys, fused_values) in zip(whole, fused, strict=True):
        keys[:, near], values[:, near] = fused_keys, fused_values
    tokens, logits, after = official_c2c.decoded(receiver, ours.ids, whole, STEPS)
    found = await inspect(running.receiver, request(codec))
    for layer, (keys, values) in enumerate(after):
        assert (found.keys[layer] - keys).abs().max() < 1e-4
        assert (found.values[layer] - values).abs().max() < 1e-4
    assert (found.logits - logits).abs().max() < 1e-4
    assert list(found.tokens) == tokens
    assert found.report.tokens.slots == len(ours.content)
    values = 2 * 3 * SHAPE[1] * SHAPE[2]
    assert found.report.bytes.values == values * sent
    assert {each.what: each.values for each in found.report.bytes.spared}["template_tokens"] == values * begin


async def test_a_recipe_of_letters_alone_is_tried_as_a_chat(running, tmp_path):
    """One that scores likelihoods sends plain text, which this fuser does not take."""
    named = []
    for scoring in ("letter", "loglik"):
        path = tmp_path / f"{scoring}.yaml"
        sets = f"datasets: [{{name: pocket, scoring: {scoring}}}]\nbaselines: [receiver_only]\n"
        path.write_text(f"title: t\nmethod: fuse\nfuser: c2c\ncodecs: [int8]\n{sets}")
        named.append(load_recipe(str(path)))
    async with Client(running.receiver) as client:
        await preflight(client, named[0])
        with pytest.raises(InvalidRequestError, match="as messages"):
            await preflight(client, named[1])


async def test_what_is_no_chat_is_refused(running):
    """Nobody could say which of its tokens are content."""
    with pytest.raises(InvalidRequestError, match="as messages"):
        await inspect(running.receiver, request(prompt=Text("What is granted?")))


async def test_a_message_without_content_is_template_alone(running):
    """It has no slots, and the others keep theirs."""
    twice = Messages((*CHAT, replace(CHAT[1], content="")))
    with_it = await inspect(running.receiver, request(prompt=twice))
    without = await inspect(running.receiver, request())
    assert with_it.report.tokens.slots == without.report.tokens.slots > 0
    assert with_it.report.tokens.prompt > without.report.tokens.prompt
