"""Method fuse with C2C over the wire: real processes against float64 written from the formula."""

from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM

from fuser.official.layout import read_official
from fuser.projectors import c2c_file
from kvwire.client import Client
from kvwire.errors import BindingError, InvalidRequestError
from kvwire.models.store import ModelStore
from kvwire.processes import FREE_PORTS, running_service
from kvwire.requests import Exchange, FurtherSharer, FusionOrder, GenerateRequest, Method, TokenIds
from kvwire.rpc.inspection import inspect
from kvwire.verify.run import verify

SHAPE = (4, 2, 16)  # of all tiny models: layers, kv heads, head_dim
OPEN, CLOSED = {"key": 0.5, "value": 1.0}, {"key": 0.0, "value": -1.0}
GATES = [CLOSED, OPEN, {"key": -0.1, "value": 0.1}, OPEN]
IDS = tuple(range(40, 64))
STEPS = 6
FREE = [*FREE_PORTS, "--threads", "1", "--log-level", "warning"]


def float64(folder):
    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float64).eval()


def request(codec="fp32", fuser="first", sharer="qwen", **exchange):
    made = Exchange(Method.FUSE, codec=codec, fuser=fuser, sharer=sharer, **exchange)
    return GenerateRequest(TokenIds(IDS), exchange=made, max_new_tokens=STEPS, ignore_eos=True)


@dataclass(frozen=True)
class Trio:
    """A receiver that knows two sharers and a fuser for each, in processes of their own."""

    receiver: str
    first: Path
    second: Path


@contextmanager
def sharer(folder, logs, name):
    with running_service("sharer_service", ["--model", f"path:{folder}", *FREE], logs / f"{name}.log") as running:
        yield f"{name}={running.address}"


@pytest.fixture(scope="module")
def trio(tiny_llama, tiny_qwen2, tiny_gemma, official_c2c, tmp_path_factory):
    """Receiver Llama, sharers Qwen2, Llama and Gemma, each with a tokenizer of its own.

    Fuser ``first`` is bound to Qwen2, the others to nothing.
    """
    logs = tmp_path_factory.mktemp("logs")
    first = official_c2c.write_checkpoint(logs / "first", SHAPE, SHAPE, GATES, seed=1)
    second = official_c2c.write_checkpoint(logs / "second", SHAPE, SHAPE, [OPEN] * 4, seed=2)
    store = ModelStore()
    bindings = [store.pull(f"path:{folder}").binding for folder in (tiny_qwen2, tiny_llama)]
    c2c_file.write(read_official(first).bound(*bindings), logs / "first.safetensors", {})
    closed = official_c2c.write_checkpoint(logs / "closed", SHAPE, SHAPE, [CLOSED] * 4, seed=3)
    with (
        sharer(tiny_qwen2, logs, "qwen") as qwen,
        sharer(tiny_llama, logs, "llama") as llama,
        sharer(tiny_gemma, logs, "gemma") as gemma,
    ):
        arguments = ["--model", f"path:{tiny_llama}", "--inspect", *FREE]
        for option, values in (
            ("--sharers", (qwen, llama, gemma)),
            ("--fusers", (f"first={logs / 'first.safetensors'}", f"second={second}", f"closed={closed}")),
        ):
            arguments += [word for value in values for word in (option, value)]
        with running_service("receiver_service", arguments, logs / "receiver.log") as receiver:
            yield Trio(receiver.address, first, second)


@pytest.fixture(scope="module")
def reference(tiny_llama, tiny_qwen2, official_c2c):
    """Caches of both models and the receiver, float64, of all tokens but the last."""
    receiver = float64(tiny_llama)
    own = official_c2c.caches(receiver, IDS[:-1])
    return receiver, own, official_c2c.caches(float64(tiny_qwen2), IDS[:-1])


def check(found, official_c2c, receiver, cache):
    tokens, logits, after = official_c2c.decoded(receiver, IDS, cache, STEPS)
    for layer, (keys, values) in enumerate(after):
        assert (found.keys[layer] - keys).abs().max() < 1e-4
        assert (found.values[layer] - values).abs().max() < 1e-4
    assert (found.logits - logits).abs().max() < 1e-4
    assert list(found.tokens) == tokens


async def test_two_sharers_are_fused_one_after_the_other(trio, reference, official_c2c):
    """The second fuser sees what the first one made."""
    receiver, own, qwen = reference
    found = await inspect(trio.receiver, request(further=(FurtherSharer("llama", "second"),)))
    cache = official_c2c.fused(trio.second, own, official_c2c.fused(trio.first, qwen, own))
    check(found, official_c2c, receiver, cache)
    assert found.report.fuser == "first, second"
    assert found.report.sharer_model.count("local-") == 2


async def test_two_sharers_are_fused_side_by_side(trio, reference, official_c2c):
    """Both fusers see the receiver's own cache; their corrections add up."""
    receiver, own, qwen = reference
    further = (FurtherSharer("llama", "second"),)
    found = await inspect(trio.receiver, request(further=further, order=FusionOrder.PARALLEL))
    one, other = official_c2c.fused(trio.first, qwen, own), official_c2c.fused(trio.second, own, own)
    cache = [tuple(a + b - o for a, b, o in zip(*layers, strict=True)) for layers in zip(one, other, own, strict=True)]
    check(found, official_c2c, receiver, cache)


async def test_a_pruned_token_keeps_the_receivers_own(trio, reference, official_c2c):
    """keep=0.5,by=front: the first half is fused, the rest of the cache is the receiver's."""
    _, own, qwen = reference
    found = await inspect(trio.receiver, request("fp32+keep=0.5,by=front"))
    cache, kept = official_c2c.fused(trio.first, qwen, own), 12
    for layer in range(4):
        wanted = torch.cat([cache[layer][0][:, :kept], own[layer][0][:, kept:]], dim=1)
        assert (found.keys[layer][:, : len(IDS) - 1] - wanted).abs().max() < 1e-4


async def test_the_report_says_what_was_spared(trio):
    """Sharer layer 0 is behind closed gates, so are the keys of layer 2; of what is sent the last token is not."""
    async with Client(trio.receiver) as receiver:
        report = (await receiver.generate_all(request())).report
    half_token = 2 * 16
    assert {one.what: one.values for one in report.bytes.spared} == {
        "unused_layers": 2 * half_token * (len(IDS) - 1),
        "closed_gates": half_token * (len(IDS) - 1),
        "last_token": 5 * half_token,
    }
    assert report.bytes.values == 5 * half_token * (len(IDS) - 1)
    assert report.codec == "fp32+mix=kL2-2@omit"
    assert report.bytes.payload_bytes == pytest.approx(4 * report.bytes.values, rel=0.1)
    per_value = report.bytes.payload_bytes / report.bytes.values
    assert all(one.bytes == round(one.values * per_value) for one in report.bytes.spared)


async def test_a_fuser_with_all_gates_closed_asks_for_nothing(trio):
    """The answer is the receiver's own, and no byte was sent."""
    async with Client(trio.receiver) as receiver:
        closed = await receiver.generate_all(request(fuser="closed", sharer="llama"))
        own = await receiver.generate_all(replace(request(), exchange=Exchange(Method.RECEIVER_READS)))
    assert [t.id for t in closed.tokens] == [t.id for t in own.tokens]
    assert closed.report.bytes is None


async def test_a_sharer_with_another_tokenizer_is_refused(trio):
    """Gemma's adds a BOS; one fuser is bound to another model, the other to none."""
    async with Client(trio.receiver) as receiver:
        with pytest.raises(BindingError, match="another revision or weights; another tokenizer"):
            await receiver.generate_all(request(sharer="gemma"))
        with pytest.raises(BindingError, match="tokenizers differ"):
            await receiver.generate_all(request(further=(FurtherSharer("gemma", "second"),)))
        good = await receiver.generate_all(request())
    assert good.report.bytes.payload_bytes > 0


async def test_methods_a_fuser_does_not_offer_are_refused(trio):
    """C2C has no prefix, and several sharers are for method fuse."""
    async with Client(trio.receiver) as receiver:
        for exchange, words in (
            (Exchange(Method.PREFIX, sharer="qwen", fuser="first"), "ask for fuse"),
            (Exchange(Method.PREFIX, sharer="qwen", further=(FurtherSharer("llama", "second"),)), "takes one sharer"),
        ):
            with pytest.raises(InvalidRequestError, match=words):
                await receiver.generate_all(GenerateRequest(TokenIds(IDS), TokenIds(IDS), exchange))


@pytest.mark.slow
async def test_verify_finds_a_random_checkpoint_right_and_a_changed_one_wrong(
    tmp_path, tiny_llama, tiny_qwen2, official_c2c
):
    """Expected outputs come from float64; a single gate makes the difference."""
    fuser = official_c2c.write_checkpoint(tmp_path / "fuser", SHAPE, SHAPE, GATES, seed=1)
    receiver = float64(tiny_llama)
    own = official_c2c.caches(receiver, IDS[:-1])
    cases = {"p.input_ids": torch.tensor([IDS])}
    for kind, cache in (
        ("plain", own),
        ("fused", official_c2c.fused(fuser, official_c2c.caches(float64(tiny_qwen2), IDS[:-1]), own)),
    ):
        tokens, cases[f"p.step_logits_{kind}"], after = official_c2c.decoded(receiver, IDS, cache, STEPS)
        cases[f"p.greedy_{kind}"] = torch.tensor(tokens)
    for layer, (keys, values) in enumerate(after):
        cases |= {f"p.fused_key.{layer}": keys[None], f"p.fused_value.{layer}": values[None]}
    save_file({name: tensor.contiguous() for name, tensor in cases.items()}, tmp_path / "cases.safetensors")
    (tmp_path / "receiver").symlink_to(tiny_llama)
    (tmp_path / "sharer").symlink_to(tiny_qwen2)
    compared = await verify(tmp_path)
    assert compared.within(1e-4)
    assert compared.tokens_equal
    projector = fuser / "final" / "projector_3.pt"
    tensors = torch.load(projector, weights_only=True)
    torch.save(tensors | {"key_gate_logit": torch.tensor(-1.0)}, projector)
    assert not (await verify(tmp_path)).within(1e-4)
