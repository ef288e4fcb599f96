"""A service's first request, its own: who has answered one is ready."""

from kvwire.engine.answer import Answerer
from kvwire.engine.worker import Task
from kvwire.requests import Exchange, GenerateRequest, Method, TokenIds

#: Enough to go through every part of a pass, few enough to delay no start.
TRIED_TOKENS = TokenIds((0,) * 16)


async def try_out(answerer: Answerer, method: Method) -> None:
    """Answer a request of a few tokens as callers' are answered, for nobody; it is counted nowhere.

    Raises:
        KvwireError: What it met.
    """
    most = answerer.engine.max_tokens
    prompt = TokenIds(TRIED_TOKENS.ids[: max(1, most - 2)])
    task = Task()
    asked = GenerateRequest(prompt, None, Exchange(method), min(2, most - len(prompt.ids)), ignore_eos=True)
    with answerer.worker.admit(task):
        async for _ in answerer.generate(asked, task):
            pass
