"""The peers themselves, in their environments, on a real model's cache of one short text."""

import math

import pytest

from bench.documents import SCORED_TOKENS, Document
from bench.peers.candidate import peer_codecs
from bench.peers.catalog import PEERS
from bench.peers.environments import python_of
from bench.quality import Reader
from bench.run import engine_of
from kvwire.errors import UnavailableError
from kvwire.models.store import default_home

pytestmark = [pytest.mark.slow, pytest.mark.model]

_TEXT = "The river runs through the town and under its old bridge, where two boys fish for perch every evening. " * 20
_TOKENS = 96  # more than SnapKV's window


@pytest.fixture(scope="module")
def reader(smollm2):
    """SmolLM2 that has read the text."""
    engine = engine_of(smollm2)
    tokens = engine.prompts.plain(_TEXT)[: _TOKENS + SCORED_TOKENS]
    return Reader(engine, Document("river", tuple(tokens[:_TOKENS]), tuple(tokens[_TOKENS:])))


@pytest.mark.parametrize("peer", PEERS, ids=lambda peer: peer.name)
def test_a_peers_codecs_send_a_cache_that_says_what_it_said(peer, reader, smollm2):
    """Each gives finite numbers; the best one's keep most predictions, as a cache that was mixed up would not."""
    try:
        python_of(peer, default_home())
    except UnavailableError as error:
        pytest.skip(str(error))
    with peer_codecs(default_home(), smollm2.path) as codecs:
        own = [codec for codec in codecs if codec.name.peer == peer.name]
        changes = {codec.name.codec: codec.send(reader, None)[0] for codec in own}
    assert set(changes) == set(peer.codecs)
    assert all(math.isfinite(change.kl) and change.bits_per_value > 1 for change in changes.values())
    best = min(changes.values(), key=lambda change: change.kl)
    assert best.kl < 0.3
    assert best.top1 > 0.7
