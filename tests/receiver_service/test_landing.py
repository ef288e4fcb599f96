"""Layers that come while others are placed."""

import asyncio
import threading

import pytest

from kvwire.engine.worker import Task, Worker
from kvwire.errors import CancelledError, DataLossError, UnavailableError
from receiver_service.arrival import Arrival
from receiver_service.landing import Landing


@pytest.fixture
def worker():
    worker = Worker(max_in_flight=2)
    yield worker
    worker.close()


class Layers:
    """Work that notes what it placed; the compute thread has other work until ``go``."""

    def __init__(self, worker: Worker, task: Task | None = None) -> None:
        self.placed: list[int] = []
        self.pieces: list[list[int]] = []
        self.landing = Landing(worker, task or Task(), Arrival(), lambda: self.pieces.append(list(self.placed)))
        self._other = threading.Event()
        self._busy = asyncio.ensure_future(worker.run(self._other.wait))

    def work(self, layer: int):
        return lambda: self.placed.append(layer)

    async def go(self) -> None:
        self._other.set()
        await self._busy


async def turn() -> None:
    """Let what was begun come to its first wait."""
    await asyncio.sleep(0)


async def test_layers_that_come_while_others_compute_are_placed_in_one_piece(worker):
    """The first one's turn is that of all that came before it had it."""
    layers = Layers(worker)
    async with layers.landing as landing:
        landing.add(layers.work(0))
        await turn()
        for layer in range(1, 30):
            landing.add(layers.work(layer))
        await layers.go()
    assert layers.pieces == [list(range(30))]


async def test_the_end_of_a_stream_is_that_all_of_it_is_placed(worker):
    """Nobody reads over a cache of which layers still wait."""
    layers = Layers(worker)
    await layers.go()
    async with layers.landing as landing:
        for layer in range(3):
            landing.add(layers.work(layer))
    assert layers.placed == [0, 1, 2]


async def test_a_layer_that_comes_when_all_others_are_placed_is_placed_too(worker):
    """A link may be slower than the receiver."""
    layers = Layers(worker)
    await layers.go()
    async with asyncio.timeout(10), layers.landing as landing:
        for layer in range(3):
            landing.add(layers.work(layer))
            while len(layers.pieces) <= layer:
                await turn()
    assert layers.pieces == [[0], [0, 1], [0, 1, 2]]


async def test_its_wait_for_others_work_is_the_requests(worker):
    """As that of all else that is computed for it."""
    task = Task()
    layers = Layers(worker, task)
    async with layers.landing as landing:
        landing.add(layers.work(0))
        await turn()
        await layers.go()
    assert task.waited_s > 0


def spoiled() -> None:
    raise DataLossError("a frame of nonsense")


async def test_a_defect_ends_the_stream_at_its_next_layer(worker):
    """A sharer does not go on sending what is of no use."""
    layers = Layers(worker)
    await layers.go()

    async def stream() -> None:
        async with layers.landing as landing:
            landing.add(spoiled)
            while True:
                await turn()
                landing.add(layers.work(1))

    with pytest.raises(DataLossError, match="nonsense"):
        await stream()


async def test_a_defect_in_the_last_layer_ends_a_stream_that_came_whole(worker):
    """A trailer does not hide it."""
    layers = Layers(worker)
    await layers.go()
    with pytest.raises(DataLossError, match="nonsense"):
        async with layers.landing as landing:
            landing.add(spoiled)


async def test_layers_that_came_before_a_stream_was_cut_are_placed(worker):
    """The next stream is asked for the others only."""
    layers = Layers(worker)

    async def cut() -> None:
        async with layers.landing as landing:
            for layer in range(3):
                landing.add(layers.work(layer))
            await layers.go()
            raise UnavailableError("cut")

    with pytest.raises(UnavailableError, match="cut"):
        await cut()
    assert layers.placed == [0, 1, 2]


async def test_a_piece_ends_between_two_layers_when_its_request_does(worker):
    """Compute for a caller that hung up stops within a layer, however many wait."""
    task = Task()
    layers = Layers(worker, task)
    await layers.go()

    def hang_up() -> None:
        layers.placed.append(0)
        task.cancel()

    async def stream() -> None:
        async with layers.landing as landing:
            landing.add(hang_up)
            landing.add(layers.work(1))

    with pytest.raises(CancelledError):
        await stream()
    assert layers.placed == [0]


async def test_what_waits_is_dropped_with_its_stream(worker):
    """Of two sharers one fails: nothing more is computed for the other's cache."""
    layers = Layers(worker)

    async def stream() -> None:
        async with layers.landing as landing:
            landing.add(layers.work(0))
            await asyncio.Event().wait()

    streaming = asyncio.ensure_future(stream())
    await turn()
    await turn()
    streaming.cancel()
    with pytest.raises(asyncio.CancelledError):
        await streaming
    await layers.go()
    await worker.run(lambda: None)
    assert layers.placed == []
