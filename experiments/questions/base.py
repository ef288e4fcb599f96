"""The seam between the runner, which knows no dataset, and the shapes of datasets."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol, runtime_checkable

from kvwire.client import Client
from kvwire.errors import DataLossError, LocalError
from kvwire.report import ContinuationScore, Report, Scored
from kvwire.requests import Exchange, Input, RequestInfo, ScoreRequest, Text


class Shown(StrEnum):
    """What a sharer sees that writes a message: the context, the question with it, or the options too."""

    CONTEXT = "context"
    QUESTION = "question"
    OPTIONS = "options"


@dataclass(frozen=True)
class Asking:
    """How one request is made; ``keep`` and ``compare_with`` as in ``ScoreRequest``, ignored by written answers."""

    exchange: Exchange
    info: RequestInfo
    context: Input | None
    keep: bool = False
    compare_with: str = ""


@dataclass(frozen=True)
class Reply:
    """What came of it: the fields of the record's ``result`` and the service's report.

    ``times_s``: to the first token and to the end, by the client's clock; what was asked together with others has none.
    """

    result: dict[str, Any]
    report: Report
    times_s: tuple[float, float] | None = None


class Question(Protocol):
    """One item, ready to be asked."""

    @property
    def id(self) -> str:
        """The item's."""
        ...

    @property
    def cluster(self) -> str:
        """The document it is cut from; its own id where it is alike to no other."""
        ...

    @property
    def context(self) -> str | None:
        """What only the sharer knows, as it is sent; None where the item has none."""
        ...

    @property
    def told(self) -> Mapping[Shown, str]:
        """What a sharer that writes a message is told; without what the item does not have."""
        ...

    @property
    def fields(self) -> dict[str, Any]:
        """Everything the item holds; its hash goes into the provenance."""
        ...

    async def ask(self, client: Client, asking: Asking) -> Reply:
        """Ask once.

        Raises:
            KvwireError: Whatever the service answered, or an answer that cannot be used.
        """
        ...


@runtime_checkable
class ScoredQuestion(Question, Protocol):
    """One that is answered by scoring, so that several arms of it can be scored in one forward pass."""

    def request(self, asking: Asking) -> ScoreRequest:
        """What is scored."""
        ...

    def result(self, scored: Scored) -> dict[str, Any]:
        """The fields of the record's ``result``.

        Raises:
            DataLossError, LocalError: Numbers that cannot be used.
        """
        ...


def told(context: str | None, question: str = "", options: str = "") -> dict[Shown, str]:
    """Each as far as there is one; none is shown without what comes before it."""
    shown = {Shown.CONTEXT: context or ""}
    if question:
        shown[Shown.QUESTION] = f"{context or ''}{question}"
    if options:
        shown[Shown.OPTIONS] = f"{context or ''}{question}{options}"
    return {which: text for which, text in shown.items() if text}


async def ask_scored(question: ScoredQuestion, client: Client, asking: Asking) -> Reply:
    """Ask one question by itself."""
    scored = await client.score(question.request(asking))
    return Reply(question.result(scored), scored.report, (scored.first_token_s, scored.total_s))


def score_request(prompt: str, continuations: Sequence[str], asking: Asking) -> ScoreRequest:
    """The request of the two shapes that are scored."""
    return ScoreRequest(
        prompt=Text(prompt),
        continuations=tuple(Text(continuation) for continuation in continuations),
        context=asking.context,
        exchange=asking.exchange,
        info=asking.info,
        keep_distributions=asking.keep,
        compare_with=asking.compare_with,
    )


def likelihood(score: ContinuationScore) -> dict[str, Any]:
    """``nll_nats`` per token, and means over the tokens of ``kl_nats`` and ``same_top1``, None if not compared.

    Raises:
        DataLossError: A continuation without tokens, or a comparison of another length.
        LocalError: A number that is not finite.
    """
    tokens = len(score.token_logprobs)
    if tokens == 0 or len(score.kl_nats) not in (0, tokens) or len(score.same_top1) != len(score.kl_nats):
        raise DataLossError(f"{len(score.kl_nats)} comparisons came for {tokens} tokens; retry the call")
    total, distance = sum(score.token_logprobs), sum(score.kl_nats)
    if not abs(total) + abs(distance) < float("inf"):
        raise LocalError(f"log-likelihood {total}, KL {distance}: the codec or the model gave numbers not finite")
    compared = bool(score.kl_nats)
    return {
        "nll_nats": -total / tokens,
        "kl_nats": distance / tokens if compared else None,
        "same_top1": sum(score.same_top1) / tokens if compared else None,
        "answer_tokens": tokens,
    }
