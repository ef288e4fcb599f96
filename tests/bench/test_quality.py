"""What a codec changes is measured through real frames, in a real engine."""

import pytest
import torch

from bench.documents import SCORED_TOKENS, Document
from bench.quality import Reader
from bench.run import Run
from codec.codec import Codec
from codec.spec import CodecSpec
from kvwire.engine.attention import IMPLEMENTATION
from kvwire.engine.engine import Engine
from kvwire.errors import InvalidRequestError
from kvwire.models.load import load
from kvwire.models.store import ModelStore

DOCUMENT = Document("one", tuple(range(5, 29)), tuple(range(30, 30 + SCORED_TOKENS)))


@pytest.fixture(scope="module", params=["tiny_llama", "tiny_gemma", "tiny_qwen2"])
def engine(request, tmp_path_factory):
    """Of each tiny model in turn."""
    folder = request.getfixturevalue(request.param)
    stored = ModelStore(tmp_path_factory.mktemp("store")).pull(f"path:{folder}")
    return Engine(load(stored, dtype=torch.float32, attn_implementation=IMPLEMENTATION), max_tokens=512)


@pytest.fixture(scope="module")
def reader(engine):
    """Of one document."""
    return Reader(engine, DOCUMENT)


def through(reader, spec):
    return reader.through(Codec(CodecSpec.parse(spec), reader.ropes))


def test_a_codec_that_changes_nothing_changes_no_distribution(reader):
    """fp32 is exact, so the decoded cache takes the model where its own took it."""
    change = through(reader, "fp32")
    assert change.kl == pytest.approx(0, abs=1e-6)
    assert change.top1 == 1
    assert change.bits_per_value > 32  # headers count


def test_keys_sent_before_rope_stand_where_they_stood(reader):
    """Within rounding; keys left unrotated would change everything."""
    assert through(reader, "fp32+rope=pre").kl < 1e-5


def test_fewer_bits_change_more(reader):
    """Eight, four and two of them."""
    eight, four, two = (through(reader, f"{spec}+rope=pre") for spec in ("int8", "hadamard", "hadamard:bits=2"))
    assert 0 < eight.kl < four.kl < two.kl
    assert eight.bits_per_value > four.bits_per_value > two.bits_per_value


def test_a_pruned_cache_is_scored_with_what_is_left_of_it(reader):
    """At the kept tokens' own positions."""
    half = through(reader, "fp32+keep=0.5,by=value_norm")
    assert half.kl > 1e-6
    assert 16 < half.bits_per_value < 24


def test_observed_attention_ranks_tokens_of_a_document(reader):
    """As over the wire: the prefix's own last queries; another choice than the last tokens."""
    kept, recent = (through(reader, f"fp32+keep=0.25,by={by}") for by in ("attention", "recency"))
    assert kept.bits_per_value == pytest.approx(recent.bits_per_value, abs=0.5)
    assert kept.kl != pytest.approx(recent.kl, rel=1e-3)


def test_a_selector_that_needs_a_question_is_refused(reader):
    """An article asks nothing; its own attention would pass for the question's."""
    with pytest.raises(InvalidRequestError, match="kvwire experiment"):
        through(reader, "fp32+keep=0.25,by=question")


def test_a_run_that_is_stopped_keeps_the_codecs_it_has_measured(engine):
    """Ctrl-C may come at any time, here as the second codec's result is told."""
    specs = [CodecSpec.parse(spec) for spec in ("int8", "int4", "nf4")]
    run = Run(engine, "tiny", len(DOCUMENT.prefix), specs, budget_s=0)

    def stop_at_int4(line):
        if "int4" in line:
            raise KeyboardInterrupt

    run.measure(DOCUMENT, lambda _: None)
    with pytest.raises(KeyboardInterrupt):
        run.measure(DOCUMENT, stop_at_int4)
    assert [(row.codec, row.documents) for row in run.rows] == [("int8", 2), ("int4", 2), ("nf4", 1)]
    assert all(row.tokens == 24 and row.kl_ci95[0] <= row.kl <= row.kl_ci95[1] for row in run.rows)
    assert all(min(row.encode_gbps, row.decode_gbps, row.copy_gbps) > 0 for row in run.rows)
