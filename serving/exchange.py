"""From an engine's cache to frames, and from frames to an engine's cache: the codec and the fuser between two engines.

This is method ``prefix``: what is loaded stands in place of what the receiver would have computed. Method ``fuse``
needs the receiver's own keys and values of the same tokens first, and an engine that loads a prefix computes none.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from codec.codec import Codec
from codec.frame import Limits
from codec.layer import LayerKV
from codec.spec import CodecSpec, Payload, RopePhase
from fuser.base import Fuser
from fuser.layers import in_phase, rope_table
from kvwire.errors import BindingError, DataLossError, SpecError, UnsupportedError
from kvwire.model_card import ModelCard
from kvwire.requests import AlignmentRule, Method
from serving.paged import PagedLayer


class Exchange:
    """How an engine's caches become frames, and a sharer's frames become its caches.

    ``spec``: of all frames. ``receiver``: the engine's own model. Both models read the same tokens from the first on.

    Raises:
        SpecError: The spec prunes tokens or sends something else than caches.
        BindingError: The fuser is not for this pair, offers no ``prefix``, or leaves a layer without a source; the spec
            needs tables of a model.
        UnsupportedError: A layer's attention has a window, whose blocks an engine gives away.
    """

    def __init__(self, spec: CodecSpec, fuser: Fuser, sharer: ModelCard, receiver: ModelCard) -> None:
        _check_spec(spec)
        _check_fuser(fuser, sharer, receiver)
        if any(layer.window_tokens for layer in (*sharer.layers, *receiver.layers)):
            raise UnsupportedError(
                f"{sharer.binding.id} or {receiver.binding.id} has layers whose attention has a window; an engine "
                "gives their blocks away while a request runs, and this seam knows full attention only"
            )
        self._fuser = fuser
        self._sharer_ropes, self._receiver_ropes = rope_table(sharer), rope_table(receiver)
        self._codec = Codec(spec, self._receiver_ropes)
        targets = range(len(receiver.layers))
        self.sources = tuple(sorted({source for target in targets for source in fuser.source_layers(target)}))

    def save(self, layer: int, paged: PagedLayer, slots: Tensor) -> bytes:
        """The frame of a layer's tokens at these slots; the first of them is token 0."""
        keys, values = paged.gather(slots)
        kv = LayerKV(layer, keys.cpu(), values.cpu(), RopePhase.POST, tokens=len(slots))
        return self._codec.encode_layer(kv, torch.arange(len(slots)))

    def load(
        self, frame: Callable[[int], bytes], tokens: int, first: int, layers: Sequence[PagedLayer], slots: Tensor
    ) -> None:
        """Make the receiver's layers, and put their tokens from ``first`` on at these slots.

        ``frame``: gives a sharer's layer as it was saved, of so many ``tokens``; each is asked for once.

        Raises:
            DataLossError: A frame is damaged, or is of another layer or number of tokens.
        """
        end = first + len(slots)
        sources: dict[int, LayerKV] = {}
        for target, paged in enumerate(layers):
            needed = self._fuser.source_layers(target)
            for source in needed:
                if source not in sources:
                    sources[source] = self._decoded(source, frame(source), tokens)
            made = self._fuser.project(target, {source: sources[source] for source in needed})
            made = in_phase(made, RopePhase.POST, 0, self._receiver_ropes)
            paged.scatter(slots, made.keys[:, first:end], made.values[:, first:end])

    def _decoded(self, source: int, frame: bytes, tokens: int) -> LayerKV:
        """A sharer's layer in the phase the fuser wants."""
        kv = self._codec.decode_layer(frame, Limits(max_tokens=tokens))
        if (kv.layer, kv.tokens) != (source, tokens):
            raise DataLossError(
                f"a frame of layer {kv.layer} with {kv.tokens} tokens lies where layer {source} with {tokens} should; "
                "delete it, and it is saved anew"
            )
        return in_phase(kv, self._fuser.rope, 0, self._sharer_ropes)


def _check_spec(spec: CodecSpec) -> None:
    if spec.keep is not None or spec.of is not Payload.CACHE:
        raise SpecError(
            f"codec spec {str(spec)!r}: an engine's attention has no mask for absent tokens, and its cache holds keys "
            "and values; leave keep= and of= out"
        )


def _check_fuser(fuser: Fuser, sharer: ModelCard, receiver: ModelCard) -> None:
    if Method.PREFIX not in fuser.methods:
        raise BindingError(f"fuser {fuser.name} offers no method prefix, and an engine loads prefixes; take another")
    fuser.check(sharer, receiver)
    theirs, ours = sharer.binding.tokenizer_fingerprint, receiver.binding.tokenizer_fingerprint
    if fuser.alignment is not AlignmentRule.NONE and theirs != ours:
        raise BindingError(
            f"fuser {fuser.name} aligns the tokens of two tokenizers, and an engine knows only its own; ask a receiver "
            "service for this pair"
        )
    if missing := [target for target in range(len(receiver.layers)) if not fuser.source_layers(target)]:
        raise BindingError(f"fuser {fuser.name} makes nothing of layers {missing}; a prefix needs all of them")
