"""What a step of training shows a fuser: beginnings of texts only the sharer has read, and what follows them.

The receiver reads on behind the projected cache, and is to predict what it predicts behind its own cache of the same
text. Every step cuts its texts elsewhere: a cache of a text holds the caches of all its beginnings. For one text in
eight what follows is another text's, so that the fuser learns to tell what the text said and not what texts are like.
"""

import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from calibration.latents import Latents, slots_of
from calibration.readings import Pair, Reading, TextReader
from codec.rope import rotate
from kvwire.engine.cache import PositionedCache
from kvwire.engine.engine import Part
from kvwire.errors import InvalidRequestError

#: Tokens that the receiver reads behind a cache.
FOLLOWING_TOKENS = 64
_LEAST_CONTEXT_TOKENS = 4
#: Shares of texts cut short (evenly over the logarithm of their length) and followed by another text. Not tuned.
_SHARE_SHORT, _SHARE_FOREIGN = 0.35, 0.125
#: A text needs so many tokens of the receiver to be cut.
_LEAST_TOKENS = FOLLOWING_TOKENS + 4 * _LEAST_CONTEXT_TOKENS

Layers = Sequence[tuple[Tensor, Tensor]]


@dataclass(frozen=True, eq=False)
class Text:
    """A pair, and the fuser's latents of the sharer's tokens."""

    pair: Pair
    latents: Latents


@dataclass(frozen=True, eq=False)
class Example:
    """The first ``cut`` slots of ``text``, then 64 tokens of ``behind`` from ``at`` on: its own next, or any."""

    text: Text
    cut: int
    behind: Pair
    at: int

    @property
    def goes_on(self) -> bool:
        """Whether these are the next of the same text."""
        return self.behind is self.text.pair and self.at == self.cut

    @property
    def follows(self) -> Tensor:
        """What the receiver reads behind the slots, ``(64,)``."""
        return self.behind.receiver.ids[self.at : self.at + FOLLOWING_TOKENS]

    @property
    def nexts(self) -> Tensor:
        """What comes after each of those, ``(64,)``."""
        return self.behind.receiver.ids[self.at + 1 : self.at + 1 + FOLLOWING_TOKENS]


class FrozenReceiver:
    """A frozen receiver that reads on behind caches it was given."""

    def __init__(self, receiver: TextReader) -> None:
        self._receiver = receiver
        self._layers, self._dtype = len(receiver.card.layers), receiver.engine.dtype

    def precision(self) -> torch.autocast:
        """Within it, what leads to the receiver's cache is computed as precisely as the receiver computes."""
        rounded = self._dtype is not torch.float32
        return torch.autocast(self._receiver.engine.device.type, self._dtype if rounded else None, enabled=rounded)

    def part(self, layers: Layers, slots: Tensor, follows: Tensor, length: int) -> Part:
        """Tokens behind a cache of so many slots, of which those in ``slots`` are there.

        layers: keys before RoPE and values, ``(kv_heads, slots, head_dim)`` each.
        """
        first = len(self._receiver.opening)
        cache: PositionedCache = self._receiver.engine.new_cache()
        positions = torch.cat([torch.arange(first), slots + first])
        for index, ((keys, values), opening) in enumerate(zip(layers, self._receiver.opened, strict=True)):
            turned = rotate(keys, positions[first:], self._receiver.ropes.layers[index])
            cache.place(index, self._behind(opening[0], turned), self._behind(opening[1], values), positions)
        return Part(cache, follows.tolist(), first + length)

    def _behind(self, opening: Tensor, half: Tensor) -> Tensor:
        return torch.cat([opening, half.to(self._dtype)], 1)

    def behind(self, layers: Layers, follows: Tensor) -> Part:
        """Tokens behind a cache of everything before them, the opening too.

        layers: keys after RoPE and values, ``(kv_heads, tokens, head_dim)`` each.
        """
        cache, tokens = self._receiver.engine.new_cache(), layers[0][0].shape[1]
        for index, (keys, values) in enumerate(layers):
            cache.place(index, keys.to(self._dtype), values.to(self._dtype), torch.arange(tokens))
        return Part(cache, follows.tolist(), tokens)

    def own_part(self, pair: Pair, slots: int, follows: Tensor) -> Part:
        """Tokens behind the receiver's own cache of a text's beginning; of nothing, if that is empty."""
        return self.part(self.own(pair, slots), torch.arange(slots), follows, slots)

    def own(self, pair: Pair, slots: int) -> Layers:
        """The receiver's own cache of a text's beginning."""
        return [(kv.keys[:, :slots], kv.values[:, :slots]) for kv in self._receiver.decoded(pair.receiver.frames)]

    def split(self, outputs: Tensor) -> Layers:
        """A fuser's outputs, ``(slots, layers * 2 * kv_heads * head_dim)``, as layers."""
        card = self._receiver.card
        halves = outputs.view(-1, self._layers, 2, card.kv_heads, card.head_dim).permute(1, 2, 3, 0, 4)
        return [(keys, values) for keys, values in map(torch.unbind, halves.unbind())]

    def hidden(self, parts: Sequence[Part]) -> Tensor:
        """Last hidden states of all tokens of all parts."""
        return self._receiver.engine.hidden(parts)

    def log_probabilities(self, hidden: Tensor) -> Tensor:
        """``(tokens, vocabulary)``."""
        return self._receiver.engine.logits(hidden).log_softmax(-1)


class Examples:
    """Draws a step's examples, the same ones for the same step."""

    def __init__(self, texts: Sequence[Text], batch: int, seed: int) -> None:
        self._texts = texts
        self._batch = batch
        self._seed = seed

    def of(self, step: int) -> list[Example]:
        """Texts in an order that shows each once before any comes again."""
        turns = drawn(len(self._texts), self._batch, self._seed, step)
        return [self._example(self._texts[index], draw) for index, draw in turns]

    def _example(self, text: Text, draw: random.Random) -> Example:
        cut = cut_of(text.pair, draw)
        if draw.random() >= _SHARE_FOREIGN:
            return Example(text, cut, text.pair, cut)
        other = draw.choice(self._texts).pair
        return Example(text, cut, other, cut_of(other, draw))


def check_length(receiver: Reading) -> None:
    """Whether a text is long enough to be cut.

    Raises:
        InvalidRequestError: It is not.
    """
    if (tokens := len(receiver.ids)) < _LEAST_TOKENS:
        raise InvalidRequestError(
            f"a piece of the text has {tokens} tokens, {_LEAST_TOKENS} are needed; give other text"
        )


def drawn(texts: int, batch: int, seed: int, step: int) -> Iterator[tuple[int, random.Random]]:
    """Which texts a step takes, and what it draws the rest of each example with."""
    for at in range(step * batch, (step + 1) * batch):
        lap, place = divmod(at, texts)
        order = random.Random(f"{seed} {lap}").sample(range(texts), texts)  # noqa: S311  # no secret
        yield order[place], random.Random(f"{seed} at {at}")  # noqa: S311


def cut_of(pair: Pair, draw: random.Random) -> int:
    """Where a text is cut, in the receiver's tokens, at the end of a token of both."""
    return at_end_of_both(pair, drawn_cut(len(pair.receiver.ids), draw))


def at_end_of_both(pair: Pair, cut: int) -> int:
    """The last place up to ``cut``, in the receiver's tokens, where a token of the sharer ends too; 1 if none does."""
    while cut > 1 and pair.sources[cut] == pair.sources[cut - 1]:
        cut -= 1
    return cut


def drawn_cut(tokens: int, draw: random.Random) -> int:
    """Where a text of so many tokens is cut; short beginnings have their share."""
    longest = tokens - FOLLOWING_TOKENS - 1
    if draw.random() < _SHARE_SHORT:
        return int(_LEAST_CONTEXT_TOKENS * math.exp(draw.random() * math.log(longest / _LEAST_CONTEXT_TOKENS)))
    return draw.randint(_LEAST_CONTEXT_TOKENS, longest)


def behind_fuser(
    module: nn.Module, frozen: FrozenReceiver, beginnings: Sequence[tuple[Text, int, Tensor]]
) -> list[Part]:
    """Of each text its first slots, by the fuser, and tokens to be read behind them; projected all at once."""
    latents = [text.latents(int(text.pair.sources[cut - 1]) + 1) for text, cut, _ in beginnings]
    placed = [slots_of(rows, text.pair.sources[:cut]) for rows, (text, cut, _) in zip(latents, beginnings, strict=True)]
    taken = [rows.numbers[at] for rows, (_, at) in zip(latents, placed, strict=True)]
    outputs = module(torch.cat(taken)).split([len(each) for each in taken])
    return [
        frozen.part(frozen.split(own), slots, follows, cut)
        for own, (slots, _), (_, cut, follows) in zip(outputs, placed, beginnings, strict=True)
    ]


@torch.no_grad()
def own_predictions(frozen: FrozenReceiver, examples: Sequence[Example]) -> Tensor:
    """What the receiver predicts behind its own cache of the same slots, ``(64 * examples, vocabulary)``."""
    return frozen.log_probabilities(torch.cat([_own_hidden(frozen, each) for each in examples]))


def _own_hidden(frozen: FrozenReceiver, example: Example) -> Tensor:
    if example.goes_on:
        return example.behind.receiver.hidden[example.at + 1 : example.at + 1 + FOLLOWING_TOKENS].float()
    return frozen.hidden([frozen.own_part(example.text.pair, example.cut, example.follows)])
