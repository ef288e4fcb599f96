"""Puts a sharer together and serves it."""

import html
from collections.abc import Mapping, Sequence
from pathlib import Path

import grpc

from codec.allocate.profiles import Profiles
from codec.calibrations import Calibrations
from codec.warm import warm
from fuser.latents import Divisible
from fuser.registry import Fusers
from kvwire import __version__
from kvwire.callers.door import Door
from kvwire.config import SharerSettings
from kvwire.engine.answer import Answerer
from kvwire.engine.engine import Engine
from kvwire.engine.question import Prepared, Question
from kvwire.engine.reading import read_here
from kvwire.engine.try_out import try_out
from kvwire.engine.worker import Worker
from kvwire.errors import InvalidRequestError
from kvwire.http_server import Route, page
from kvwire.model_card import Description, ModelCard
from kvwire.models.load import load_tokenizer
from kvwire.models.store import ModelStore
from kvwire.requests import Method
from kvwire.rpc.boot import boot, limits
from kvwire.rpc.model_servicer import ModelServicer
from kvwire.rpc.server import Listening, serve
from kvwire.telemetry import Metrics
from kvwire.tracing import tracer
from kvwire.v1 import model_service_pb2_grpc
from sharer_service.context import Tokenizers
from sharer_service.kept import KeptCaches
from sharer_service.plan import Held, Plans
from sharer_service.servicer import SharerServicer
from sharer_service.servicer import register as register_sharer

#: Contexts whose tokens are kept beside their caches: some 100 kB each.
_PLANS_KEPT = 64


async def run(settings: SharerSettings) -> None:
    """Load the model and serve until told to stop."""
    tracing = tracer("sharer", settings.otlp_endpoint)
    door = Door.of(settings.server_security())
    calibrations = Calibrations(settings.calibrations_folder())

    def ready(engine: Engine) -> None:
        model = engine.card.binding
        warm(engine.dtype, calibrations.held(model.weights_fingerprint, model.id))

    engine, worker = await boot(settings, ready)
    tokenizers = await worker.run(lambda: _tokenizers(engine, settings.tokenizers))
    divisible = await worker.run(lambda: _divisible(engine.card, settings.fusers))
    held = Held(calibrations, Profiles(settings.profiles_folder()), tokenizers, divisible)
    metrics = Metrics("sharer")
    description = _described(settings, engine, calibrations)
    answerer = Answerer(engine, worker, _Reading(engine, worker), "sharer")

    servicer = SharerServicer(
        engine,
        worker,
        answerer.decoder,
        metrics,
        KeptCaches(settings.reuse_bytes),
        Plans(engine, held, _PLANS_KEPT if settings.reuse_bytes else 0),
        settings.relay_max_tokens,
    )

    def register(server: grpc.aio.Server) -> None:
        model_service_pb2_grpc.add_ModelServiceServicer_to_server(ModelServicer(answerer, description, metrics), server)
        register_sharer(servicer, server)

    async def tried() -> None:
        await try_out(answerer, Method.SHARER_ONLY)
        await servicer.try_out()

    pages = {"/": _page(engine)}
    listening = Listening(
        settings.listen, settings.metrics_listen, settings.server_security(), door, settings.max_message_bytes
    )
    try:
        services = ("kvwire.v1.ModelService", "kvwire.v1.SharerService")
        await serve(listening, metrics, tracing, register, services, pages, tried)
    finally:
        worker.close()


def _described(settings: SharerSettings, engine: Engine, calibrations: Calibrations) -> Description:
    return Description(
        card=engine.card,
        codecs=calibrations.offered(engine.card.binding.weights_fingerprint, engine.card.binding.id),
        fusers=(),
        methods=(Method.SHARER_ONLY,),
        limits=limits(settings, engine),
        sharers=(),
        software=__version__,
    )


def _page(engine: Engine) -> Route:
    """Tells whoever opens the metrics' port in a browser what it is."""
    model = html.escape(engine.card.binding.id)
    said = (
        '<!doctype html><html lang="en"><meta charset="utf-8"><title>kvwire sharer</title>'
        f"<p>A kvwire sharer {__version__} that runs {model}: it reads contexts and streams their caches to receivers, "
        'whose own page shows them. Here are its <a href="/metrics">metrics</a>.</p></html>\n'
    )
    return page(said.encode(), "text/html; charset=utf-8")


def _tokenizers(engine: Engine, references: Sequence[str]) -> Tokenizers:
    """The model's own and those of receivers, by fingerprint."""
    store = ModelStore()
    stored = [store.pull(reference) for reference in references]
    others = {each.binding.tokenizer_fingerprint: load_tokenizer(each) for each in stored}
    return {engine.card.binding.tokenizer_fingerprint: engine.prompts.tokenizer, **others}


def _divisible(card: ModelCard, paths: Mapping[str, Path]) -> dict[bytes, Divisible]:
    """Fusers whose first half can run here, by fingerprint; others among the paths are only the receiver's matter."""
    fusers = Fusers(paths)
    found = [fuser for fuser in map(fusers.named, paths) if isinstance(fuser, Divisible)]
    return {fuser.fingerprint: fuser for fuser in found if fuser.takes(card)}


class _Reading:
    """The sharer answers one method by itself: it reads everything."""

    def __init__(self, engine: Engine, worker: Worker) -> None:
        self._engine = engine
        self._worker = worker

    async def __call__(self, question: Question) -> Prepared:
        if question.exchange.method is not Method.SHARER_ONLY:
            raise InvalidRequestError(
                f"a sharer answers method sharer_only; send method {question.exchange.method} to a receiver"
            )
        return await read_here(self._engine, self._worker, question, question.context)
