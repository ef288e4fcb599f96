"""Measures a model's sensitivity profile: each layer's keys, then values, through each codec, all else exact.

Then each kv head of them alone, through the first codec.
"""

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

from codec.allocate.profile import Profile
from codec.bases import Base
from codec.quantize.base import Context, Kind, Quantizer
from codec.quantize.omit import OMIT
from kvwire.engine.compare import divergences
from kvwire.engine.engine import Engine, Part
from kvwire.errors import InvalidRequestError

TOKENS = 512
#: Behind each cache: few, so that more texts can be read in the same time.
SCORED_TOKENS = 32

#: What a profile compares unless told otherwise: the best base of each size that tells its bytes beforehand.
CODECS = (*(f"hadamard:bits={bits},center=none" for bits in (2, 3, 4, 5)), "int8")

Halves = tuple[Tensor, Tensor]


def profile(engine: Engine, text: str, codecs: Sequence[Base], windows: int, say: Callable[[str], object]) -> Profile:
    """Measure over evenly spread pieces of a text that will not be evaluated on.

    Raises:
        InvalidRequestError: The text has too few tokens, or a codec needs a calibration, which allocates by itself, or
            codes nothing.
    """
    if any(base.name == OMIT for base in codecs):
        raise InvalidRequestError(f"{OMIT} codes nothing, so that there is nothing to profile; leave it out")
    quantizers = [base.quantizer() for base in codecs]
    if any(quantizer.needs_calibration for quantizer in quantizers):
        raise InvalidRequestError("a profile is of codecs without a calibration; rd allocates its bits by itself")
    layers, totals = len(engine.card.layers), dict[tuple[int, Kind], Tensor]()
    for number, piece in enumerate(_pieces(engine.prompts.plain(text), windows), start=1):
        for layer, kind, moved in _measured(engine, piece, quantizers):
            totals[layer, kind] = totals.get((layer, kind), torch.zeros_like(moved)) + moved
            if kind is Kind.VALUE:
                say(f"text {number} of {windows}, layer {layer + 1} of {layers}")
    keys, values = ([(totals[layer, kind] / windows).tolist() for layer in range(layers)] for kind in Kind)
    parts = len(codecs)
    binding = engine.card.binding
    return Profile(
        model=binding.id,
        weights=binding.weights_fingerprint,
        tokens=TOKENS,
        scored_tokens=SCORED_TOKENS,
        windows=windows,
        codecs=tuple(map(str, codecs)),
        divergences=tuple((tuple(k[:parts]), tuple(v[:parts])) for k, v in zip(keys, values, strict=True)),
        heads=tuple((tuple(k[parts:]), tuple(v[parts:])) for k, v in zip(keys, values, strict=True)),
    )


def _pieces(tokens: Sequence[int], windows: int) -> list[Sequence[int]]:
    length = TOKENS + SCORED_TOKENS
    if len(tokens) < windows * length:
        raise InvalidRequestError(f"the text has {len(tokens)} tokens; {windows * length} are needed, give more text")
    return [tokens[at * len(tokens) // windows :][:length] for at in range(windows)]


def _measured(
    engine: Engine, piece: Sequence[int], quantizers: Sequence[Quantizer]
) -> Iterator[tuple[int, Kind, Tensor]]:
    """Layer, keys or values, and ``(codecs + kv_heads,)`` divergences of one text."""
    cache = engine.new_cache()
    engine.read(piece[:TOKENS], cache, 0)
    exact = [cache.layer(layer) for layer in range(len(engine.card.layers))]
    reference = _logprobs(engine, piece, [exact])[0]
    for layer, halves in enumerate(exact):
        for kind in Kind:
            coded = [_coded(halves, layer, kind, each) for each in quantizers]
            coded += [_one_head(halves, coded[0], head) for head in range(halves[0].shape[0])]
            caches = [[*exact[:layer], each, *exact[layer + 1 :]] for each in coded]
            moved = [divergences(reference, other)[0] for other in _logprobs(engine, piece, caches)]
            yield layer, kind, torch.tensor([max(0.0, sum(kl) / len(kl)) for kl in moved])


def _coded(halves: Halves, layer: int, kind: Kind, quantizer: Quantizer) -> Halves:
    keys, values = halves
    half = values if kind is Kind.VALUE else keys
    heads, tokens, head_dim = half.shape
    ctx = Context(layer, kind, heads, tokens, head_dim, torch.arange(tokens))
    there_and_back = quantizer.decode(quantizer.encode(half, ctx), ctx).to(half)
    return (keys, there_and_back) if kind is Kind.VALUE else (there_and_back, values)


def _one_head(exact: Halves, coded: Halves, head: int) -> Halves:
    """All as it was, but for one head."""
    keys, values = (half.clone() for half in exact)
    keys[head], values[head] = coded[0][head], coded[1][head]
    return keys, values


def _logprobs(engine: Engine, piece: Sequence[int], caches: Sequence[Sequence[Halves]]) -> list[Tensor]:
    """After each scored token, ``(scored, vocabulary)`` per cache, all in one pass."""
    parts = []
    for layers in caches:
        cache = engine.new_cache()
        for layer, (keys, values) in enumerate(layers):
            cache.place(layer, keys, values, torch.arange(TOKENS, device=engine.device))
        parts.append(Part(cache, (), TOKENS, branches=(piece[TOKENS:],)))
    return [logits.log_softmax(-1) for logits in engine.branch_logits(parts)]
