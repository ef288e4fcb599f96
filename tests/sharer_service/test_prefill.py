"""What a prefill hands to the codec."""

from dataclasses import replace

import torch

from codec.codec import Codec
from codec.spec import CodecSpec
from kvwire.engine.attention import AttentionObserver
from sharer_service.kept import KeptCaches
from sharer_service.prefill import Prefiller
from tests.sharer_service.jobs import KEY, frames, job


def most_attended(drawn):
    """The ten tokens of each head that drew most, they or one of three on either side; drawn: ``(heads, tokens)``."""
    pooled = torch.nn.functional.max_pool1d(drawn, 7, stride=1, padding=3)
    return pooled.argsort(dim=-1, descending=True, stable=True)[:, :10].sort(dim=-1).values


def test_a_selector_by_attention_gets_what_each_layer_drew(engine):
    """The kept tokens are those of the engine's own observation, the head left out."""
    seen = {}
    engine.read(KEY.head + KEY.context, engine.new_cache(), 0, AttentionObserver(seen.__setitem__))
    for kv in frames(Prefiller(engine, KeptCaches(0)), "fp32+keep=0.5,by=attention,scope=head"):
        assert torch.equal(kv.slots, most_attended(seen[kv.layer][:, 1:]))


def test_a_question_is_read_behind_the_context_and_only_its_attention_counts(engine):
    """The kept tokens are those that its three tokens look at; none of its own is sent."""
    key = replace(KEY, question=(40, 41, 42))
    seen = {}
    observer = AttentionObserver(seen.__setitem__, queries=3)
    engine.read(key.head + key.context + key.question, engine.new_cache(), 0, observer)
    for kv in frames(Prefiller(engine, KeptCaches(0)), "fp32+keep=0.5,by=question,scope=head", key):
        assert kv.tokens == 20
        assert torch.equal(kv.slots, most_attended(seen[kv.layer][:, 1:21]))


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


def test_frames_of_what_is_asked_for_again_are_kept(engine):
    """Not of what was asked for once; of the codec that was asked for, byte for byte."""
    prefiller = Prefiller(engine, KeptCaches(1 << 30))
    made, sent = job(KEY.context)
    prefiller.run(made)
    assert prefiller.frames(made.codec, made.reading) is None
    prefiller.run(job(KEY.context)[0])
    assert list(prefiller.frames(made.codec, made.reading)) == sent
    assert prefiller.frames(Codec(CodecSpec.parse("int4")), made.reading) is None


def test_frames_of_latents_are_not_kept(engine):
    """They are of a fuser, which no key names; each time it starts anew."""
    prefiller = Prefiller(engine, KeptCaches(1 << 30))
    made, _ = job(KEY.context)
    begun = []
    latent = replace(made, reading=replace(made.reading, sender=lambda: begun.append(1) or (lambda kv: (kv,))))
    for _ in range(2):
        prefiller.run(replace(latent))
    assert begun == [1, 1]
    assert prefiller.frames(made.codec, made.reading) is None
