"""Flipped bits, bursts, and bytes that are cut off or come on top: each is noticed, or nobody can tell it was there.

Frames of every quantizer with every selector; whole streams of those, request and protobuf bytes included.
"""

import random
from collections import Counter
from collections.abc import Callable, Iterable
from functools import cache

import pytest

from codec import registry
from codec.frame import Limits
from codec.quantize.omit import OMIT
from kvwire.errors import BindingError, DataLossError, InvalidRequestError
from tests.integrity.share_streams import LAYERS, Arrived, Pair, codec_of, facts, frame

BASES = [base for base in registry.QUANTIZERS if base not in {"rd", OMIT}]
SPECS = [
    *(
        f"{base}{keep}"
        for base in [*BASES, "rd:step=100"]
        for keep in ["", *(f"+keep=0.5,by={by}" for by in registry.SELECTORS)]
    ),
    *(f"{base}+keep=0.5,by=random,scope=head" for base in BASES),
    *("int8:per=head,center=channel", "fp8:per=token", "kivi:bits=2,group=4", "hadamard:bits=3,center=channel"),
    *("fp16+rope=pre", "int4+entropy=zstd", "nf4+mix=kL0-0@int8/vH1-1@fp16"),
]
SAMPLE = [500, pytest.param(10_000, marks=pytest.mark.slow)]

Damage = Callable[[random.Random, bytes], bytes]


def flipped(chance: random.Random, data: bytes) -> bytes:
    """One bit."""
    damaged = bytearray(data)
    bit = chance.randrange(8 * len(data))
    damaged[bit // 8] ^= 1 << bit % 8
    return bytes(damaged)


def burst(chance: random.Random, data: bytes) -> bytes:
    """Up to 64 bytes in a row, each something else or not, but one at least."""
    start = chance.randrange(len(data))
    length = min(chance.randint(1, 64), len(data) - start)
    noise = bytearray(chance.randbytes(length))
    noise[0] = noise[0] or 1
    return data[:start] + bytes(a ^ b for a, b in zip(data[start:], noise, strict=False)) + data[start + length :]


def cut(chance: random.Random, data: bytes) -> bytes:
    """The end is missing, or the beginning, or something in the middle."""
    start = chance.randrange(len(data))
    return data[:start] + data[chance.choice((len(data), chance.randint(start + 1, len(data)))) :]


def longer(chance: random.Random, data: bytes) -> bytes:
    """A few bytes on top, anywhere, noise or a repetition."""
    at = chance.choice((len(data), chance.randint(0, len(data))))
    more = chance.choice((chance.randbytes(chance.randint(1, 16)), data[at - min(at, 16) : at] or b"\0"))
    return data[:at] + more + data[at:]


DAMAGE: dict[str, Damage] = {"flipped": flipped, "burst": burst, "cut": cut, "longer": longer}


@cache
def frames_of(spec: str) -> list[tuple[bytes, tuple[object, ...]]]:
    """Frames of a codec, and what they decode to."""
    codec = codec_of(spec)
    frames = [frame(codec, layer) for layer in range(LAYERS)]
    return [(data, facts(codec.decode_layer(data, Limits()))) for data in frames]


@cache
def streams_of(spec: str) -> tuple[Pair, bytes, list[bytes], Arrived]:
    """A codec's request and stream, its frames in several chunks, and what arrives."""
    pair = Pair(spec, chunk_bytes=200)
    request, messages = pair.request(), pair.messages()
    return pair, request, messages, pair.receive(messages)


def damage_frame(chance: random.Random, damage: Damage) -> str:
    """Damage one frame, wherever; tell what became of it."""
    spec = chance.choice(SPECS)
    data, whole = chance.choice(frames_of(spec))
    damaged = damage(chance, data)
    try:
        arrived = codec_of(spec).decode_layer(damaged, Limits())
    except (DataLossError, BindingError):
        return "detected"
    assert facts(arrived) == whole
    return "harmless"


def damage_stream(chance: random.Random, damage: Damage) -> str:
    """Damage one message of an exchange, in proportion to its length; tell what became of it."""
    pair, request, messages, whole = streams_of(chance.choice(SPECS))
    lengths = [len(request), *map(len, messages)]
    (at,) = chance.choices(range(len(lengths)), lengths)
    try:
        if at == 0:
            arrived = pair.receive(pair.answer(damage(chance, request)))
        else:
            arrived = pair.receive([*messages[: at - 1], damage(chance, messages[at - 1]), *messages[at:]])
    except (DataLossError, BindingError):
        return "detected"
    except InvalidRequestError:
        assert at == 0  # a sharer cannot know who made a request wrong
        return "detected"
    assert arrived.facts == whole.facts
    return "harmless"


def counted(what: str, outcomes: Iterable[str]) -> Counter[str]:
    """How many of each; printed, for the document."""
    found = Counter(outcomes)
    print(f"{what}: {found.total()} damaged, {found['detected']} detected, {found['harmless']} harmless")
    return found


@pytest.mark.parametrize("count", SAMPLE)
@pytest.mark.parametrize("kind", DAMAGE)
def test_every_damage_to_a_frame_is_detected(kind, count):
    """There is no byte of a frame that its checksum, or the checksum's own place, does not cover."""
    chance = random.Random(f"frame {kind}")  # noqa: S311  # damage, no secret
    found = counted(f"frames, {kind}", (damage_frame(chance, DAMAGE[kind]) for _ in range(count)))
    assert found == {"detected": count}


@pytest.mark.parametrize("count", SAMPLE)
@pytest.mark.parametrize("kind", DAMAGE)
def test_every_damage_to_a_stream_is_detected_or_changes_nothing(kind, count):
    """Nothing, that is: the same tensors bit for bit, the same header, trailer and counts."""
    chance = random.Random(f"stream {kind}")  # noqa: S311  # damage, no secret
    found = counted(f"streams, {kind}", (damage_stream(chance, DAMAGE[kind]) for _ in range(count)))
    assert found.total() == found["detected"] + found["harmless"] == count
    assert found["harmless"] <= (0 if kind == "flipped" else count // 20)  # what nobody reads may come on top
