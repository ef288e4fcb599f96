"""How far a model's predictions move when its cache has been through a codec.

A model reads a document's prefix; every layer goes through a frame and back, every byte counted; the model then reads
the tokens behind the prefix over the decoded cache, and its distributions are compared with those over its own cache.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from bench.documents import Document
from codec.codec import Codec
from codec.frame import Limits
from codec.layer import LayerKV
from codec.rope import RopeTable
from codec.spec import RopePhase
from fuser.layers import in_phase, kept_positions, rope_table
from kvwire.engine.attention import AttentionObserver
from kvwire.engine.cache import PositionedCache
from kvwire.engine.compare import divergences
from kvwire.engine.engine import Engine, Part
from kvwire.errors import InvalidRequestError


@dataclass(frozen=True)
class Change:
    """One codec on one document: means over the scored tokens, and bits per key and value over all layers."""

    kl: float
    top1: float
    bits_per_value: float


class Reader:
    """One model that has read one document; ``layers`` is its cache of the prefix, keys after RoPE."""

    def __init__(self, engine: Engine, document: Document) -> None:
        self._engine = engine
        self._document = document
        self.ropes: RopeTable = rope_table(engine.card)
        cache, attention = engine.new_cache(), dict[int, Tensor]()
        engine.read(document.prefix, cache, 0, AttentionObserver(attention.__setitem__))
        self.layers: list[LayerKV] = [
            LayerKV(layer, *cache.layer(layer), RopePhase.POST, len(document.prefix), attention=attention[layer])
            for layer in range(len(engine.card.layers))
        ]
        self._reference = self._distributions(self.layers)

    def through(self, codec: Codec) -> Change:
        """What the codec changes.

        Raises:
            InvalidRequestError: The codec cannot carry a layer's numbers, or ranks tokens by a question.
        """
        if codec.needs_question:
            raise InvalidRequestError(
                f"{str(codec.spec)!r} ranks tokens by a question, and articles have none; use kvwire experiment"
            )
        positions, limits = torch.arange(len(self._document.prefix)), Limits()
        frames = [codec.encode_layer(kv, positions) for kv in self.layers]
        decoded = [in_phase(codec.decode_layer(frame, limits), RopePhase.POST, 0, self.ropes) for frame in frames]
        kl, same = divergences(self._reference, self._distributions(decoded))
        values = sum(kv.keys.numel() + kv.values.numel() for kv in self.layers)
        return Change(sum(kl) / len(kl), sum(same) / len(same), 8 * sum(map(len, frames)) / values)

    def _distributions(self, layers: list[LayerKV]) -> Tensor:
        """Log-probabilities after each scored token, ``(scored, vocabulary)``, over a fresh cache of these layers."""
        engine, cache = self._engine, PositionedCache(len(layers))
        for kv in layers:
            keys, values = (half.to(engine.device, engine.dtype) for half in (kv.keys, kv.values))
            cache.place(kv.layer, keys, values, kept_positions(kv, 0).to(engine.device))
        part = Part(cache, (), len(self._document.prefix), branches=(self._document.scored,))
        return engine.branch_logits([part])[0].log_softmax(-1)
