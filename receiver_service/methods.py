"""Picks the way a question is answered, and another one when the sharer fails and the policy allows it."""

from collections.abc import Callable
from dataclasses import replace
from random import Random

from codec.calibrations import Calibrations
from codec.spec import CodecSpec, Payload
from fuser.latents import second_half
from fuser.registry import Fusers
from kvwire.engine.engine import Engine
from kvwire.engine.question import Prepared, Question, Ready
from kvwire.engine.reading import read_here
from kvwire.engine.worker import Worker
from kvwire.errors import FullError, InvalidRequestError
from kvwire.report import FELL_BACK
from kvwire.requests import Exchange, FaultPolicy, Method
from kvwire.telemetry import Metrics
from receiver_service.choosing.choose import Chooser, Offer
from receiver_service.choosing.target import Target, target
from receiver_service.fuse import fuse
from receiver_service.held import HeldCaches
from receiver_service.openings import Openings
from receiver_service.prefix import prefix
from receiver_service.receive import CacheIntake
from receiver_service.received import Named
from receiver_service.replicas import Sharers
from receiver_service.text import text
from receiver_service.tries import FAULTS, Tally, Tries

#: How much of the time that is left the sharer has where there is something to fall back to. Behind a cache there are
#: the prompt and the answer still to come, and to fall back to the receiver alone takes no more than these; a text
#: relay has the sharer read the context once more, and write.
_SHARES = {FaultPolicy.RECEIVER_ONLY: 0.75, FaultPolicy.PARTIAL: 0.75, FaultPolicy.TEXT: 0.5}

#: The calls of a sharer that is known by a name, for one question.
Calls = Callable[[str], Tries]


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
        metrics: Metrics,
        max_cache_bytes: int,
        random: Random,
    ) -> None:
        self._engine = engine
        self._worker = worker
        self._sharers = sharers
        self._fusers = fusers
        self._calibrations = calibrations
        self._held = held
        self._chooser = chooser
        self._metrics = metrics
        self._random = random
        self._max_cache_bytes = max_cache_bytes
        self._openings = Openings(engine, worker)

    async def __call__(self, question: Question) -> Prepared | Ready:
        """Get ready by the method asked for, or by the policy's when the sharer fails.

        Raises:
            FullError: This receiver has no room for it, whatever the policy.
            KvwireError: The request is wrong, its time is up, or the sharer failed and the policy is ``fail``.
        """
        method, policy, task = question.exchange.method, question.exchange.on_fault, question.task
        task.check()
        tally = Tally()
        held_bytes = self._worker.room.held(task)
        try:
            prepared = await self._by(method, question, self._calls(question, tally, _SHARES.get(policy, 1.0)))
        except FullError:  # not the sharer's fault
            raise
        except FAULTS as fault:
            fallback = _fallback(policy, method)
            if fallback is None:
                raise
            task.check()
            failed = f"{fault.status}: {fault}"
        else:
            return _tallied(prepared, tally)
        # Not before the fault is gone: it holds what it went through, and that the caches whose memory is free now.
        self._worker.room.release(task, but_bytes=held_bytes)
        tally.addresses.clear()
        prepared = await self._by(fallback, question, self._calls(question, tally))
        reason = f"{FELL_BACK} to {fallback} because the sharer failed: {failed}"
        return _tallied(replace(prepared, report=replace(prepared.report, path=fallback, reason=reason)), tally)

    def _calls(self, question: Question, tally: Tally, share: float = 1.0) -> Calls:
        """How a sharer by name is called for a question, in a share of the time that is left."""
        left_s = question.task.remaining_s()
        until_s = None if left_s is None else question.task.clock() + share * left_s
        return lambda name: Tries(self._sharers.named(name), question, until_s, tally, self._metrics, self._random)

    async def _by(self, method: Method, question: Question, calls: Calls) -> Prepared | Ready:
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
                return await text(self._engine, self._worker, calls(exchange.sharer), question)
            case Method.PREFIX if wanted is not None:
                return await self._chosen(wanted, question, calls)
            case Method.PREFIX:
                intake = self._intake(exchange, method, calls(exchange.sharer), exchange.fuser)
                return await prefix(intake, question, self._openings)
            case Method.FUSE:
                first = self._intake(exchange, method, calls(exchange.sharer), exchange.fuser)
                further = [self._intake(exchange, method, calls(each.sharer), each.fuser) for each in exchange.further]
                return await fuse([first, *further], question)
            case Method.SHARER_ONLY:
                raise InvalidRequestError("method sharer_only is answered by the sharer; send it there")

    async def _chosen(self, wanted: Target, question: Question, calls: Calls) -> Prepared | Ready:
        """Get ready for method ``prefix`` by the way that keeps to a target."""
        exchange = question.exchange
        intake = self._intake(exchange, exchange.method, calls(exchange.sharer), exchange.fuser)
        sent = intake.fuser.sent_by(await intake.sharer())
        codecs = (await intake.tries.described()).codecs
        offer = Offer(sent, codecs, intake.needed_layers, intake.fuser.alignment)
        with question.watch.stage("choose"):
            choice = await self._chooser.choose(wanted, question, offer, intake.tries.replicas.pace)
        path = choice.exchange.method
        prepared = await self._by(path, replace(question, exchange=choice.exchange), calls)
        report = replace(prepared.report, method=exchange.method, path=path, reason=choice.reason)
        return replace(prepared, report=report)

    def _intake(self, exchange: Exchange, method: Method, tries: Tries, fuser_name: str) -> CacheIntake:
        fuser, spec = self._fusers.named(fuser_name), CodecSpec.parse(exchange.codec)
        if method not in fuser.methods:
            raise fuser.refusal(method)
        if spec.of is Payload.LATENTS:
            fuser = second_half(fuser)
        return CacheIntake(
            self._engine,
            self._worker,
            tries,
            Named(fuser_name, fuser),
            spec,
            self._calibrations,
            self._held,
            self._max_cache_bytes,
        )


def _fallback(policy: FaultPolicy, method: Method) -> Method | None:
    """Another way to answer, if there is one; who fuses has read everything itself, whatever else does not come."""
    match policy:
        case FaultPolicy.PARTIAL if method is Method.FUSE:
            return Method.RECEIVER_READS
        case FaultPolicy.RECEIVER_ONLY | FaultPolicy.PARTIAL if method is not Method.RECEIVER_ONLY:
            return Method.RECEIVER_ONLY
        case FaultPolicy.TEXT if method is not Method.TEXT:
            return Method.TEXT
    return None


def _tallied(prepared: Prepared | Ready, tally: Tally) -> Prepared | Ready:
    report = replace(prepared.report, tries=tally.tries, sharer_addresses=tuple(tally.addresses))
    return replace(prepared, report=report)
