"""The text relay: the sharer writes a message from what it read."""

from dataclasses import dataclass

from kvwire.engine.decoder import Decoder
from kvwire.engine.engine import Engine
from kvwire.engine.question import Begin
from kvwire.engine.worker import Task, Worker
from kvwire.errors import InvalidRequestError
from kvwire.progress import Stopwatch
from kvwire.requests import ChatMessage, Input, Messages, Text, TokenIds

# Of four wordings tried on SmolLM2-135M, the one whose messages kept most of the facts.
_INSTRUCTION = "Summarize in one or two sentences, keeping all names, numbers and details:"


@dataclass(frozen=True)
class Relayed:
    """The sharer's message, its length in tokens, and the tokens of the prompt it was written from."""

    text: str
    tokens: int
    prompt_tokens: int


def plain_text(context: Input) -> str:
    """The context as text, to be forwarded or put in a prompt.

    Raises:
        InvalidRequestError: It is given as token ids.
    """
    match context:
        case Text(text):
            return text
        case Messages(messages):
            return "\n".join(message.content for message in messages)
        case TokenIds():
            raise InvalidRequestError("a text relay needs a context in text or messages, not token ids")


@dataclass(frozen=True)
class Wanted:
    """A message to write from a context: by which instruction, or by our own, and how long at most."""

    context: Input
    instruction: str
    max_new_tokens: int


async def write_message(
    engine: Engine, worker: Worker, decoder: Decoder, wanted: Wanted, task: Task, watch: Stopwatch
) -> Relayed:
    """Read the context with an instruction and write a message greedily.

    Raises:
        InvalidRequestError, InputTooLongError: The context is token ids, or too long.
    """
    asked = f"{wanted.instruction or _INSTRUCTION}\n\n{plain_text(wanted.context)}"
    prompt = await worker.run(lambda: _prompt(engine, asked), task)
    length = len(prompt) + wanted.max_new_tokens
    engine.check_length(length, "context, instruction and message together")
    await worker.make_room(engine.answer_bytes(length), task)

    def read() -> Begin:
        cache = engine.new_cache(lambda *_: task.check())
        with watch.stage("prefill"):
            logits = engine.next_logits(prompt, cache, 0)
            engine.synchronize()
        return Begin(cache, logits, len(prompt))

    begin = await worker.run(read, task, reads=len(prompt))
    steps = decoder.steps(begin, wanted.max_new_tokens, engine.eos_token_ids, task, watch)
    written = [step.token_id async for step in steps]
    return Relayed(engine.prompts.text(written).strip(), len(written), len(prompt))


def _prompt(engine: Engine, asked: str) -> tuple[int, ...]:
    """The instruction and the context as one chat turn, or as plain text for a model without a chat template."""
    if engine.prompts.has_chat_template:
        tokens = engine.prompts.read(None, Messages((ChatMessage("user", asked),)))
    else:
        tokens = engine.prompts.read(None, Text(f"{asked}\n"))
    return tokens.head + tokens.prompt
