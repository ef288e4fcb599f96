"""What one model made of a text, kept on disk by our own codec so that it reads each text only once.

Keys are before RoPE. The model reads an opening of its own first (BOS, else a line break), which takes the place of the
attention sink, so that every token of the text has keys and values like any other.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, overload

import torch
from safetensors import safe_open
from safetensors.torch import save_file
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
_FRAME = "frame."

#: Of the sharer's and of the receiver's reading of one text.
Files = tuple[Path, Path]


@dataclass(frozen=True, eq=False)
class Reading:
    """One text as one model read it.

    ids: ``(tokens,)`` int64; ends: ``(tokens,)`` int64, the character each token ends before.
    hidden: ``(1 + tokens, width)`` float16, last hidden states; the model predicts token i from row i.
    frames: by layer, without the opening; of a file, read each time they are asked for: they are most of it, and the
        readings of a training would not fit into memory.
    """

    ids: Tensor
    ends: Tensor
    hidden: Tensor
    frames: Sequence[bytes]


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


def load_pair(files: Files) -> Pair:
    """The sharer's and the receiver's reading of one text."""
    return pair_of(load(files[0]), load(files[1]))


def write(reading: Reading, path: Path) -> None:
    """Write a file; it appears whole or not at all."""
    tensors = {
        f"{_FRAME}{layer}": torch.frombuffer(bytearray(frame), dtype=torch.uint8)
        for layer, frame in enumerate(reading.frames)
    }
    draft = path.with_suffix(".partial")
    save_file(tensors | {"ids": reading.ids, "ends": reading.ends, "hidden": reading.hidden}, draft)
    draft.replace(path)


def load(path: Path) -> Reading:
    """Read a file of :func:`write`, but for its frames."""
    with safe_open(path, framework="pt") as file:
        ids, ends, hidden = (file.get_tensor(name).clone() for name in ("ids", "ends", "hidden"))
        layers = sum(name.startswith(_FRAME) for name in file.keys())  # noqa: SIM118  # a file is no dictionary
    return Reading(ids, ends, hidden, _StoredFrames(path, layers))


class _StoredFrames(Sequence[bytes]):
    """Frames of a file, which stay there."""

    def __init__(self, path: Path, layers: int) -> None:
        self._path = path
        self._layers = layers

    def __len__(self) -> int:
        return self._layers

    @overload
    def __getitem__(self, layer: int) -> bytes: ...
    @overload
    def __getitem__(self, layer: slice) -> list[bytes]: ...
    def __getitem__(self, layer: int | slice) -> bytes | list[bytes]:
        wanted = range(self._layers)[layer]
        with safe_open(self._path, framework="pt") as file:
            if isinstance(wanted, int):
                return _bytes(file, wanted)
            return [_bytes(file, each) for each in wanted]

    def __iter__(self) -> Iterator[bytes]:
        yield from self[:]


def _bytes(file: Any, layer: int) -> bytes:
    found: bytes = file.get_tensor(f"{_FRAME}{layer}").numpy().tobytes()
    return found
