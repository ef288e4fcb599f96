"""The connector in an engine's hands: a scheduler and a worker save what a model read, another pair loads it.

The caches are those of a real model.
"""

import pytest
import torch

from codec.spec import CodecSpec
from fuser.projectors import ridge_file
from fuser.projectors.identity import IdentityFuser
from kvwire.errors import BindingError, InvalidRequestError, UnsupportedError
from serving.exchange import Exchange
from serving.frames import FrameFolder, prefix_keys
from serving.paged import slots_of
from tests.serving.engine import NAMES, SIZE, TOKENS, Engine


@pytest.fixture
def extra(tmp_path, card_of, llama):
    """The configuration: what must be there, and no more."""
    return {"kvwire_folder": tmp_path / "frames", "kvwire_codec": "fp32", "kvwire_card": card_of(llama)}


@pytest.fixture
def engine(connector_class, published, extra):
    """Make an engine, all of which share the folder."""

    def made(codec="fp32", **other):
        return Engine(connector_class, published, extra | {"kvwire_codec": codec}, **other)

    return made


def fill(engine, llama, blocks=(5, 1, 8)):
    """An engine reads the prompt, and what it read is saved."""
    request = engine.request()
    assert engine.matched(request) == 0
    metadata = engine.step(request, list(blocks), 0, len(TOKENS))
    engine.run(metadata, lambda: engine.write(llama, blocks))


@pytest.mark.parametrize(("codec", "off"), [("fp32", 0.0), ("int8", 0.05)])
def test_what_one_engine_read_another_loads(engine, llama, codec, off):
    """Its whole blocks, into other blocks; what the model then says is what it says with its own cache."""
    fill(engine(codec), llama)
    second = engine(codec)
    request = second.request("b")
    assert second.matched(request) == 8
    second.run(second.step(request, [0, 7, 2], 8, 2))
    assert second.worker.get_block_ids_with_load_errors() == set()
    own = [(keys[:, :8], values[:, :8]) for keys, values in llama.read(TOKENS)]
    found = second.cache([0, 7, 2], 8)
    for got, expected in zip(found, own, strict=True):
        for ours, theirs in zip(got, expected, strict=True):
            assert float((ours - theirs).abs().max()) <= off * float(theirs.abs().max())
    assert int(llama.goes_on(found, TOKENS[8]).argmax()) == int(llama.goes_on(own, TOKENS[8]).argmax())


def test_layers_are_told_apart_by_their_numbers(engine, llama, extra):
    """Not by the order in which vLLM lists them."""
    fill(engine(names=NAMES[::-1]), llama)
    [prefix] = extra["kvwire_folder"].iterdir()
    assert sorted(file.name for file in prefix.iterdir()) == [f"{index}.kvf" for index in range(4)]
    second = engine()
    second.run(second.step((request := second.request("b")), [0, 7, 2], second.matched(request), 2))
    assert torch.equal(second.cache([0, 7, 2], 8)[3][0], llama.read(TOKENS)[3][0][:, :8])


def test_a_prompt_that_is_read_in_pieces_is_saved_with_the_last_of_them(engine, llama, extra):
    """Its blocks come in pieces, too."""
    first = engine()
    request = first.request()
    first.matched(request)
    first.run(first.step(request, [5], 0, 4))
    assert not extra["kvwire_folder"].exists()
    first.run(first.step(request, [1, 8], 4, 6, new=False), lambda: first.write(llama, [5, 1, 8]))
    second = engine()
    assert second.matched(second.request("b")) == 8


def test_a_damaged_frame_is_told_and_its_blocks_are_computed(engine, llama, extra):
    """Once; vLLM computes them under kv_load_failure_policy recompute."""
    fill(engine(), llama)
    [file] = extra["kvwire_folder"].glob("*/2.kvf")
    file.write_bytes(file.read_bytes()[:-1] + b"?")
    second = engine()
    request = second.request("b")
    assert second.matched(request) == 8
    second.run(second.step(request, [0, 7, 2], 8, 2))
    assert second.worker.get_block_ids_with_load_errors() == {0, 7}
    assert second.worker.get_block_ids_with_load_errors() == set()


def test_the_engines_own_prefix_cache_comes_first(engine, llama):
    """What it has computed is not loaded, and not written over."""
    fill(engine(), llama)
    second = engine()
    request = second.request("b")
    assert second.matched(request, computed=4) == 4
    second.run(second.step(request, [0, 7, 2], 8, 2))
    assert not second.caches[NAMES[1]][0].any()
    assert second.caches[NAMES[1]][7].any()


@pytest.mark.parametrize(
    "other",
    [{"cache_salt": "mia"}, {"mm_features": ["an image"]}, {"lora_request": "an adapter"}, {"prompt_token_ids": None}],
    ids=lambda each: next(iter(each)),
)
def test_a_cache_that_tokens_alone_do_not_tell_is_not_shared(engine, llama, other):
    """With another salt, an image, an adapter, or from embeddings; nor is it saved for others."""
    fill(engine(), llama)
    second = engine()
    request = second.request("b")
    vars(request).update(other)
    assert second.matched(request) == 0


def test_callers_of_one_salt_share(engine, llama):
    """As vLLM's own prefix cache has it."""
    first = engine()
    request = first.request(cache_salt="mia")
    first.matched(request)
    first.run(first.step(request, [5, 1, 8], 0, 10), lambda: first.write(llama, [5, 1, 8]))
    assert engine().matched(engine().request("b", cache_salt="mia")) == 8
    assert engine().matched(engine().request("b")) == 0


def test_another_codec_finds_nothing(engine, llama):
    """Frames are of one spec."""
    fill(engine(), llama)
    assert engine("int8").matched(engine().request("b")) == 0


def test_a_request_that_ended_before_it_was_read_is_not_saved(engine, llama, extra):
    """Its blocks are somebody else's by then."""
    first = engine()
    request = first.request()
    first.matched(request)
    first.run(first.step(request, [5], 0, 4))
    gone = first.step(first.request("b", tokens=[1, 2, 3]), [5], 0, 3, ended=["a"])
    first.run(gone, lambda: first.write(llama, [5, 1, 8]))
    assert first.step(request, [1, 8], 4, 6, new=False).step.saves == ()
    assert not extra["kvwire_folder"].exists()


@pytest.mark.parametrize(
    ("other", "error", "said"),
    [
        ({"workers": 2}, UnsupportedError, "2 workers"),
        ({"groups": 2}, UnsupportedError, "2 kinds of layers"),
        ({"names": NAMES[:3]}, BindingError, "3 layers"),
        ({"device": "cpu"}, UnsupportedError, "order of their own"),
        ({"packed_bytes": 128}, UnsupportedError, "order of their own"),
    ],
)
def test_an_engine_that_is_not_served_is_refused_when_it_starts(engine, other, error, said):
    """Rather than half of a cache saved."""
    with pytest.raises(error, match=said):
        engine(**other)


@pytest.mark.parametrize("missing", ["folder", "codec", "card"])
def test_a_setting_that_is_missing_is_named(connector_class, published, extra, missing):
    """There is no default for where frames lie, and what they are."""
    del extra[f"kvwire_{missing}"]
    with pytest.raises(InvalidRequestError, match=f"no kvwire_{missing}"):
        Engine(connector_class, published, extra)


@pytest.fixture
def fuser(tmp_path, llama, other, ridge):
    """A file with a map from the other model to this one."""
    path = tmp_path / "fuser.safetensors"
    ridge_file.write(ridge(other.card, llama.card), path, {})
    return path


def test_with_a_fuser_another_models_frames_are_loaded_and_none_are_saved(engine, other, extra, fuser, card_of):
    """What was projected is never handed on as the model's own."""
    exchange = Exchange(CodecSpec.parse("fp32"), IdentityFuser(), other.card, other.card)
    layers, slots = other.blocks(lambda: torch.zeros(9, 1, SIZE, 64), "content"), slots_of([0, 1], SIZE, 0, 8)
    frames = FrameFolder(extra["kvwire_folder"])
    binding = other.card.binding
    seed = f"{binding.weights_fingerprint.hex()} {binding.tokenizer_fingerprint.hex()} fp32\n"
    [_, key] = prefix_keys(seed, TOKENS, SIZE)
    for index, halves in enumerate(other.read(TOKENS[:8])):
        layers[index].scatter(slots, *halves)
        frames.put(key, index, exchange.save(index, layers[index], slots))
    extra |= {"kvwire_fuser": fuser, "kvwire_sharer_card": card_of(other)}
    second = engine()
    request = second.request("b")
    assert second.matched(request) == 8
    metadata = second.step(request, [0, 7, 2], 8, 2)
    assert metadata.step.saves == ()
    second.run(metadata)
    assert second.worker.get_block_ids_with_load_errors() == set()
    assert all(second.caches[name][7].any() for name in NAMES)
    unread = second.request("c", tokens=[9] * 10)
    assert second.matched(unread) == 0
    assert second.step(unread, [3, 4, 5], 0, 10).step.saves == ()


def test_graphs_leave_room_for_saving(connector_class):
    """Layers are saved between pieces of a CUDA graph; inside one Python is not run."""
    assert connector_class.requires_piecewise_for_cudagraph({}) is True
