"""Picks the way a question is answered, and another one when the sharer fails and the policy allows it."""

from dataclasses import replace

from codec.calibrations import Calibrations
from codec.spec import CodecSpec, Payload
from fuser.latents import second_half
from fuser.registry import Fusers
from kvwire.engine.engine import Engine
from kvwire.engine.question import Prepared, Question, Ready
from kvwire.engine.reading import read_here
from kvwire.engine.worker import Worker
from kvwire.errors import (
    DataLossError,
    InvalidRequestError,
    KvwireError,
    LocalError,
    OverloadedError,
    UnavailableError,
    UnsupportedError,
)
from kvwire.requests import Exchange, FaultPolicy, Method
from receiver_service.choosing.choose import Chooser, Offer
from receiver_service.choosing.target import Target, target
from receiver_service.fuse import fuse
from receiver_service.held import HeldCaches
from receiver_service.prefix import prefix
from receiver_service.receive import CacheIntake
from receiver_service.received import Named
from receiver_service.sharers import Sharers
from receiver_service.text import text

#: What counts as the sharer failing. A request that is wrong, or a pair that does not match, fails under any policy.
_FAULTS = (UnavailableError, DataLossError, OverloadedError, LocalError)

_FALLBACKS = {FaultPolicy.RECEIVER_ONLY: Method.RECEIVER_ONLY, FaultPolicy.TEXT: Method.TEXT}


class Methods:
    """Prepares a receiver's answers."""

    def __init__(
        self,
        engine: Engine,
        worker: Worker,
        sharers: Sharers,
        fusers: Fusers,
        calibrations: Calibrations,
        held: HeldCaches,
        chooser: Chooser,
        max_cache_bytes: int,
    ) -> None:
        self._engine = engine
        self._worker = worker
        self._sharers = sharers
        self._fusers = fusers
        self._calibrations = calibrations
        self._held = held
        self._chooser = chooser
        self._max_cache_bytes = max_cache_bytes

    async def __call__(self, question: Question) -> Prepared | Ready:
        """Get ready by the method asked for, or by the policy's when the sharer fails.

        Raises:
            KvwireError: The request is wrong, or the sharer failed and the policy is ``fail``.
        """
        exchange = question.exchange
        if exchange.on_fault is FaultPolicy.PARTIAL:
            raise UnsupportedError("fault policy partial is not offered yet; use fail, receiver_only or text")
        held_bytes = self._worker.room.held(question.task)
        try:
            return await self._by(exchange.method, question)
        except _FAULTS as fault:
            fallback = _FALLBACKS.get(exchange.on_fault)
            if fallback is None or fallback is exchange.method:
                raise
            self._worker.room.release(question.task, but_bytes=held_bytes)
            prepared = await self._by(fallback, question)
            return _explained(prepared, fallback, fault)

    async def _by(self, method: Method, question: Question) -> Prepared | Ready:
        exchange = question.exchange
        if exchange.further and exchange.method is not Method.FUSE:
            raise InvalidRequestError(f"method {exchange.method} takes one sharer; several are for method fuse")
        wanted = target(exchange.policy)
        if wanted is not None and exchange.method is not Method.PREFIX:
            raise InvalidRequestError(
                f"policy {exchange.policy} is for method prefix, not {exchange.method}; leave it out"
            )
        match method:
            case Method.RECEIVER_ONLY:
                return await read_here(self._engine, self._worker, question, None)
            case Method.RECEIVER_READS:
                return await read_here(self._engine, self._worker, question, question.context)
            case Method.TEXT:
                link = self._sharers.named(exchange.sharer)
                return await text(self._engine, self._worker, link, question)
            case Method.PREFIX if wanted is not None:
                return await self._chosen(wanted, question)
            case Method.PREFIX:
                return await prefix(self._intake(exchange, method, exchange.sharer, exchange.fuser), question)
            case Method.FUSE:
                first = self._intake(exchange, method, exchange.sharer, exchange.fuser)
                further = [self._intake(exchange, method, each.sharer, each.fuser) for each in exchange.further]
                return await fuse([first, *further], question)
            case Method.SHARER_ONLY:
                raise InvalidRequestError("method sharer_only is answered by the sharer; send it there")

    async def _chosen(self, wanted: Target, question: Question) -> Prepared | Ready:
        """Get ready for method ``prefix`` by the way that keeps to a target."""
        exchange = question.exchange
        intake = self._intake(exchange, exchange.method, exchange.sharer, exchange.fuser)
        sent = intake.fuser.sent_by(await intake.sharer(question.task))
        codecs = (await intake.link.describe(question.task)).codecs
        offer = Offer(sent, codecs, intake.needed_layers, intake.fuser.alignment)
        with question.watch.stage("choose"):
            choice = await self._chooser.choose(wanted, question, offer, intake.link.pace)
        path = choice.exchange.method
        prepared = await self._by(path, replace(question, exchange=choice.exchange))
        report = replace(prepared.report, method=exchange.method, path=path, reason=choice.reason)
        return replace(prepared, report=report)

    def _intake(self, exchange: Exchange, method: Method, sharer: str, fuser_name: str) -> CacheIntake:
        fuser, spec = self._fusers.named(fuser_name), CodecSpec.parse(exchange.codec)
        if method not in fuser.methods:
            raise fuser.refusal(method)
        if spec.of is Payload.LATENTS:
            fuser = second_half(fuser)
        link = self._sharers.named(sharer)
        return CacheIntake(
            self._engine,
            self._worker,
            link,
            Named(fuser_name, fuser),
            spec,
            self._calibrations,
            self._held,
            self._max_cache_bytes,
        )


def _explained(prepared: Prepared | Ready, path: Method, fault: KvwireError) -> Prepared | Ready:
    reason = f"fell back to {path} because the sharer failed: {fault.status}: {fault}"
    return replace(prepared, report=replace(prepared.report, path=path, reason=reason))
