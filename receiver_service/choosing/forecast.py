"""Tells how long it would take until a question's first token, for each way to answer it.

A cache goes through three stages, layer by layer: the sharer makes it, the link carries it, the receiver places and
reads it. Of such a pipeline the longest stage counts in full, and of the others one layer each. Where a cache of about
as many tokens came as the same codec lately, what that took is the better forecast.
"""

from dataclasses import dataclass

from kvwire.known import Known
from kvwire.requests import Input
from receiver_service.choosing.own import OwnPasses
from receiver_service.choosing.pace import Pace


@dataclass(frozen=True)
class Asked:
    """What is asked: whose context of how many tokens, and a prompt of how many behind it.

    ``streams``: the prompt is read while the cache comes.
    """

    caller: str
    context: Input
    context_tokens: int
    prompt_tokens: int
    streams: bool


@dataclass(frozen=True)
class Sending:
    """The sharer's cache as one codec: what its frames take, and in how many layers they come."""

    codec: str
    base: str
    payload_bytes: float
    layers: int


def reading_s(asked: Asked, own: OwnPasses) -> float:
    """If the receiver reads context and prompt; ``own``: what its passes take."""
    return own.at(asked.context_tokens + asked.prompt_tokens)


def sending_s(asked: Asked, sending: Sending, pace: Pace, own: OwnPasses) -> float:
    """If the sharer sends its cache of the context."""
    tokens, known = asked.context_tokens, pace.contexts.known(asked.caller, asked.context, sending.codec)
    prompt_s = own.at(asked.prompt_tokens)
    if known is Known.PLACED:
        return pace.header_s() + prompt_s
    if (arrival_s := pace.arrival(sending.codec, known).near(tokens)) is not None:
        return arrival_s + (prompt_s / sending.layers if asked.streams else prompt_s)
    made_s = pace.prefill.at(tokens) if known is Known.NOTHING else 0.0
    if known is not Known.FRAMES:
        made_s += pace.encode(sending.base).at(tokens)
    placed_s = pace.place(sending.base).at(tokens)
    stages_s = (made_s, pace.wire_s(sending.payload_bytes), placed_s + (prompt_s if asked.streams else 0.0))
    longest_s = max(stages_s)
    piped_s = longest_s + (sum(stages_s) - longest_s) / sending.layers
    return pace.header_s() + piped_s + (0.0 if asked.streams else prompt_s)
