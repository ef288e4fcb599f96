"""Puts a receiver together and serves it."""

from random import Random

import grpc

from codec.calibrations import Calibrations
from codec.registry import QUANTIZERS
from codec.warm import warm
from fuser.registry import Fusers
from kvwire import __version__
from kvwire.callers.door import Door
from kvwire.config import ReceiverSettings
from kvwire.engine.answer import Answerer
from kvwire.engine.engine import Engine
from kvwire.engine.try_out import try_out
from kvwire.model_card import Description
from kvwire.requests import Method
from kvwire.rpc.boot import boot, limits
from kvwire.rpc.model_servicer import ModelServicer
from kvwire.rpc.server import Listening, serve
from kvwire.telemetry import Metrics
from kvwire.tracing import tracer
from kvwire.v1 import model_service_pb2_grpc, receiver_service_pb2_grpc
from receiver_service.choosing.choose import Chooser
from receiver_service.choosing.own import OwnPasses
from receiver_service.held import held_caches
from receiver_service.inspect import InspectServicer
from receiver_service.live.access import Access
from receiver_service.live.ask import Ask
from receiver_service.live.pages import pages
from receiver_service.live.status import Status
from receiver_service.methods import Methods
from receiver_service.replicas import Sharers


async def run(settings: ReceiverSettings) -> None:
    """Load the model and serve until told to stop."""
    tracing = tracer("receiver", settings.otlp_endpoint)
    door = Door.of(settings.server_security())
    calibrations = Calibrations(settings.calibrations_folder())

    def ready(engine: Engine) -> None:
        model = engine.card.binding
        warm(engine.dtype, calibrations.held(model.weights_fingerprint, model.id))

    engine, worker = await boot(settings, ready)
    metrics = Metrics("receiver")
    fusers = await worker.run(lambda: Fusers(settings.fusers, engine.device, engine.dtype))
    sharers = Sharers(settings.sharers, settings.sharer_security(), metrics, settings.balance)
    description = _described(settings, engine, fusers, sharers)
    own = OwnPasses()
    methods = Methods(
        engine,
        worker,
        sharers,
        fusers,
        calibrations,
        held_caches(settings.reuse_bytes),
        Chooser(engine, worker, calibrations, own),
        metrics,
        settings.max_cache_bytes,
        Random(),  # noqa: S311  # spreads retries, guards nothing
    )
    answerer = Answerer(engine, worker, methods, "receiver")
    servicer = ModelServicer(answerer, description, metrics, own.heard)
    access = Access.of(settings, door)
    shown = pages(Status(metrics, description, sharers, access), Ask(servicer.events, access))

    inspected = InspectServicer(answerer, enabled=settings.inspect)

    def register(server: grpc.aio.Server) -> None:
        model_service_pb2_grpc.add_ModelServiceServicer_to_server(servicer, server)
        receiver_service_pb2_grpc.add_ReceiverServiceServicer_to_server(inspected, server)

    async def tried() -> None:
        await try_out(answerer, Method.RECEIVER_ONLY)

    listening = Listening(
        settings.listen, settings.metrics_listen, settings.server_security(), door, settings.max_message_bytes
    )
    try:
        services = ("kvwire.v1.ModelService", "kvwire.v1.ReceiverService")
        await serve(listening, metrics, tracing, register, services, shown, tried)
    finally:
        await sharers.close()
        worker.close()


def _described(settings: ReceiverSettings, engine: Engine, fusers: Fusers, sharers: Sharers) -> Description:
    return Description(
        card=engine.card,
        codecs=tuple(QUANTIZERS),
        fusers=fusers.names,
        methods=tuple(each for each in Method if each is not Method.SHARER_ONLY),
        limits=limits(settings, engine),
        sharers=sharers.names,
        software=__version__,
    )
