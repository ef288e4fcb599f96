"""Two models read one text: what a fuser learns from, kept on disk by our own codec so that each reads it only once.

Keys are before RoPE. Both models read an opening of their own first (BOS, else a line break), which takes the place of
the attention sink, so that every token of the text has keys and values like any other.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from codec.codec import Codec
from codec.frame import Limits
from codec.layer import LayerKV
from codec.spec import CodecSpec, RopePhase
from fuser.align import align
from fuser.layers import in_phase, rope_table
from kvwire.engine.engine import Engine, Part
from kvwire.errors import InvalidRequestError
from kvwire.models.load import LoadedModel

#: Not int8: beside keys with a bias of hundreds (Qwen2.5) it turns small channels into constants, and a fuser learns
#: that they are (gain retained of such a one: 85 % behind int8, none behind fp16; 2026-11-23).
STORED = CodecSpec.parse("fp16+rope=pre")


class Side:
    """One of the two models, as far as learning from it goes."""

    def __init__(self, loaded: LoadedModel, max_tokens: int) -> None:
        self.engine = Engine(loaded, max_tokens)
        self.tokenizer = loaded.tokenizer
        self.card = self.engine.card
        self.ropes = rope_table(self.card)
        self.opening = self.engine.prompts.bos() or self.engine.prompts.plain("\n")
        self.codec = Codec(STORED, self.ropes)

    @torch.no_grad()
    def read(self, tokens: Sequence[int]) -> tuple[list[bytes], Tensor]:
        """Frames of all layers without the opening, and last hidden states ``(1 + tokens, width)``.

        Row i of these is what the model predicts token i from.
        """
        cache = self.engine.new_cache()
        first = len(self.opening)
        hidden = self.engine.hidden([Part(cache, [*self.opening, *tokens], 0)])
        frames = []
        for index in range(len(self.card.layers)):
            keys, values = (half[:, first:] for half in cache.layer(index))
            kv = LayerKV(index, keys, values, RopePhase.POST, len(tokens))
            frames.append(self.codec.encode_layer(kv, torch.arange(len(tokens)) + first))
        return frames, hidden[first - 1 :]

    def decoded(self, frames: Sequence[bytes]) -> list[LayerKV]:
        """Layers with keys before RoPE, float32."""
        first = len(self.opening)
        layers = (self.codec.decode_layer(frame, Limits()) for frame in frames)
        return [in_phase(kv, RopePhase.PRE, first, self.ropes) for kv in layers]


@dataclass(frozen=True, eq=False)
class Pair:
    """One text as both read it.

    ids: ``(tokens,)`` int64, the receiver's tokens; sources: ``(tokens,)`` int64, the sharer token of each.
    hidden: ``(1 + tokens, width)`` float16, the receiver's last hidden states; row i predicts token i.
    sharer, receiver: frames by layer.
    """

    ids: Tensor
    sources: Tensor
    hidden: Tensor
    sharer: tuple[bytes, ...]
    receiver: tuple[bytes, ...]


def read_pair(sharer: Side, receiver: Side, text: str) -> Pair:
    """Let both read a text.

    Raises:
        InvalidRequestError: It has no tokens for one of them.
    """
    aligned = align(receiver.tokenizer, sharer.tokenizer, text)
    if not aligned.sources:
        raise InvalidRequestError(f"{text[:40]!r} has no tokens; give text")
    theirs, _ = sharer.read(aligned.sharer.ids)
    ours, hidden = receiver.read(aligned.receiver.ids)
    return Pair(
        torch.tensor(aligned.receiver.ids),
        torch.tensor(aligned.sources),
        hidden.half(),
        tuple(theirs),
        tuple(ours),
    )


def write_pair(pair: Pair, path: Path) -> None:
    """Write a file; it appears whole or not at all."""
    frames = {"sharer": pair.sharer, "receiver": pair.receiver}
    tensors = {
        f"{side}.{layer}": torch.frombuffer(bytearray(frame), dtype=torch.uint8)
        for side, all_frames in frames.items()
        for layer, frame in enumerate(all_frames)
    }
    draft = path.with_suffix(".partial")
    save_file(tensors | {"ids": pair.ids, "sources": pair.sources, "hidden": pair.hidden}, draft)
    draft.replace(path)


def load_pair(path: Path) -> Pair:
    """Read a file of :func:`write_pair`."""
    tensors = load_file(path)
    return Pair(
        tensors["ids"], tensors["sources"], tensors["hidden"], _frames(tensors, "sharer"), _frames(tensors, "receiver")
    )


def _frames(tensors: dict[str, Tensor], side: str) -> tuple[bytes, ...]:
    count = sum(name.startswith(f"{side}.") for name in tensors)
    return tuple(tensors[f"{side}.{layer}"].numpy().tobytes() for layer in range(count))
