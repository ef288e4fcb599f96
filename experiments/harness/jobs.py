"""Requests of lm-eval as requests on the wire."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from lm_eval.models.utils import handle_stop_sequences, normalize_gen_kwargs

from experiments.harness.division import Division
from kvwire.errors import InvalidRequestError
from kvwire.requests import GenerateRequest, Input, RequestInfo, ScoreRequest, TokenIds

CALLER = "lm-eval"
#: lm-eval's own, where a task does not say.
_MAX_GEN_TOKENS = 256
# What a task may say about generation; of sampling it may say all but that it is wanted.
_KNOWN = {"until", "max_gen_toks", "do_sample", "temperature", "top_p", "top_k"}

#: What lm-eval calls the request, None for a piece of a text; the tokens before its continuation, and those of it.
Tokenized = tuple[tuple[str, str] | None, list[int], list[int]]


@dataclass(frozen=True)
class Scoring:
    """Requests of lm-eval with the same text before their continuations: one request on the wire."""

    members: tuple[Tokenized, ...]
    request: ScoreRequest


@dataclass(frozen=True)
class Generation:
    """One text that is gone on with ``until`` one of these strings is written; ``arguments`` are lm-eval's."""

    arguments: tuple[str, dict[str, Any]]
    request: GenerateRequest
    until: tuple[str, ...]


def scorings(requests: Sequence[Tokenized], division: Division, max_tokens: int) -> Iterator[Scoring]:
    """Neighbours of the same text together, in requests of at most so many tokens; what is longer is cut on the left.

    Raises:
        InvalidRequestError: A continuation that is too long by itself.
    """
    members: list[Tokenized] = []
    for called, before, continuation in requests:
        room = max_tokens - len(continuation)
        if room < 1:
            raise InvalidRequestError(
                f"a continuation has {len(continuation)} tokens, and {max_tokens} is the most with what stands before "
                "it; serve the receiver with a larger --max-tokens"
            )
        member = (called, before[-room:], continuation)
        tokens = len(member[1]) + sum(len(each) for _, _, each in [*members, member])
        if members and (members[0][1] != member[1] or tokens > max_tokens):
            yield _scoring(members, division)
            members = []
        members.append(member)
    if members:
        yield _scoring(members, division)


def generation(
    text: str, ids: Sequence[int], said: dict[str, Any], division: Division, max_tokens: int, eos: str
) -> Generation:
    """A text to be gone on with; what leaves no room for the answer is cut on the left.

    said: lm-eval's ``generation_kwargs``.

    Raises:
        InvalidRequestError: It asks for what there is not, or for too many tokens.
    """
    kwargs: dict[str, Any] = {**normalize_gen_kwargs(said, _MAX_GEN_TOKENS)}
    refused = ["do_sample"] if kwargs["do_sample"] else sorted(set(kwargs) - _KNOWN)
    if refused:
        raise InvalidRequestError(
            f"generation by {', '.join(refused)}: kvwire decodes greedily; say so in --gen_kwargs"
        )
    answer_tokens = int(kwargs["max_gen_toks"])
    if answer_tokens >= max_tokens:
        raise InvalidRequestError(
            f"an answer of {answer_tokens} tokens leaves no room within {max_tokens}; lower max_gen_toks"
        )
    context, prompt, exchange = division.divided(text, ids[answer_tokens - max_tokens :])
    request = GenerateRequest(prompt, context, exchange, answer_tokens, info=_info(context, prompt))
    until = handle_stop_sequences(kwargs["until"], eos)
    return Generation((text, said), request, tuple(stop for stop in until if stop))


def _scoring(members: Sequence[Tokenized], division: Division) -> Scoring:
    called, before, _ = members[0]
    context, prompt, exchange = division.divided(None if called is None else called[0].rstrip(), before)
    continuations = tuple(TokenIds(tuple(tokens)) for _, _, tokens in members)
    request = ScoreRequest(prompt, continuations, context, exchange, _info(context, prompt))
    return Scoring(tuple(members), request)


def _info(context: Input | None, prompt: Input) -> RequestInfo:
    """The same id in every run: a codec that drops tokens at random draws by it."""
    digest = hashlib.sha256(repr((context, prompt)).encode()).hexdigest()
    return RequestInfo(request_id=f"{CALLER}-{digest[:16]}", caller=CALLER)
