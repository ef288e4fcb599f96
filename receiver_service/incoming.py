"""What has come of a cache so far, over all the streams that it took."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace

from codec.codec import Codec
from codec.rope import RopeTable
from codec.spec import CodecSpec
from fuser.layers import rope_table
from kvwire.engine.question import Question
from kvwire.errors import BindingError, DataLossError, KvwireError, SpecError, SpoiledError
from kvwire.model_card import ModelCard
from kvwire.report import StageTiming
from kvwire.stream import CacheHeader, ShareRequest
from receiver_service.held import Again, HeldCache
from receiver_service.omission import omits
from receiver_service.sharers import Meter
from receiver_service.source_layers import SourceLayers


@dataclass(eq=False)
class Incoming:
    """One cache on its way.

    ``request`` is what is asked for as a whole, ``sent`` the model whose cache comes, ``codec`` what reads its frames;
    ``opened`` and ``again`` as in ``CacheIntake.receive``. ``streams``: how many have begun with a header; ``stages``
    are the sharer's, once a trailer told them.
    """

    question: Question
    request: ShareRequest
    sent: ModelCard
    codec: Codec
    layers: SourceLayers
    opened: Callable[[CacheHeader], Awaitable[None]]
    again: Again | None
    held: HeldCache | None
    header: CacheHeader | None = None
    replayed: bool = False
    streams: int = 0
    stages: tuple[StageTiming, ...] = ()
    meter: Meter = field(default_factory=Meter)

    @property
    def missing(self) -> tuple[int, ...]:
        """Layers that were announced and have not come; none of a cache that is held."""
        if self.header is None or self.replayed:
            return ()
        return tuple(layer for layer in self.header.expected_layers if layer not in self.layers.arrived)

    def asked(self) -> ShareRequest:
        """What the next stream is asked for: all of it, the layers that are missing, or just how the last one ended.

        Once a policy has chosen a codec, that stays.
        """
        if self.header is None:
            return self.request
        chosen = replace(self.request, codec=self.header.codec, policy="")
        if self.missing:
            return replace(chosen, needed_layers=self.missing, held_digests=())
        return replace(chosen, held_digests=(self.header.content_digest,))

    def continues(self, header: CacheHeader) -> bool:
        """Whether a stream goes on with what an earlier one began.

        Raises:
            BindingError: It is of another cache.
        """
        if self.header is None:
            return False
        if _whole(header) != _whole(self.header):
            raise BindingError(
                "a stream that was to bring the rest of a cache is of another one: sharer, codec, tokens or tables "
                "changed meanwhile; retry the call"
            )
        return True

    def resolve(self, header: CacheHeader) -> None:
        """Read frames by the codec that the header names, which a policy may have come to.

        Raises:
            DataLossError, BindingError: It is no codec, or none with the options that were asked for.
        """
        if self.request.codec != header.codec:
            self.codec = resolved(self.codec.spec, header, rope_table(self.sent))

    def usable_after(self, fault: KvwireError, least: float) -> bool:
        """Whether something was made to do with after a fault that ended it: at least such a share of all."""
        share = 1.0 if self.replayed else self.layers.share
        return share >= least and share > 0 and not isinstance(fault, SpoiledError)


def _whole(header: CacheHeader) -> CacheHeader:
    """What does not depend on which of the cache's streams it heads."""
    return replace(header, sent_layers=(), request_digest=b"")


def resolved(asked: CodecSpec, header: CacheHeader, ropes: RopeTable) -> Codec:
    """The codec that a policy came to; options are still those that were asked for, and nothing is left out."""
    try:
        spec = CodecSpec.parse(header.codec)
    except SpecError as error:
        raise DataLossError(f"the stream's codec: {error}") from None
    options = [(each.keep, each.rope, each.entropy, each.of, omits(each)) for each in (spec, asked)]
    if options[0] != options[1] or str(spec) != header.codec:
        raise BindingError(f"the stream's codec is {header.codec!r}, which has not the options of {str(asked)!r}")
    return Codec(spec, ropes)
