"""Method prefix between two tokenizers over the wire: real processes against what each part gives by itself."""

from dataclasses import dataclass

import pytest
import torch

from codec.layer import LayerKV
from codec.rope import rotate, unrotate
from codec.spec import RopePhase
from fuser.align import align
from fuser.binding import Pairing, Side
from fuser.layers import rope_table
from fuser.projectors import ridge_file
from fuser.projectors.ridge import Band, Openings, RidgeFuser
from fuser.registry import read_fuser
from kvwire.client import Client
from kvwire.engine.engine import Engine
from kvwire.errors import BindingError, InvalidRequestError
from kvwire.models.load import load
from kvwire.models.reference import ModelReference
from kvwire.models.store import ModelStore
from kvwire.processes import FREE_PORTS, Pair, running_pair, running_service
from kvwire.requests import Exchange, GenerateRequest, Method, Text, TokenIds
from kvwire.rpc.inspection import inspect
from tests.services.letters import reads_letters

CONTEXT = "Each Contributor hereby grants You a perpetual licence, and nobody takes it back."
FREE = ["--threads", "1", "--log-level", "warning"]


@dataclass(frozen=True)
class Running:
    """A receiver that knows two sharers, the same models here, and the receiver's fuser."""

    receiver: str
    models: tuple[Engine, Engine]
    fuser: RidgeFuser


def engine(folder):
    stored = ModelStore().pull(ModelReference.parse(f"path:{folder}"))
    return Engine(load(stored, dtype=torch.float32, attn_implementation="kvwire"), 1024)


def random_fuser(sharer, receiver):
    pairing = Pairing(Side.of(sharer.card), Side.of(receiver.card))
    bands = [Band((0, 1, 2), (0, 1), 9), Band((1, 3), (2, 3), 5)]
    generator = torch.Generator().manual_seed(7)
    tensors = {
        name: torch.randn(shape, generator=generator) / shape[-1] ** 0.5
        for name, shape in RidgeFuser.shapes(bands, pairing).items()
    }
    tensors |= {name: tensor.abs() + 1 for name, tensor in tensors.items() if name.endswith("spread")}
    return RidgeFuser(bands, tensors, pairing, Openings((5, 6), (7,)))


@pytest.fixture(scope="module")
def running(tiny_qwen2, tiny_gemma, tmp_path_factory):
    """Sharer Gemma, with windows and BOS; the receiver, Qwen2, reads letters. A second sharer lacks the tokenizer."""
    logs = tmp_path_factory.mktemp("across")
    letters = reads_letters(tiny_qwen2, logs / "letters")
    both = engine(tiny_gemma), engine(letters)
    ridge_file.write(random_fuser(*both), logs / "fuser.safetensors", {})
    free = [*FREE_PORTS, *FREE]
    with running_service("sharer_service", ["--model", f"path:{tiny_gemma}", *free], logs / "stranger.log") as stranger:
        arguments = ["--fusers", f"ridge={logs / 'fuser.safetensors'}", "--sharers", f"stranger={stranger.address}"]
        pair = Pair(f"path:{tiny_gemma}", f"path:{letters}")
        own = ["--inspect", *arguments]
        with running_pair(pair, FREE, logs, arguments[:2], receiver_arguments=own) as (_, receiver):
            yield Running(receiver.address, both, read_fuser(logs / "fuser.safetensors"))


def expected(running, kept=slice(None)):
    """The receiver's layers before the prompt: its opening, then what the fuser makes of the sharer's tokens."""
    sharer, receiver = running.models
    aligned = align(receiver.prompts.tokenizer, sharer.prompts.tokenizer, CONTEXT)
    theirs, ours = sharer.new_cache(), receiver.new_cache()
    tokens = len(aligned.sharer.ids)
    sharer.read((5, 6, *aligned.sharer.ids), theirs, 0)
    receiver.read((7,), ours, 0)
    ropes = rope_table(sharer.card), rope_table(receiver.card)
    places = torch.arange(tokens)[kept]
    sources = {}
    for index in range(len(sharer.card.layers)):
        keys, values = (half[:, 2:][:, kept] for half in theirs.layer(index))
        before = unrotate(keys, places + 2, ropes[0].layers[index])
        sources[index] = LayerKV(index, before, values, RopePhase.PRE, tokens, places)
    slots = [slot for slot, source in enumerate(aligned.sources) if source in places]
    taken = torch.tensor([places.tolist().index(aligned.sources[slot]) for slot in slots])
    layers = []
    for index in range(len(receiver.card.layers)):
        kv = running.fuser.project(index, sources)
        keys = rotate(kv.keys[:, taken], torch.tensor(slots) + 1, ropes[1].layers[index])
        own = ours.layer(index)
        layers.append((torch.cat([own[0], keys], 1), torch.cat([own[1], kv.values[:, taken]], 1)))
    return layers, slots


def request(codec="fp32", sharer="sharer", fuser="ridge", context=CONTEXT):
    exchange = Exchange(Method.PREFIX, sharer, codec, fuser)
    return GenerateRequest(Text("licence"), Text(context), exchange, max_new_tokens=4, ignore_eos=True)


@pytest.mark.parametrize(
    ("codec", "kept"),
    [
        ("fp32", slice(None)),
        ("fp32+keep=0.5,by=front", slice(0, 14)),
        ("fp32+of=latents", slice(None)),
        ("fp32+keep=0.5,by=front+of=latents", slice(0, 14)),
    ],
)
async def test_the_receivers_cache_is_what_the_fuser_makes_of_the_sharers(running, codec, kept):
    """Each slot of its source token, at its own position; what was pruned is absent."""
    found = await inspect(running.receiver, request(codec))
    layers, slots = expected(running, kept)
    for index, (keys, values) in enumerate(layers):
        assert (found.keys[index][:, : 1 + len(slots)] - keys).abs().max() < 1e-4
        assert (found.values[index][:, : 1 + len(slots)] - values).abs().max() < 1e-4
    tokens = found.report.tokens
    assert (tokens.head, tokens.slots, tokens.prompt) == (1, len(CONTEXT), len("licence"))
    assert tokens.context < tokens.slots
    assert len(found.tokens) == 4


async def test_the_zeroed_control_is_sent_as_much_and_hears_nothing_of_it(running):
    """Two contexts of one length leave one cache: what the fuser makes of a token of which nothing is known."""
    other = CONTEXT.replace("licence", "freedom")
    controls = [await inspect(running.receiver, request(fuser="ridge:zeroed", context=c)) for c in (CONTEXT, other)]
    own = await inspect(running.receiver, request())
    assert controls[0].report.bytes.payload_bytes == own.report.bytes.payload_bytes
    assert controls[0].report.fuser == "ridge:zeroed"
    bias = running.fuser.weights()["1.bias"][-32:].view(2, 1, 16)  # values of the last layer
    for found in controls:
        assert (found.values[3][:, 1 : 1 + len(CONTEXT)] - bias).abs().max() < 1e-5
    assert (own.values[3][:, 1 : 1 + len(CONTEXT)] - bias).abs().max() > 1e-2


async def test_latents_are_counted_as_what_they_are(running):
    """A layer of 128 numbers per token for each of the fuser's two bands, whatever the sharer's cache would take."""
    async with Client(running.receiver) as receiver:
        report = (await receiver.generate_all(request("int8+of=latents"))).report
    assert report.bytes.values == report.tokens.context * 2 * 128
    assert report.codec == "int8+of=latents"


async def test_a_sharer_without_the_fuser_cannot_send_its_latents(running):
    """And says how to start one that can."""
    async with Client(running.receiver) as receiver:
        with pytest.raises(BindingError, match="--fusers"):
            await receiver.generate_all(request("fp32+of=latents", sharer="stranger"))


@pytest.mark.parametrize(
    ("codec", "fuser", "said"),
    [
        ("fp32+of=latents", "identity", "cannot be cut in two"),
        ("fp32+keep=0.5,by=attention+of=latents", "ridge", "latents draw no attention"),
        ("rd:bits=2+of=latents", "ridge", "no tables of latents"),
    ],
)
async def test_latents_that_cannot_be_are_refused(running, codec, fuser, said):
    """With what to ask for instead."""
    asked = GenerateRequest(Text("x"), Text(CONTEXT), Exchange(Method.PREFIX, "sharer", codec, fuser))
    async with Client(running.receiver) as receiver:
        with pytest.raises(InvalidRequestError, match=said):
            await receiver.generate_all(asked)


async def test_a_sharer_without_the_receivers_tokenizer_says_how_to_start_it(running):
    """Nothing is guessed."""
    async with Client(running.receiver) as receiver:
        with pytest.raises(BindingError, match="--tokenizers"):
            await receiver.generate_all(request(sharer="stranger"))


async def test_a_context_in_token_ids_is_refused(running):
    """They would be another model's."""
    asked = GenerateRequest(Text("x"), TokenIds((4, 5)), Exchange(Method.PREFIX, "sharer", "fp32", "ridge"))
    async with Client(running.receiver) as receiver:
        with pytest.raises(InvalidRequestError, match="send it as text"):
            await receiver.generate_all(asked)


async def test_tokens_cannot_be_ranked_by_a_question_in_another_models_tokens(running):
    """by=attention can."""
    async with Client(running.receiver) as receiver:
        with pytest.raises(InvalidRequestError, match="by=attention"):
            await receiver.generate_all(request("fp32+keep=0.5,by=question"))
        assert (await receiver.generate_all(request("fp32+keep=0.5,by=attention"))).tokens
