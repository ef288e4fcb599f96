"""What is said between the bench and a peer's environment, with a made-up driver in place of a peer's."""

import sys
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from bench.documents import SCORED_TOKENS, Document
from bench.peers.candidate import PeerCodec, Session, peer_codecs
from bench.peers.catalog import Peer
from bench.peers.process import PeerProcess
from bench.quality import Reader
from bench.run import engine_of
from codec.codec import Codec
from codec.spec import CodecSpec
from kvwire.errors import UnavailableError
from kvwire.models.store import ModelStore

DRIVER = Path(__file__).with_name("fake_driver.py")
DOCUMENT = Document("one", tuple(range(5, 29)), tuple(range(30, 30 + SCORED_TOKENS)))


@pytest.fixture(scope="module")
def reader(tiny_llama, tmp_path_factory):
    """A tiny model that has read one document."""
    stored = ModelStore(tmp_path_factory.mktemp("store")).pull(f"path:{tiny_llama}")
    return Reader(engine_of(stored), DOCUMENT)


@pytest.fixture
def codec(tmp_path):
    """A codec of the made-up peer, by name; its process ends with the test."""
    with ExitStack() as stack:

        def named(name, limit_s=60.0):
            session = Session(Peer("made-up", "0", "fake", (name,)), tmp_path, tmp_path, stack)
            python = Path(sys.executable)
            session.process = stack.enter_context(PeerProcess(python, DRIVER, tmp_path, 1, limit_s))
            return PeerCodec(session, name)

        yield named


def test_a_peers_cache_is_scored_as_our_own(reader, codec):
    """float16 by the made-up peer changes what our fp16 does, at its 16 bits; nothing is timed unasked."""
    change, times = codec("half").send(reader, None)
    own = reader.through(Codec(CodecSpec.parse("fp16"), reader.ropes))
    assert (change.kl, change.top1) == (own.kl, own.top1)
    assert change.bits_per_value == 16
    assert times is None


def test_times_come_with_the_first_document(reader, codec):
    """Encoding, decoding and a copy, in that process."""
    _, times = codec("half").send(reader, 0.0)
    assert min(times.encode_s, times.decode_s, times.copy_s) > 0
    assert times.frame_bytes == 2 * sum(kv.keys.numel() + kv.values.numel() for kv in reader.layers)


def test_tokens_that_are_left_stand_where_they_stood(reader, codec):
    """In whatever order they come: as our own frames of the same tokens."""
    change, _ = codec("every second").send(reader, None)
    slots = torch.arange(0, len(DOCUMENT.prefix), 2)
    own = [
        replace(kv, keys=kv.keys[:, ::2].half().float(), values=kv.values[:, ::2].half().float(), slots=slots)
        for kv in reader.layers
    ]
    size = sum(2 * 2 * kv.keys.numel() for kv in own)
    assert change == reader.changed(own, size)
    assert change.bits_per_value == 8
    assert change.kl > 1e-3


@pytest.mark.parametrize(
    ("way", "why"),
    [
        ("raise", "AssertionError: too short for me"),
        ("die", "ended with 3: last words"),
        ("nan", "keys came back with NaN"),
        ("short", r"keys did not come back as \(4, 2, 24, 16\)"),
    ],
)
def test_a_peer_that_fails_is_absent_and_says_why(reader, codec, way, why):
    """An exception, the process's end, numbers that are none, tensors of another shape."""
    with pytest.raises(UnavailableError, match=why):
        codec(way).send(reader, None)


def test_a_peer_that_does_not_answer_is_ended(reader, codec):
    """After its time."""
    with pytest.raises(UnavailableError, match="ended with -9"):
        codec("hang", limit_s=0.5).send(reader, None)


def test_peers_that_are_not_installed_say_how_to_install_them(reader, tmp_path):
    """Each of its codecs does."""
    with peer_codecs(tmp_path, tmp_path) as codecs:
        assert {codec.name.peer for codec in codecs} >= {"lmcache", "kvpress"}
        for codec in codecs:
            with pytest.raises(UnavailableError, match=f"not installed; kvwire codec peers {codec.name.peer}"):
                codec.send(reader, None)
