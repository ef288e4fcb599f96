"""A model reads a text in two parts: the cache of the first, and how much the second depends on each number in it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache

from codec.rope import rotate, unrotate
from fuser.layers import rope_table
from kvwire.engine.card import model_card
from kvwire.errors import InvalidRequestError
from kvwire.models.load import LoadedModel

CONTEXT_TOKENS = 512
CONTINUATION_TOKENS = 96
WINDOW_TOKENS = CONTEXT_TOKENS + CONTINUATION_TOKENS

Layers = Sequence[tuple[Tensor, Tensor]]


@dataclass(frozen=True, eq=False)
class Window:
    """A context's cache and what the model made of its continuation.

    tokens: ``(608,)``, int64; layers: keys before RoPE and values, ``(kv_heads, 512, head_dim)`` float32 each.
    logprobs: ``(96, vocabulary)``.
    """

    tokens: Tensor
    layers: Layers
    logprobs: Tensor


class Reader:
    """A loaded model, with its keys before RoPE."""

    def __init__(self, loaded: LoadedModel) -> None:
        self.card = model_card(loaded)
        self.ropes = rope_table(self.card)
        self._model = loaded.model
        self._tokenizer = loaded.tokenizer
        self._bos = torch.tensor(loaded.tokenizer("").input_ids, dtype=torch.int64)

    def windows(self, text: str, count: int) -> list[Tensor]:
        """Evenly spread pieces of the text's tokens, 608 each, behind a BOS if the model has one.

        Raises:
            InvalidRequestError: The text is too short.
        """
        tokens = self._tokens(text)
        if len(tokens) < count * WINDOW_TOKENS:
            raise InvalidRequestError(
                f"the text has {len(tokens)} tokens; {count * WINDOW_TOKENS} are needed, give more text"
            )
        starts = [i * len(tokens) // count for i in range(count)]
        return [torch.cat((self._bos, tokens[at:]))[:WINDOW_TOKENS] for at in starts]

    @torch.no_grad()
    def first_tokens(self, text: str, count: int) -> Tensor:
        """Caches of one token each, ``(layers, 2, heads, count, head_dim)``: BOS, or tokens spread over the text."""
        tokens = self._tokens(text)
        chosen = self._bos[:1].repeat(count) if len(self._bos) else tokens[:: max(1, len(tokens) // count)][:count]
        cache: Any = DynamicCache()
        self._model.get_decoder()(chosen[:, None], past_key_values=cache)
        # Position 0 is not rotated.
        halves = [torch.stack([layer.keys[:, :, 0], layer.values[:, :, 0]]) for layer in cache.layers]
        return torch.stack(halves).float().transpose(2, 3)

    @torch.no_grad()
    def read(self, tokens: Tensor) -> Window:
        """Read a window."""
        cache: Any = DynamicCache()
        self._model.get_decoder()(tokens[None, :CONTEXT_TOKENS], past_key_values=cache)
        positions = torch.arange(CONTEXT_TOKENS)
        layers = [
            (unrotate(layer.keys[0], positions, rope), layer.values[0].float())
            for layer, rope in zip(cache.layers, self.ropes.layers, strict=True)
        ]
        return Window(tokens, layers, self.logprobs(tokens, layers))

    def logprobs(self, tokens: Tensor, layers: Layers) -> Tensor:
        """Log-probabilities after each token of the continuation, given a cache of the context; differentiable."""
        cache, positions = DynamicCache(), torch.arange(CONTEXT_TOKENS)
        for index, (keys, values) in enumerate(layers):
            cache.update(rotate(keys, positions, self.ropes.layers[index])[None], values[None], index)
        output = self._model(tokens[None, CONTEXT_TOKENS:], past_key_values=cache)
        logprobs: Tensor = output.logits[0].float().log_softmax(-1)
        return logprobs

    def gradients(self, window: Window, draws: int, generator: torch.Generator) -> Iterator[list[Tensor]]:
        """Gradients of the log-likelihood of continuations drawn from the model itself, keys then values by layer.

        The mean of their outer products is the Fisher information: to second order, half of it weighs an error in the
        cache by the KL divergence it causes, summed over the continuation. Source: J. Martens, "New insights and
        perspectives on the natural gradient method", arXiv 1412.1193, section 5.
        """
        leaves = [half.requires_grad_() for layer in window.layers for half in layer]
        logprobs = self.logprobs(window.tokens, window.layers)
        for draw in range(draws):
            drawn = torch.multinomial(logprobs.detach().exp(), 1, generator=generator)
            total = logprobs.gather(1, drawn).sum()
            yield list(torch.autograd.grad(total, leaves, retain_graph=draw < draws - 1))
        for half in leaves:
            half.requires_grad = False

    def _tokens(self, text: str) -> Tensor:
        return torch.tensor(self._tokenizer(text, add_special_tokens=False, verbose=False).input_ids)
