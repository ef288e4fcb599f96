"""One cache on its way: layers that wait to be sent, those on the wire, those that have come and are not yet read.

Whoever reads slowly slows down who sends: no more than a window's bytes are sent and unread, and beside them no more
than a few layers wait. Then the sharer's compute thread stands still with the layer it has just made.
"""

from simpy import Container, Environment, Event, Store

from simulation.host import Process
from simulation.link import Path

#: Encoded layers that may wait to be sent before the prefill is held up; as ``sharer_service.servicer`` has it.
FRAMES_WAITING = 2


class Stream:
    """Between one sharer and one receiver, for one request: a header, a frame for each layer, a trailer."""

    def __init__(self, env: Environment, path: Path, window_bytes: int) -> None:
        self._env = env
        self._path = path
        self._waiting = Store(env, FRAMES_WAITING)
        self._sent = Store(env)
        self._unread = Container(env, window_bytes)
        self._window_bytes = window_bytes
        env.process(self._send())

    def emit(self, nbytes: int) -> Event:
        """Hand over a message; the event is that not too many wait before it."""
        return self._waiting.put(nbytes)

    def read(self) -> Process:
        """The next message's bytes, once it has come."""
        nbytes, arrival = yield self._sent.get()
        yield arrival
        yield self._unread.get(self._counted(nbytes))
        return nbytes

    def _send(self) -> Process:
        while True:
            nbytes: int = yield self._waiting.get()
            yield self._unread.put(self._counted(nbytes))
            self._sent.put((nbytes, self._path.send(self._env, nbytes)))

    def _counted(self, nbytes: int) -> int:
        """One that is larger than the window takes all of it."""
        return min(nbytes, self._window_bytes)
