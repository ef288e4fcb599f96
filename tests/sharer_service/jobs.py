"""Jobs of a sharer's prefill, and what comes of one."""

from codec.codec import Codec, decode_layer
from codec.frame import Limits
from codec.spec import CodecSpec
from kvwire.engine.backlog import Backlog, Waiting
from kvwire.engine.worker import Task
from kvwire.progress import Stopwatch
from sharer_service.kept import ContextKey
from sharer_service.outgoing import Job, Reading

KEY = ContextKey("mia", (0,), tuple(range(10, 30)))


def nobody_waits():
    """For what is read, in these tests."""
    return Waiting(Backlog(), 0)


def frames(prefiller, spec, key=KEY):
    sent = []
    reading = Reading(key, frozenset(range(4)))
    prefiller.run(Job(Codec(CodecSpec.parse(spec)), reading, Task(), Stopwatch("sharer"), sent.append, nobody_waits()))
    return [decode_layer(frame.data, Limits()) for frame in sent]


def job(context, caller="mia", task=None, spec="int8"):
    sent = []
    made = Job(
        Codec(CodecSpec.parse(spec)),
        Reading(ContextKey(caller, (0,), tuple(context)), frozenset(range(4))),
        task or Task(),
        Stopwatch("sharer"),
        sent.append,
        nobody_waits(),
    )
    return made, sent
