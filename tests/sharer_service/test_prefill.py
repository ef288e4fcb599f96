"""What a prefill hands to the codec."""

from dataclasses import replace

import pytest
import torch

from codec.codec import Codec, decode_layer
from codec.frame import Limits
from codec.spec import CodecSpec
from kvwire.engine.attention import IMPLEMENTATION, AttentionObserver
from kvwire.engine.engine import Engine
from kvwire.engine.worker import Task
from kvwire.models.load import load
from kvwire.models.store import ModelStore
from kvwire.progress import Stopwatch
from sharer_service.kept import ContextKey, KeptCaches
from sharer_service.prefill import Prefiller, Reading

KEY = ContextKey("mia", (0,), tuple(range(10, 30)))


@pytest.fixture(scope="module")
def engine(tiny_llama, tmp_path_factory):
    stored = ModelStore(tmp_path_factory.mktemp("store")).pull(f"path:{tiny_llama}")
    return Engine(load(stored, dtype=torch.float32, attn_implementation=IMPLEMENTATION), max_tokens=512)


def frames(prefiller, spec, key=KEY):
    sent = []
    reading = Reading(key, frozenset(range(4)))
    prefiller.run(Codec(CodecSpec.parse(spec)), reading, Task(), Stopwatch("sharer"), sent.append)
    return [decode_layer(frame.data, Limits()) for frame in sent]


def test_a_selector_by_attention_gets_what_each_layer_drew(engine):
    """The kept tokens are those of the engine's own observation, the head left out."""
    seen = {}
    engine.read(KEY.head + KEY.context, engine.new_cache(), 0, AttentionObserver(seen.__setitem__))
    for kv in frames(Prefiller(engine, KeptCaches(0)), "fp32+keep=0.5,by=attention,scope=head"):
        pooled = torch.nn.functional.max_pool1d(seen[kv.layer][:, 1:], 7, stride=1, padding=3)
        best = pooled.argsort(dim=-1, descending=True, stable=True)[:, :10]
        assert torch.equal(kv.slots, best.sort(dim=-1).values)


def test_a_question_is_read_behind_the_context_and_only_its_attention_counts(engine):
    """The kept tokens are those that its three tokens look at; none of its own is sent."""
    key = replace(KEY, question=(40, 41, 42))
    seen = {}
    observer = AttentionObserver(seen.__setitem__, queries=3)
    engine.read(key.head + key.context + key.question, engine.new_cache(), 0, observer)
    for kv in frames(Prefiller(engine, KeptCaches(0)), "fp32+keep=0.5,by=question,scope=head", key):
        pooled = torch.nn.functional.max_pool1d(seen[kv.layer][:, 1:21], 7, stride=1, padding=3)
        best = pooled.argsort(dim=-1, descending=True, stable=True)[:, :10]
        assert kv.tokens == 20
        assert torch.equal(kv.slots, best.sort(dim=-1).values)


def test_a_kept_cache_without_attention_does_not_serve_a_selector_that_needs_it(engine):
    """It is read again, and the frames are those of a sharer that kept nothing."""
    keeping = Prefiller(engine, KeptCaches(1 << 30))
    frames(keeping, "fp32")
    spec = "fp32+keep=0.5,by=attention"
    fresh = frames(Prefiller(engine, KeptCaches(0)), spec)
    assert [kv.slots.tolist() for kv in frames(keeping, spec)] == [kv.slots.tolist() for kv in fresh]


def test_a_context_is_read_again_for_its_attention_only_once(engine, monkeypatch):
    """Then every codec has all it may need, and what is read again is the same."""
    keeping = Prefiller(engine, KeptCaches(1 << 30))
    before = frames(keeping, "fp32")
    frames(keeping, "fp32+keep=0.5,by=attention")
    monkeypatch.setattr(engine, "read", None)  # calling it would fail
    frames(keeping, "fp32+keep=0.5,by=attention")
    after = frames(keeping, "fp32")
    assert all(torch.equal(one.keys, other.keys) for one, other in zip(before, after, strict=True))
