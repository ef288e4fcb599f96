"""One model's forward passes over a :class:`PositionedCache`. Blocking; called on the compute thread only."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from kvwire.engine.attention import AttentionObserver, Visibility
from kvwire.engine.cache import LayerListener, PositionedCache
from kvwire.engine.card import model_card
from kvwire.engine.prompts import PromptReader
from kvwire.errors import InputTooLongError, InvalidRequestError
from kvwire.models.load import LoadedModel


class Engine:
    """A loaded model with its card and tokenizer. The model must have been loaded with attention ``kvwire``."""

    def __init__(self, loaded: LoadedModel, max_tokens: int) -> None:
        self.card = model_card(loaded)
        self.prompts = PromptReader(loaded.tokenizer, self.card.vocabulary)
        self.device = loaded.model.device
        self.dtype = loaded.model.dtype
        self.max_tokens = min(max_tokens, self.card.max_positions)
        self.eos_token_ids = _eos_token_ids(loaded)
        self._model = loaded.model
        self._windows = tuple(layer.window_tokens for layer in self.card.layers)

    def new_cache(self, listener: LayerListener | None = None) -> PositionedCache:
        """An empty cache for this model; ``listener`` sees each layer as it is computed."""
        return PositionedCache(len(self.card.layers), listener)

    def check_length(self, tokens: int, what: str) -> None:
        """Refuse a sequence longer than the model or the configured limit.

        Raises:
            InputTooLongError: With both numbers.
        """
        if tokens > self.max_tokens:
            raise InputTooLongError(
                f"{what}: {tokens} tokens, but {self.card.binding.id} takes {self.max_tokens} "
                f"(its own limit is {self.card.max_positions}); shorten the input or raise max_tokens"
            )

    @torch.inference_mode()
    def read(
        self,
        tokens: Sequence[int],
        cache: PositionedCache,
        first_position: int,
        observer: AttentionObserver | None = None,
    ) -> None:
        """Append tokens at consecutive positions from ``first_position``; no logits are computed.

        ``observer`` is told, layer by layer, what each slot drew of the last tokens' attention.
        """
        if tokens:
            positions = self._consecutive(tokens, first_position)
            self._forward(self._model.get_decoder(), tokens, cache, positions, observer=observer)

    @torch.inference_mode()
    def next_logits(self, tokens: Sequence[int], cache: PositionedCache, first_position: int) -> Tensor:
        """Append tokens and return the logits after the last one, ``(vocabulary,)`` float32.

        Raises:
            InvalidRequestError: No tokens, so there is nothing to predict from.
        """
        if not tokens:
            raise InvalidRequestError("the prompt is empty: there is no token to continue from; send a prompt")
        output = self._forward(self._model, tokens, cache, self._consecutive(tokens, first_position), logits_to_keep=1)
        logits: Tensor = output.logits[0, -1].float()
        return logits

    @torch.inference_mode()
    def branch_logits(self, branches: Sequence[Sequence[int]], cache: PositionedCache, first_position: int) -> Tensor:
        """Read several continuations side by side; each sees the cache and itself, none sees another.

        Every branch starts at ``first_position``. Returns logits ``(sum of branch lengths, vocabulary)`` float32, in
        order. The cache grows by all branches and is of no further use.
        """
        tokens = [token for branch in branches for token in branch]
        positions = [first_position + i for branch in branches for i in range(len(branch))]
        owners = [index for index, branch in enumerate(branches) for _ in branch]
        output = self._forward(
            self._model,
            tokens,
            cache,
            torch.tensor(positions, device=self.device),
            branches=torch.tensor(owners, device=self.device),
        )
        logits: Tensor = output.logits[0].float()
        return logits

    def synchronize(self) -> None:
        """Wait for the device, so that a clock read next measures finished work."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    def _consecutive(self, tokens: Sequence[int], first: int) -> Tensor:
        return torch.arange(first, first + len(tokens), device=self.device)

    def _forward(
        self,
        module: torch.nn.Module,
        tokens: Sequence[int],
        cache: PositionedCache,
        positions: Tensor,
        branches: Tensor | None = None,
        observer: AttentionObserver | None = None,
        **kwargs: int,
    ) -> Any:
        cache.incoming = positions
        return module(
            input_ids=torch.tensor([list(tokens)], device=self.device),
            position_ids=positions[None],
            past_key_values=cache,
            use_cache=True,
            visibility=Visibility(cache, positions, self._windows, branches, observer),
            **kwargs,
        )


def _eos_token_ids(loaded: LoadedModel) -> frozenset[int]:
    configured = loaded.model.generation_config.eos_token_id
    ids = configured if isinstance(configured, list) else [configured]
    return frozenset(int(i) for i in [*ids, loaded.tokenizer.eos_token_id] if i is not None)
