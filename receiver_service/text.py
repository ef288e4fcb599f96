"""Method ``text``: the sharer writes a message, the receiver reads that and the prompt."""

from dataclasses import replace

from kvwire.engine.engine import Engine
from kvwire.engine.question import Prepared, Question
from kvwire.engine.reading import read_here
from kvwire.engine.worker import Worker
from kvwire.errors import InvalidRequestError
from kvwire.model_card import Description
from kvwire.report import ByteCounts
from kvwire.requests import RelayMode, Text
from kvwire.rpc.relay_serde import SEALS_RELAYS
from receiver_service.sharers import Meter, Relayed, SharerLink
from receiver_service.tries import Tries


async def text(engine: Engine, worker: Worker, tries: Tries, question: Question) -> Prepared:
    """Ask the sharer for a message and read it in the context's place.

    A written message ends in a newline, so that it stands apart from the prompt; a forwarded context is read as it is.

    Raises:
        InvalidRequestError, InputTooLongError: No context; too many tokens.
        KvwireError: What went wrong at the sharer.
    """
    if question.context is None:
        raise InvalidRequestError("method text needs a context for the sharer to read; send one or use receiver_only")
    meter = Meter()
    context, exchange = question.context, question.exchange

    async def relayed(link: SharerLink, description: Description) -> Relayed:
        sealed = description.minor_version >= SEALS_RELAYS
        answer = await link.relay(question.info, context, exchange, tries.left_s(), meter, sealed=sealed)
        tries.tally.used(link)
        return answer

    with question.watch.stage("share"):
        answer = await tries.run(relayed)
    message = answer.text if exchange.relay is RelayMode.VERBATIM else f"{answer.text}\n"
    prepared = await read_here(engine, worker, question, Text(message))
    moved = ByteCounts(
        payload_bytes=len(answer.text.encode()),
        grpc_bytes=meter.grpc_bytes,
        socket_sent_bytes=meter.socket.sent if meter.socket else 0,
        socket_received_bytes=meter.socket.received if meter.socket else 0,
        socket_isolated=meter.socket is not None,
    )
    report = replace(
        prepared.report,
        bytes=moved,
        tokens=replace(prepared.report.tokens, relayed=answer.tokens),
        sharer_model=answer.sharer_model,
    ).with_stages(*answer.stages)
    return replace(prepared, report=report)
