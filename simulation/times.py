"""What was measured of one pair of services: how long each stage takes, and how large a cache is."""

import json
from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from kvwire.errors import InvalidRequestError, NotFoundError
from simulation.curve import Curve


@dataclass(frozen=True)
class Shape:
    """Of a model: what tells the bytes of its cache; ``number_bytes`` of each of its numbers in memory."""

    layers: int
    kv_heads: int
    head_dim: int
    number_bytes: int

    @property
    def values_per_token(self) -> int:
        """Numbers in the keys and values of a token."""
        return 2 * self.layers * self.kv_heads * self.head_dim


@dataclass(frozen=True)
class Sizes:
    """Bytes of one codec: of all frames of a cache, by its tokens, and what gRPC adds to a cache, a share of them."""

    payload_fixed: float
    payload_per_token: float
    grpc_share: float

    def frame(self, tokens: int, layers: int) -> int:
        """One layer on the wire."""
        return round((self.payload_fixed + self.payload_per_token * tokens) * (1 + self.grpc_share) / layers)


@dataclass(frozen=True)
class SharerTimes:
    """``prefill`` over the tokens of a pass, ``encode_layer`` over those of one context.

    ``open_s``: between a plan and the work on it, while the header goes out; contexts that come meanwhile are read too.
    ``slowdown``: how many times longer it computes while the receiver, on the same machine, does too. ``cpu_share``: of
    the time that its thread has a context, in which it also hands layers over and waits for its turn.
    """

    plan_s: float
    open_s: float
    prefill: Curve
    encode_layer: Curve
    slowdown: float
    cpu_share: float


@dataclass(frozen=True)
class ReceiverTimes:
    """``decode_layer``, ``place_layer`` over a context's tokens, ``prompt`` over those of a pass, ``step`` over rows.

    ``first_token_s``: what passes around the reading of a prompt, half of it before.
    ``turnover_s``: what it takes that an answer comes to those that are written and goes again, half of it for each.
    ``slowdown`` as the sharer's.
    """

    tokenize_s: float
    decode_layer: Curve
    place_layer: Curve
    prompt: Curve
    first_token_s: float
    step: Curve
    turnover_s: float
    slowdown: float


@dataclass(frozen=True)
class CallTimes:
    """Around all that computes: a client's call, a receiver's call of a sharer, and each message of a stream.

    ``window_bytes``: what a sharer can have sent that the receiver has not read.
    """

    client_s: float
    share_s: float
    message_s: float
    window_bytes: int


@dataclass(frozen=True)
class ServiceTimes:
    """All of one pair; ``measured`` says on what, with which models, codec and threads, and when."""

    measured: dict[str, str]
    shape: Shape
    sizes: Sizes
    sharer: SharerTimes
    receiver: ReceiverTimes
    calls: CallTimes


_READS = TypeAdapter(ServiceTimes)


def read_times(path: Path) -> ServiceTimes:
    """The ``times`` of a file that ``bench.services.service_times`` wrote.

    Raises:
        NotFoundError: No such file.
        InvalidRequestError: It is no such file, with the first defect.
    """
    if not path.is_file():
        raise NotFoundError(
            f"{path} is no file; measure one with: python -m bench.services.service_times --json {path}"
        )
    try:
        return _READS.validate_python(json.loads(path.read_text(encoding="utf-8"))["times"])
    except ValidationError as refused:
        first = refused.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise InvalidRequestError(f"{path}, times.{place}: {first['msg']}; measure it anew") from refused
    except (ValueError, KeyError, TypeError) as error:
        raise InvalidRequestError(f"{path} holds no measured times ({error}); measure it anew") from error
