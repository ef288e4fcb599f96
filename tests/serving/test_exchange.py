"""Caches of real models from one engine's blocks to another's, through real codecs and fusers."""

from dataclasses import replace

import pytest
import torch

from codec.layer import LayerKV
from codec.spec import CodecSpec, RopePhase
from fuser.layers import in_phase, rope_table
from fuser.projectors.identity import IdentityFuser
from fuser.registry import read_fuser
from kvwire.errors import BindingError, DataLossError, SpecError, UnsupportedError
from serving.exchange import Exchange
from serving.paged import LAYOUTS, slots_of

TOKENS = [7, 99, 300, 12, 12, 45, 501, 8, 77, 230]
SIZE = 4
SHAPES = {
    "content": lambda card: (9, card.kv_heads, SIZE, 2 * card.head_dim),
    "outermost": lambda card: (2, 9, SIZE, card.kv_heads, card.head_dim),
    "in_block": lambda card: (9, 2, SIZE, card.kv_heads, card.head_dim),
}


def blocks(tiny, layout, dtype=torch.float32):
    """An engine's empty cache."""
    return tiny.blocks(lambda: torch.zeros(SHAPES[layout](tiny.card), dtype=dtype), layout)


def same(spec, tiny):
    """The same model on both sides."""
    return Exchange(CodecSpec.parse(spec), IdentityFuser(), tiny.card, tiny.card)


def saved(exchange, tiny, layout, ids):
    """Frames of what a model read, which lay in these blocks."""
    layers, slots = blocks(tiny, layout), slots_of(ids, SIZE, 0, len(TOKENS))
    for layer, halves in zip(layers, tiny.read(TOKENS), strict=True):
        layer.scatter(slots, *halves)
    return [exchange.save(index, layer, slots) for index, layer in enumerate(layers)]


def loaded(exchange, tiny, layout, frames, ids, first=0):
    """Keys and values of each layer that were put into other blocks."""
    layers, slots = blocks(tiny, layout), slots_of(ids, SIZE, first, len(TOKENS))
    exchange.load(frames.__getitem__, len(TOKENS), first, layers, slots)
    return [layer.gather(slots) for layer in layers]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_an_answer_from_a_loaded_cache_is_the_answer_from_the_models_own(llama, layout):
    """Without compression bit for bit: the next token's logits are the same numbers."""
    exchange = same("fp32", llama)
    frames = saved(exchange, llama, layout, [5, 1, 8])
    cache = loaded(exchange, llama, layout, frames, [0, 7, 2])
    assert torch.equal(llama.goes_on(cache, 33), llama.goes_on(llama.read(TOKENS), 33))


@pytest.mark.parametrize(
    ("spec", "error"),
    [("fp16", 0.001), ("int8", 0.01), ("int8+rope=pre", 0.01), ("int4", 0.15), ("kivi:bits=4", 0.15), ("nf4", 0.15)],
)
def test_what_a_codec_changes_is_what_it_changes_elsewhere(llama, spec, error):
    """By the layer's own scale; and frames are smaller than the numbers by what the codec promises."""
    exchange = same(spec, llama)
    frames = saved(exchange, llama, "content", [5, 1, 8])
    cache = loaded(exchange, llama, "content", frames, [0, 7, 2])
    for got, own in zip(cache, llama.read(TOKENS), strict=True):
        for ours, theirs in zip(got, own, strict=True):
            assert float((ours - theirs).norm() / theirs.norm()) < error
    if spec != "fp16":
        plain = saved(same("fp16", llama), llama, "content", [5, 1, 8])
        assert sum(map(len, frames)) < 0.8 * sum(map(len, plain))


def test_tokens_that_are_there_already_are_left_alone(llama):
    """The engine computed some of the prefix itself: those slots are not written."""
    exchange = same("fp32", llama)
    frames = saved(exchange, llama, "content", [5, 1, 8])
    cache = loaded(exchange, llama, "content", frames, [0, 7, 2], first=SIZE)
    own = llama.read(TOKENS)
    assert torch.equal(cache[2][0], own[2][0][:, SIZE:])
    layers = blocks(llama, "content")
    exchange.load(frames.__getitem__, len(TOKENS), SIZE, layers, slots_of([0, 7, 2], SIZE, SIZE, len(TOKENS)))
    assert not layers[2].gather(slots_of([0], SIZE, 0, SIZE))[0].any()


def test_a_fuser_turns_another_models_cache_into_the_engines(llama, other, ridge):
    """Projected as a receiver service would: from keys before RoPE, and put in after the receiver's own."""
    fuser = ridge(other.card, llama.card)
    frames = saved(same("fp32", other), other, "content", [5, 1, 8])
    exchange = Exchange(CodecSpec.parse("fp32"), fuser, other.card, llama.card)
    assert exchange.sources == (0, 1, 2)
    cache = loaded(exchange, llama, "content", frames, [0, 7, 2])
    turned = {
        index: in_phase(LayerKV(index, *halves, RopePhase.POST, len(TOKENS)), RopePhase.PRE, 0, rope_table(other.card))
        for index, halves in enumerate(other.read(TOKENS))
    }
    for target in range(4):
        made = fuser.project(target, {source: turned[source] for source in fuser.source_layers(target)})
        made = in_phase(made, RopePhase.POST, 0, rope_table(llama.card))
        torch.testing.assert_close(cache[target][0], made.keys)
        torch.testing.assert_close(cache[target][1], made.values)


def test_a_frame_is_read_once_though_several_layers_need_it(llama, other, ridge):
    """Decoding is what takes the time."""
    frames = saved(same("fp32", other), other, "content", [5, 1, 8])
    exchange = Exchange(CodecSpec.parse("fp32"), ridge(other.card, llama.card), other.card, llama.card)
    asked = []

    def frame(layer):
        asked.append(layer)
        return frames[layer]

    exchange.load(frame, len(TOKENS), 0, blocks(llama, "content"), slots_of([0, 7, 2], SIZE, 0, len(TOKENS)))
    assert asked == [0, 1, 2]


@pytest.mark.parametrize("tokens", [9, 11])
def test_frames_of_other_tokens_are_refused(llama, tokens):
    """Too few or too many of them: they are not of this prefix."""
    exchange = same("fp32", llama)
    frames = saved(exchange, llama, "content", [5, 1, 8])
    with pytest.raises(DataLossError):
        exchange.load(frames.__getitem__, tokens, 0, blocks(llama, "content"), slots_of([0, 7, 2], SIZE, 0, tokens))


def test_a_frame_of_another_layer_is_refused(llama):
    """However it came to lie there."""
    exchange = same("fp32", llama)
    frames = saved(exchange, llama, "content", [5, 1, 8])
    with pytest.raises(DataLossError, match="a frame of layer 2"):
        loaded(exchange, llama, "content", [frames[2], *frames[1:]], [0, 7, 2])


@pytest.mark.parametrize("spec", ["int8+keep=0.5", "int8+of=latents"])
def test_a_codec_that_leaves_tokens_out_is_refused(llama, spec):
    """An engine has no way to leave a slot empty."""
    with pytest.raises(SpecError, match="absent tokens"):
        same(spec, llama)


def test_pairs_that_do_not_go_together_are_refused(llama, other, ridge):
    """Before anything is loaded: weights, tokenizers, methods and windows."""
    spec = CodecSpec.parse("int8")
    with pytest.raises(BindingError, match="identity fuser needs one model"):
        Exchange(spec, IdentityFuser(), other.card, llama.card)
    binding = replace(other.card.binding, tokenizer_fingerprint=b"o" * 32)
    stranger = replace(other.card, binding=binding)
    with pytest.raises(BindingError, match="aligns the tokens of two tokenizers"):
        Exchange(spec, ridge(stranger, llama.card), stranger, llama.card)
    windowed = replace(llama.card, layers=tuple(replace(each, window_tokens=8) for each in llama.card.layers))
    with pytest.raises(UnsupportedError, match="window"):
        Exchange(spec, IdentityFuser(), windowed, windowed)


def test_a_fuser_that_needs_the_engines_own_cache_is_refused(llama, official_c2c, tmp_path):
    """Method fuse, as C2C offers: an engine that loads a prefix does not compute it too."""
    shape, gate = (4, 2, 16), {"key": 0.5, "value": 1.0}
    fuser = read_fuser(official_c2c.write_checkpoint(tmp_path / "c2c", shape, shape, [gate] * 4))
    with pytest.raises(BindingError, match="offers no method prefix"):
        Exchange(CodecSpec.parse("int8"), fuser, llama.card, llama.card)
