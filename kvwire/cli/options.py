"""Options several commands share, and the services a command needs."""

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from kvwire.balancing.choice import Balance
from kvwire.cli.files import writable
from kvwire.errors import InvalidRequestError
from kvwire.requests import Method

DEFAULT_PAIR = "smollm2-135m:smollm2-135m"

PairOption = Annotated[str, typer.Option(help="models as SHARER:RECEIVER; started here when no address is given")]
ReceiverOption = Annotated[
    str,
    typer.Option(
        help="a running receiver, HOST:PORT; several with commas between, or dns:HOST:PORT for all that a look-up gives"
    ),
]
SharerOption = Annotated[str, typer.Option(help="a running sharer, for sharer_only, as --receiver")]
BalanceOption = Annotated[
    Balance,
    typer.Option(
        help="which of several addresses is asked: where a context is held unless that has too much to do, the least "
        "busy, or each in turn"
    ),
]
JsonOption = Annotated[
    Path | None, typer.Option("--json", help="also write the result to this file as JSON", callback=writable)
]
DataOption = Annotated[
    Path | None,
    typer.Option(envvar="KVWIRE_DATA", help="folder of local dataset files; without it the hub is asked"),
]
PolicyOption = Annotated[
    str,
    typer.Option(
        help="what chooses the codec: ttft=300ms or bytes=N, the receiver by what it measured; budget=N, the sharer by "
        "its model's profile; --codec's options stay"
    ),
]
FuserOption = Annotated[str, typer.Option(help="fuser of prefix and fuse, as the receiver names it")]
FusersOption = Annotated[
    list[str] | None,
    typer.Option(metavar="NAME=PATH", help="a fuser for the services that are started here; may be repeated"),
]
# Milliseconds are sent in 32 bits.
DeadlineOption = Annotated[
    float, typer.Option(min=0, max=4_294_967, help="seconds within which an answer is of use; 0: no limit")
]
ArtifactsOption = Annotated[
    Path | None, typer.Option(help="folder of what recipes need, made once; default: in the model store")
]
CaOption = Annotated[Path | None, typer.Option(help="PEM CA of the services; turns TLS on")]
CertOption = Annotated[Path | None, typer.Option(help="PEM certificate to show the services (mutual TLS)")]
KeyOption = Annotated[Path | None, typer.Option(help="PEM private key of --cert")]
TokenOption = Annotated[Path | None, typer.Option(help="file with the bearer token the services want")]


@dataclass(frozen=True)
class Addresses:
    """Where the services of a command are; ``sharer`` is empty when it is not known."""

    sharer: str
    receiver: str

    def answering(self, method: Method) -> str:
        """Who answers: the receiver, but for ``sharer_only``.

        Raises:
            InvalidRequestError: It is the sharer, and nobody said where it is.
        """
        if method is not Method.SHARER_ONLY:
            return self.receiver
        if not self.sharer:
            raise InvalidRequestError("method sharer_only is answered by the sharer; give its address with --sharer")
        return self.sharer


@contextmanager
def services(pair: str, receiver: str, sharer: str, fusers: Sequence[str] | None, codec: str) -> Iterator[Addresses]:
    """The services at the given addresses, or a pair started for as long as the command runs.

    Raises:
        SpecError: A pair would be started for a ``codec`` that does not parse; services that run say so themselves.
        InvalidRequestError: Only a sharer's address was given, or fusers for services that run.
        StartError: The pair did not start.
    """
    if receiver:
        if fusers:
            raise InvalidRequestError("--fusers are for services that are started here; leave it out, or --receiver")
        yield Addresses(sharer, receiver)
        return
    if sharer:
        raise InvalidRequestError("--sharer alone is not enough; give the --receiver's address too, or neither")
    from codec.spec import CodecSpec
    from kvwire.processes import Pair, running_pair

    models, quiet = Pair.parse(pair), ["--log-level", "warning"]
    CodecSpec.parse(codec)
    with running_pair(models, [*quiet, *fusers_arguments(fusers)]) as (started_sharer, started_receiver):
        yield Addresses(started_sharer.address, started_receiver.address)


def save(result: object, json_file: Path | None, default: Callable[[Any], object] | None = None) -> None:
    """Write a result as JSON if a file was named for it; ``default`` makes plain values of what is none."""
    if json_file is not None:
        json_file.write_text(json.dumps(result, indent=1, default=default) + "\n", encoding="utf-8")


def fusers_arguments(fusers: Sequence[str] | None) -> list[str]:
    """What services are started with to offer them."""
    return [argument for each in fusers or () for argument in ("--fusers", each)]
