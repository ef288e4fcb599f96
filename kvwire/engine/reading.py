"""Reading everything oneself: the plain way to get ready, used by both services."""

from kvwire.engine.engine import Engine
from kvwire.engine.question import Prepared, Question
from kvwire.engine.worker import Worker
from kvwire.report import Report, TokenCounts
from kvwire.requests import Input


def new_report(engine: Engine, question: Question, counts: TokenCounts) -> Report:
    """The report of a question answered by the method it asked for."""
    method = question.exchange.method
    return Report(
        request_id=question.info.request_id,
        method=method,
        path=method,
        reason=f"{method} was asked for",
        tokens=counts,
        answering_model=engine.card.binding.id,
    )


async def read_here(
    engine: Engine,
    worker: Worker,
    question: Question,
    context: Input | None,
) -> Prepared:
    """Get ready to read ``context`` and the question's prompt with this engine.

    Raises:
        InvalidRequestError, InputTooLongError: The input is empty or too long.
        FullError, DeadlineError: There is no memory for it, or not in time.
    """
    task, watch = question.task, question.watch

    def tokenized() -> Prepared:
        with watch.stage("tokenize"):
            tokens = engine.prompts.read(context, question.prompt)
        engine.check_length(tokens.total + question.reserve_tokens, "head, context, prompt and answer together")
        cache = engine.new_cache(lambda *_: task.check())
        counts = TokenCounts(len(tokens.head), len(tokens.context), len(tokens.prompt))
        everything = tokens.head + tokens.context + tokens.prompt
        return Prepared(cache, everything, 0, new_report(engine, question, counts), "prefill")

    prepared = await worker.run(tokenized, task)
    await worker.make_room(question.bytes_of(engine, prepared.end), task)
    return prepared
