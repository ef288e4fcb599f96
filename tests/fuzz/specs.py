"""Codec specs and policies: any text is refused, or is a spec with one canonical form that reads back as the same."""

from collections.abc import Iterator
from contextlib import suppress

from codec.allocate.policy import Budget
from codec.codec import Codec
from codec.groups import head_groups
from codec.quantize.base import Kind
from codec.spec import CodecSpec
from kvwire.errors import BindingError, SpecError
from receiver_service.choosing.target import target as receiver_target

_SEEDS = (
    "fp32",
    "int8:per=head,center=channel",
    "fp8:per=token+rope=pre",
    "nf4:block=32+keep=0.25,by=value_norm,scope=head,sinks=4+entropy=zstd",
    "kivi:bits=2,group=16+entropy=ans",
    "hadamard:bits=3,center=none+of=latents",
    "rd:bits=2.5+rope=pre+keep=2.5e-05",
    "rd:quality=0.01",
    "fp16+mix=k@int8/vL0-3@int4:block=32/vL4-7H0-1@omit",
    "budget=65536",
    "ttft=300ms",
    "bytes=65536",
)


def seeds() -> Iterator[bytes]:
    """Every base and option once."""
    return (text.encode() for text in _SEEDS)


def run(data: bytes) -> None:
    """One run: any other exception, and a spec that does not survive its own spelling, is a finding."""
    text = data.decode("utf-8", "replace")
    with suppress(SpecError):
        Budget.parse(text)
    with suppress(SpecError):
        receiver_target(text)
    try:
        spec = CodecSpec.parse(text)
    except SpecError:
        return
    assert CodecSpec.parse(str(spec)) == spec
    assert str(CodecSpec.parse(str(spec))) == str(spec)
    for kind in Kind:
        with suppress(SpecError):
            head_groups(spec, 3, kind, 8)
    with suppress(SpecError, BindingError):
        Codec(spec)
