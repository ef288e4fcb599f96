"""Loads a service's model on the thread that will run it."""

import os
from collections.abc import Callable

import torch

from kvwire.config import ServiceSettings
from kvwire.engine.attention import IMPLEMENTATION
from kvwire.engine.engine import Engine
from kvwire.engine.machine import memory_bytes
from kvwire.engine.worker import Worker
from kvwire.model_card import Limits
from kvwire.models.load import device_named, load
from kvwire.models.reference import ModelReference
from kvwire.models.store import ModelStore


async def boot(settings: ServiceSettings, warm: Callable[[Engine], None]) -> tuple[Engine, Worker]:
    """Start the worker and load the model on it; ``warm`` readies the codec for it there.

    Raises:
        StartError: The device cannot be used.
        StoreError: The model cannot be fetched.
    """
    worker = Worker(settings.max_in_flight, settings.cache_memory_bytes or _share(device_named(settings.device)))
    return await worker.run(lambda: _load(settings, warm)), worker


def limits(settings: ServiceSettings, engine: Engine) -> Limits:
    """The limits Describe tells."""
    return Limits(engine.max_tokens, settings.max_in_flight, settings.max_message_bytes)


def _share(device: torch.device) -> int:
    """A quarter of the memory: two services fit a machine beside their weights and what kept caches take."""
    return memory_bytes(device) // 4


def _load(settings: ServiceSettings, warm: Callable[[Engine], None]) -> Engine:
    torch.set_num_threads(settings.threads or os.cpu_count() or 1)
    stored = ModelStore().pull(ModelReference.parse(settings.model))
    loaded = load(
        stored,
        dtype=getattr(torch, settings.dtype),
        device=settings.device,
        attn_implementation=IMPLEMENTATION,
    )
    engine = Engine(loaded, settings.max_tokens)
    warm(engine)
    return engine
