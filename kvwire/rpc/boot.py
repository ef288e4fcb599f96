"""Loads a service's model on the thread that will run it."""

import os

import torch

from kvwire.config import ServiceSettings
from kvwire.engine.attention import IMPLEMENTATION
from kvwire.engine.engine import Engine
from kvwire.engine.worker import Worker
from kvwire.models.load import load
from kvwire.models.reference import ModelReference
from kvwire.models.store import ModelStore
from kvwire.requests import Limits


async def boot(settings: ServiceSettings) -> tuple[Engine, Worker]:
    """Start the worker and load the model on it.

    Raises:
        StartError: The device cannot be used.
        StoreError: The model cannot be fetched.
    """
    worker = Worker(settings.max_in_flight)
    return await worker.run(lambda: _load(settings)), worker


def limits(settings: ServiceSettings, engine: Engine) -> Limits:
    """The limits Describe tells."""
    return Limits(engine.max_tokens, settings.max_in_flight, settings.max_message_bytes)


def _load(settings: ServiceSettings) -> Engine:
    torch.set_num_threads(settings.threads or os.cpu_count() or 1)
    stored = ModelStore().pull(ModelReference.parse(settings.model))
    loaded = load(
        stored,
        dtype=getattr(torch, settings.dtype),
        device=settings.device,
        attn_implementation=IMPLEMENTATION,
    )
    return Engine(loaded, settings.max_tokens)
