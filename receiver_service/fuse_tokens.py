"""What method ``fuse`` reads, and where a sharer's slots lie in it."""

from collections.abc import Iterable
from dataclasses import dataclass, replace

import torch

from codec.layer import LayerKV
from fuser.align_official_chat import receiver_chat
from fuser.slots import at_slots
from fuser.whole import whole_tokens
from kvwire.engine.engine import Engine
from kvwire.engine.question import Question
from kvwire.errors import BindingError, InvalidRequestError
from kvwire.report import TokenCounts
from kvwire.requests import AlignmentRule, Input, Messages, TokenIds
from kvwire.stream import CacheHeader
from receiver_service.source_layers import Sources


@dataclass(frozen=True)
class FusedTokens:
    """``body`` is fused, ``last`` is read behind it; ``messages`` and where their content is, if tokens are aligned."""

    body: tuple[int, ...]
    last: tuple[int, ...]
    counts: TokenCounts
    messages: Messages | None = None
    content: tuple[int, ...] = ()

    def context(self, rule: AlignmentRule) -> Input:
        """What a sharer is asked to read."""
        return TokenIds(self.body) if self.messages is None or rule is AlignmentRule.NONE else self.messages


def read_tokens(engine: Engine, question: Question, rules: Iterable[AlignmentRule]) -> FusedTokens:
    """The question as the receiver reads it: as a whole chat if any fuser aligns tokens.

    Raises:
        InvalidRequestError: Fewer than two tokens; no chat where one is needed, or one that ends with content.
    """
    if any(rule is not AlignmentRule.NONE for rule in rules):
        return _chat(engine, question)
    tokens = engine.prompts.read(question.context, question.prompt)
    everything = tokens.head + tokens.context + tokens.prompt
    if len(everything) == 1:
        raise InvalidRequestError("method fuse needs at least two tokens: the last one is never fused")
    counts = TokenCounts(head=len(tokens.head), context=len(tokens.context), prompt=len(tokens.prompt))
    return FusedTokens(everything[:-1], everything[-1:], counts)


def _chat(engine: Engine, question: Question) -> FusedTokens:
    pieces = [piece for piece in (question.context, question.prompt) if piece is not None]
    if not all(isinstance(piece, Messages) for piece in pieces):
        raise InvalidRequestError("tokens of this fuser are aligned in chats; send prompt and context as messages")
    messages = Messages(tuple(each for piece in pieces if isinstance(piece, Messages) for each in piece.messages))
    plain = [{"role": each.role, "content": each.content} for each in messages.messages]
    chat = receiver_chat(engine.prompts.tokenizer, plain)
    if chat.content[-1] == len(chat.ids) - 1:
        raise InvalidRequestError("this model's chat template ends with content, whose last token cannot be fused")
    return FusedTokens(chat.ids[:-1], chat.ids[-1:], TokenCounts(prompt=len(chat.ids)), messages, chat.content)


class Places:
    """Puts one sharer's layers where the receiver's tokens are."""

    def __init__(self, tokens: FusedTokens, rule: AlignmentRule) -> None:
        self._aligned = rule is not AlignmentRule.NONE
        self._tokens = len(tokens.body)
        self._content = torch.tensor(tokens.content, dtype=torch.int64)
        self._sources: tuple[int, ...] | None = None

    async def opened(self, header: CacheHeader) -> None:
        """Learn which of the sharer's tokens fill the slots.

        Raises:
            BindingError: They are not as many as the receiver has tokens of content.
        """
        if self._aligned and header.slots != len(self._content):
            raise BindingError(
                f"the sharer aligned {header.slots} tokens of content, the receiver reads {len(self._content)}; "
                "both must run one release and the same tokenizer files"
            )
        self._sources = header.slot_sources

    def placed(self, sources: Sources) -> Sources:
        """The same layers, by the receiver's tokens; one that a head pruned is not there."""
        return {layer: self._placed(kv) for layer, kv in sources.items()} if self._aligned else sources

    def _placed(self, kv: LayerKV) -> LayerKV:
        whole = whole_tokens(kv)
        kv = at_slots(replace(kv, keys=whole.keys, values=whole.values, slots=whole.slots), self._sources)
        return replace(kv, tokens=self._tokens, slots=self._content if kv.slots is None else self._content[kv.slots])
