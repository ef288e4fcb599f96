"""What one model made of a text, kept on disk by our own codec so that it reads each text only once.

Keys are before RoPE. The model reads an opening of its own first (BOS, else a line break), which takes the place of the
attention sink, so that every token of the text has keys and values like any other.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from codec.codec import Codec
from codec.frame import Limits
from codec.layer import LayerKV
from codec.spec import CodecSpec, RopePhase
from fuser.align import by_characters, tokenized
from fuser.layers import in_phase, rope_table
from kvwire.engine.engine import Engine, Part
from kvwire.errors import InvalidRequestError
from kvwire.models.load import LoadedModel

#: Not int8: beside keys with a bias of hundreds (Qwen2.5) it turns small channels into constants, and a fuser learns
#: that they are (such a one on a paragraph of XQuAD: gain retained 85 % behind int8, none behind fp16; 2026-11-23).
STORED = CodecSpec.parse("fp16+rope=pre")


@dataclass(frozen=True, eq=False)
class Reading:
    """One text as one model read it.

    ids: ``(tokens,)`` int64; ends: ``(tokens,)`` int64, the character each token ends before.
    hidden: ``(1 + tokens, width)`` float16, last hidden states; the model predicts token i from row i.
    frames: by layer, without the opening.
    """

    ids: Tensor
    ends: Tensor
    hidden: Tensor
    frames: tuple[bytes, ...]


@dataclass(frozen=True, eq=False)
class Pair:
    """One text as both models read it; ``sources``: ``(receiver's tokens,)`` int64, the sharer token of each."""

    sharer: Reading
    receiver: Reading
    sources: Tensor


class TextReader:
    """A model that reads texts."""

    def __init__(self, loaded: LoadedModel, max_tokens: int) -> None:
        self.engine = Engine(loaded, max_tokens)
        self.card = self.engine.card
        self.ropes = rope_table(self.card)
        self.opening = self.engine.prompts.bos() or self.engine.prompts.plain("\n")
        self._codec = Codec(STORED, self.ropes)

    @torch.no_grad()
    def read(self, text: str) -> Reading:
        """Read a text.

        Raises:
            InvalidRequestError: It has no tokens.
        """
        found = tokenized(self.engine.prompts.tokenizer, text)
        if not found.ids:
            raise InvalidRequestError(f"{text[:40]!r} has no tokens; give text")
        cache, first, tokens = self.engine.new_cache(), len(self.opening), len(found.ids)
        hidden = self.engine.hidden([Part(cache, [*self.opening, *found.ids], 0)])
        frames = []
        for index in range(len(self.card.layers)):
            keys, values = (half[:, first:] for half in cache.layer(index))
            kv = LayerKV(index, keys, values, RopePhase.POST, tokens)
            frames.append(self._codec.encode_layer(kv, torch.arange(tokens) + first))
        return Reading(torch.tensor(found.ids), torch.tensor(found.ends), hidden[first - 1 :].half(), tuple(frames))

    @cached_property
    @torch.no_grad()
    def opened(self) -> list[tuple[Tensor, Tensor]]:
        """The cache of the opening: keys after RoPE and values by layer, ``(kv_heads, tokens, head_dim)`` each."""
        cache = self.engine.new_cache()
        self.engine.hidden([Part(cache, self.opening, 0)])
        return [cache.layer(index) for index in range(len(self.card.layers))]

    def beginning(self, reading: Reading, tokens: int) -> list[LayerKV]:
        """The cache of the opening and the first so many tokens of a text, keys after RoPE, float32."""
        first = len(self.opening)
        found = []
        for kv, (keys, values) in zip(self.decoded(reading.frames), self.opened, strict=True):
            turned = in_phase(kv, RopePhase.POST, first, self.ropes)
            halves = (
                torch.cat([keys.float(), turned.keys[:, :tokens]], 1),
                torch.cat([values.float(), turned.values[:, :tokens]], 1),
            )
            found.append(replace(turned, keys=halves[0], values=halves[1], tokens=first + tokens))
        return found

    def decoded(self, frames: Sequence[bytes]) -> list[LayerKV]:
        """Layers with keys before RoPE, float32."""
        layers = (self._codec.decode_layer(frame, Limits()) for frame in frames)
        return [in_phase(kv, RopePhase.PRE, len(self.opening), self.ropes) for kv in layers]


def pair_of(sharer: Reading, receiver: Reading) -> Pair:
    """Two readings of one text, aligned."""
    return Pair(sharer, receiver, torch.tensor(by_characters(receiver.ends.tolist(), sharer.ends.tolist())))


def load_pair(files: tuple[Path, Path]) -> Pair:
    """The sharer's and the receiver's reading of one text."""
    return pair_of(load(files[0]), load(files[1]))


def write(reading: Reading, path: Path) -> None:
    """Write a file; it appears whole or not at all."""
    tensors = {
        f"frame.{layer}": torch.frombuffer(bytearray(frame), dtype=torch.uint8)
        for layer, frame in enumerate(reading.frames)
    }
    draft = path.with_suffix(".partial")
    save_file(tensors | {"ids": reading.ids, "ends": reading.ends, "hidden": reading.hidden}, draft)
    draft.replace(path)


def load(path: Path) -> Reading:
    """Read a file of :func:`write`."""
    tensors = load_file(path)
    count = sum(name.startswith("frame.") for name in tensors)
    frames = tuple(tensors[f"frame.{layer}"].numpy().tobytes() for layer in range(count))
    return Reading(tensors["ids"], tensors["ends"], tensors["hidden"], frames)
