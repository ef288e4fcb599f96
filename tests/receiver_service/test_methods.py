"""What a method that failed leaves behind when another one takes its place."""

import gc
import weakref
from dataclasses import replace

import pytest

from kvwire.engine.question import Prepared
from kvwire.engine.worker import Worker
from kvwire.errors import UnavailableError
from kvwire.report import Report
from kvwire.requests import Exchange, FaultPolicy, Method
from receiver_service.methods import Methods
from tests.receiver_service.asking import Receiver


class Cache:
    """Stands for a large one."""


@pytest.fixture
def worker():
    worker = Worker(max_in_flight=1)
    yield worker
    worker.close()


async def test_the_cache_of_a_method_that_failed_is_gone_before_another_is_tried(worker, question):
    """Its memory is said to be free by then."""
    made, left = [], []

    async def by(method, *_):
        if method is Method.PREFIX:
            cache = Cache()
            made.append(weakref.ref(cache))
            raise UnavailableError("gone")
        gc.collect()
        left.append(made[0]())
        return Prepared(None, (1,), 0, Report("r", Method.PREFIX, method))

    asked = replace(question(), exchange=Exchange(Method.PREFIX, on_fault=FaultPolicy.TEXT))
    async with Receiver(["127.0.0.1:1"]) as receiver:
        methods = Methods(None, worker, receiver.sharers, None, None, None, None, receiver.metrics, 1, receiver.random)
        methods._by = by
        prepared = await methods(asked)
    assert left == [None]
    assert prepared.report.path is Method.TEXT
    assert prepared.report.reason == "fell back to text because the sharer failed: UNAVAILABLE: gone"
