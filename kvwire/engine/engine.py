"""One model's forward passes over a :class:`PositionedCache`. Blocking; called on the compute thread only."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import torch
from torch import Tensor

from kvwire.engine.attention import TRUNK, AttentionObserver, Visibility
from kvwire.engine.cache import LayerListener, PositionedCache, SideBySide
from kvwire.engine.card import model_card
from kvwire.engine.prompts import PromptReader
from kvwire.engine.rows import ROOM_SLOTS, Rows, longest_beside
from kvwire.errors import InputTooLongError, InvalidRequestError
from kvwire.models.load import LoadedModel

#: Positions are int64.
_POSITION_BYTES = 8


@dataclass(frozen=True)
class Part:
    """What one sequence reads in a forward pass: tokens from ``first_position`` on, then branches side by side.

    Each branch sees the cache, ``tokens`` and itself; none sees another. A cache that has read branches is of no
    further use. ``observer`` is told, layer by layer, what each slot drew of the last tokens' attention.
    """

    cache: PositionedCache
    tokens: Sequence[int]
    first_position: int
    branches: Sequence[Sequence[int]] = ()
    observer: AttentionObserver | None = None

    @property
    def ids(self) -> list[int]:
        """All tokens, in the order they are read."""
        return [*self.tokens, *(token for branch in self.branches for token in branch)]

    @property
    def positions(self) -> list[int]:
        """Where each of them stands."""
        behind = self.first_position + len(self.tokens)
        return [
            *range(self.first_position, behind),
            *(behind + index for branch in self.branches for index in range(len(branch))),
        ]

    @property
    def owners(self) -> list[int]:
        """The branch of each of them."""
        return [TRUNK] * len(self.tokens) + [index for index, branch in enumerate(self.branches) for _ in branch]


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

    def cache_bytes(self, slots: int) -> int:
        """Memory of a cache of so many slots in every layer, their positions per head included."""
        card = self.card
        return len(card.layers) * card.kv_heads * slots * (2 * card.head_dim * self.dtype.itemsize + _POSITION_BYTES)

    def answer_bytes(self, slots: int) -> int:
        """Memory of caches that an answer may take in all, if it comes to so many slots.

        That is two rows as long as any beside its own: up to half of the rows stand empty after others left, and before
        it has a row, placing layers behind a head and appending to them copy its own cache.
        """
        return 2 * self.cache_bytes(min(longest_beside(slots), self.max_tokens) + ROOM_SLOTS)

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
            part = Part(cache, tokens, first_position, observer=observer)
            self._forward(self._model.get_decoder(), [part])

    @torch.inference_mode()
    def read_together(self, parts: Sequence[Part]) -> None:
        """Append the tokens of several sequences in one pass; each cache's listener sees its own layers."""
        self._forward(self._model.get_decoder(), parts)

    @torch.inference_mode()
    def next_logits(self, tokens: Sequence[int], cache: PositionedCache, first_position: int) -> Tensor:
        """Append tokens and return the logits after the last one, ``(vocabulary,)`` float32.

        Raises:
            InvalidRequestError: No tokens, so there is nothing to predict from.
        """
        if not tokens:
            raise InvalidRequestError("the prompt is empty: there is no token to continue from; send a prompt")
        output = self._forward(self._model, [Part(cache, tokens, first_position)], logits_to_keep=1)
        logits: Tensor = output.logits[0, -1].float()
        return logits

    @torch.inference_mode()
    def branch_logits(self, parts: Sequence[Part]) -> list[Tensor]:
        """Read several sequences in one pass; what one gets does not depend on what the others hold.

        Returns per part the logits after its last token, if it has any, then after every token of its branches,
        ``(rows, vocabulary)`` float32.
        """
        rows = [min(1, len(part.tokens)) + sum(map(len, part.branches)) for part in parts]
        ends = accumulate(len(part.ids) for part in parts)
        kept = [row for end, count in zip(ends, rows, strict=True) for row in range(end - count, end)]
        output = self._forward(self._model, parts, logits_to_keep=torch.tensor(kept, device=self.device))
        logits: Tensor = output.logits[0].float()
        return list(logits.split(rows))

    def new_rows(self) -> Rows:
        """No sequences yet."""
        return Rows(self._windows)

    @torch.inference_mode()
    def next_logits_of_rows(self, rows: Rows, tokens: Sequence[int], positions: Sequence[int]) -> Tensor:
        """Append a token to every row, each at its position; the logits after them, ``(rows, vocabulary)`` float32."""
        rows.incoming = torch.tensor(positions, device=self.device)
        output = self._model(
            input_ids=torch.tensor(tokens, device=self.device)[:, None],
            position_ids=rows.incoming[:, None],
            past_key_values=rows,
            use_cache=True,
            rows=rows,
        )
        logits: Tensor = output.logits[:, -1].float()
        return logits

    def hidden(self, parts: Sequence[Part]) -> Tensor:
        """Read several sequences in one pass; the last hidden states of all their tokens, ``(tokens, width)``.

        Gradients flow into what the caches hold.
        """
        states: Tensor = self._forward(self._model.get_decoder(), parts).last_hidden_state[0]
        return states

    def logits(self, hidden: Tensor) -> Tensor:
        """``(tokens, vocabulary)`` float32 from last hidden states; differentiable."""
        logits: Tensor = self._model.get_output_embeddings()(hidden.to(self.dtype)).float()
        cap = getattr(self._model.config.get_text_config(), "final_logit_softcapping", None)
        return logits if cap is None else cap * torch.tanh(logits / cap)

    def synchronize(self) -> None:
        """Wait for the device, so that a clock read next measures finished work."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    def _forward(self, module: torch.nn.Module, parts: Sequence[Part], **kwargs: int | Tensor) -> Any:
        visibilities = tuple(self._visibility(part) for part in parts)
        for part, visibility in zip(parts, visibilities, strict=True):
            part.cache.incoming = visibility.positions
        return module(
            input_ids=torch.tensor([[token for part in parts for token in part.ids]], device=self.device),
            position_ids=torch.cat([visibility.positions for visibility in visibilities])[None],
            past_key_values=parts[0].cache if len(parts) == 1 else SideBySide([part.cache for part in parts]),
            use_cache=True,
            visibilities=visibilities,
            **kwargs,
        )

    def _visibility(self, part: Part) -> Visibility:
        positions = torch.tensor(part.positions, device=self.device)
        branches = torch.tensor(part.owners, device=self.device) if part.branches else None
        return Visibility(part.cache, positions, self._windows, branches, part.observer)


def _eos_token_ids(loaded: LoadedModel) -> frozenset[int]:
    configured = loaded.model.generation_config.eos_token_id
    ids = configured if isinstance(configured, list) else [configured]
    return frozenset(int(i) for i in [*ids, loaded.tokenizer.eos_token_id] if i is not None)
