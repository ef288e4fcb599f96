"""A C2C fuser for two tiny models of one tokenizer, from nothing to a trained file."""

from dataclasses import replace
from itertools import islice

import pytest
import torch

from calibration.learn import FrozenReceiver
from calibration.learn_fuse import fused, fused_text, fused_texts
from calibration.losses import LossName
from calibration.readings import TextReader, load
from calibration.training import Plan
from calibration.training_fuse import FuseTraining
from codec.codec import Codec
from codec.spec import CodecSpec
from fuser.registry import read_fuser
from fuser.train.fresh import fresh
from fuser.train.loop import Schedule
from kvwire.errors import BindingError, InvalidRequestError

COUNT = 8


@pytest.fixture(scope="module")
def sides(side, other_llama, tiny_llama):
    """Two Llamas of different sizes, one tokenizer."""
    return side(other_llama), side(tiny_llama)


@pytest.fixture(scope="module")
def files(sides, readings_of):
    return readings_of(sides, COUNT)


@pytest.fixture
def untrained(sides):
    return fresh(*(side.card for side in sides), 32, 32, 3, "last_aligned", 0)


def plan(loss, steps=30, rate=1e-2):
    return Plan(Schedule(steps, rate), batch=2, seed=0, loss=loss)


def test_a_stored_beginning_is_the_cache_that_a_model_makes_of_it(sides, files):
    """Opening and all, keys after RoPE, but for what 16 bits of the store had rounded."""
    receiver, reading = sides[1], load(files[0][1])
    cache = receiver.engine.new_cache()
    receiver.engine.read([*receiver.opening, *reading.ids[:20].tolist()], cache, 0)
    for kv in receiver.beginning(reading, 20):
        keys, values = cache.layer(kv.layer)
        assert (kv.keys - keys).abs().max() < 2e-2
        assert (kv.values - values).abs().max() < 2e-2


def test_behind_closed_gates_the_receiver_predicts_what_it_does_by_itself(sides, files, untrained):
    """Reading on behind the fused cache is reading the whole text; positions and all."""
    text = fused_text(files[0])
    layers = fused(untrained, sides[0].beginning(text.sharer, text.cut), sides[1].beginning(text.receiver, text.cut))
    frozen = FrozenReceiver(sides[1])
    with torch.no_grad():
        found = frozen.hidden([frozen.behind(layers, text.follows)])
    wanted = text.receiver.hidden[text.cut + 1 : text.cut + 65].float()
    assert (found - wanted).abs().max() < 0.05 * wanted.std()


def test_a_step_shows_the_same_texts_every_time(files):
    """Cut elsewhere than at another step; what comes next follows what is read."""
    first, again, later = (fused_texts(files, batch=4, seed=3, step=step) for step in (5, 5, 7))
    assert [one.cut for one in first] == [one.cut for one in again] != [one.cut for one in later]
    for one in first:
        assert torch.equal(one.follows[1:], one.nexts[:-1])
        assert len(one.nexts) == 64


@pytest.mark.parametrize("loss", LossName)
def test_training_lessens_what_is_lost_and_its_file_fuses_with_hard_gates(sides, files, untrained, loss, tmp_path):
    """The receiver comes to predict what the sharer does, or the text; gates are open by the sign of their logits."""
    training = FuseTraining(untrained, *sides, files)
    taken = [each.loss for each in training.run(plan(loss), training.texts[:-2], tmp_path / "work", {})]
    assert sum(taken[-8:]) < sum(taken[:8]) - 8 * 0.1  # nats, of which it takes 0.2 and more from each
    training.write(tmp_path / "trained.safetensors", {"how": "a test"})
    back = read_fuser(tmp_path / "trained.safetensors")
    back.check(sides[0].card, sides[1].card)
    text = fused_text(files[-1])
    caches = sides[0].beginning(text.sharer, text.cut), sides[1].beginning(text.receiver, text.cut)
    now, written = fused(training.trained(), *caches), fused(back, *caches)
    changed = 0
    for own, one, other in zip(caches[1], now, written, strict=True):
        projector = back.projectors[own.layer]
        for half, before, mine, theirs in zip(("key", "value"), (own.keys, own.values), one, other, strict=True):
            assert torch.equal(mine, theirs)
            changed += (is_open := bool(projector.weights[f"{half}_gate_logit"] > 0))
            assert torch.equal(before, mine) != is_open
    assert changed > 0


def test_what_it_is_worth_is_told_by_what_follows_unseen_text(sides, files, untrained, tmp_path):
    """With its own cache nothing is gained; trained, its gates are counted and the controls stand beside it."""
    training = FuseTraining(untrained, *sides, files)
    before = training.gain(files[-2:])
    list(training.run(plan(LossName.LIKELIHOOD, steps=20), files[:-2], tmp_path, {}))
    after = training.gain(files[-2:])
    assert before.own == before.fused == before.wrong_fused == after.own
    assert before.open_keys == before.open_values == 0 < after.open_keys + after.open_values
    assert after.fused != after.wrong_fused
    assert before.sharer == pytest.approx(float(torch.tensor(512.0).log()), rel=0.5)


def test_a_training_that_was_cut_ends_as_one_that_was_not(sides, files, untrained, tmp_path):
    """Texts, cuts, gates and their temperature follow from the step alone."""
    steps = plan(LossName.LIKELIHOOD, steps=27)
    whole, cut, again = (FuseTraining(untrained, *sides, files) for _ in range(3))
    list(whole.run(steps, files, tmp_path / "whole", {}))
    list(islice(cut.run(steps, files, tmp_path / "cut", {}), 26))
    assert [each.step for each in again.run(steps, files, tmp_path / "cut", {})] == [25, 26]
    ended, wanted = (training.trained().weights() for training in (again, whole))
    assert all(torch.equal(ended[name], wanted[name]) for name in wanted)


def test_training_in_bfloat16_loses_about_the_same(side, sides, files, untrained, tiny_llama, tmp_path):
    """The receiver and the fuser's products are rounded; weights and the file stay float32."""
    exact, rounded = (
        FuseTraining(untrained, *sides, files),
        FuseTraining(untrained, *sides, files, None, side(tiny_llama, torch.bfloat16)),
    )
    steps = plan(LossName.LIKELIHOOD, steps=1)
    (one,), (other,) = (
        list(training.run(steps, files, tmp_path / str(at), {})) for at, training in enumerate((exact, rounded))
    )
    assert other.loss == pytest.approx(one.loss, rel=0.03)
    assert other.loss != one.loss
    assert {tensor.dtype for tensor in rounded.trained().weights().values()} == {torch.float32}


def test_training_behind_a_codec_sees_what_it_delivers(sides, files, untrained, tmp_path):
    """Exact numbers in another phase change nothing; pruned and coarse ones make another loss."""
    found = {}
    for spec in ("", "fp32+rope=pre", "int4+keep=0.5,by=recency"):
        codec = Codec(CodecSpec.parse(spec), sides[0].ropes) if spec else None
        training = FuseTraining(untrained, *sides, files, codec)
        found[spec] = next(training.run(plan(LossName.LIKELIHOOD), files, tmp_path / spec, {})).loss
    assert found["fp32+rope=pre"] == pytest.approx(found[""], rel=1e-4)
    assert abs(found["int4+keep=0.5,by=recency"] / found[""] - 1) > 1e-3


def test_training_without_the_sharer_hears_nothing_of_it(sides, files, untrained, tmp_path):
    """Its loss is that of a sharer of zeros, and no weight on what the sharer says is moved."""
    heard, alone = (FuseTraining(untrained, *sides, files, without_sharer=without) for without in (False, True))
    steps = plan(LossName.LIKELIHOOD, steps=3)
    losses = [
        [each.loss for each in training.run(steps, files, tmp_path / str(at), {})]
        for at, training in enumerate((heard, alone))
    ]
    assert losses[0] != losses[1]
    says = sides[0].card.kv_heads * sides[0].card.head_dim
    for training, moved in ((heard, True), (alone, False)):
        weights = training.trained().weights()
        before = {name: untrained.weights()[name] for name in weights if name.endswith("_in.weight")}
        assert any(not torch.equal(weights[name][:, :says], before[name][:, :says]) for name in before) == moved
        assert any(not torch.equal(weights[name][:, says:], before[name][:, says:]) for name in before)


def test_what_cannot_be_trained_is_refused_before_anything_is_read(side, sides, untrained, tiny_gemma):
    """Another tokenizer, predictions of another size to learn from, latents that C2C does not have."""
    sharer, receiver = sides
    with pytest.raises(BindingError, match="another tokenizer"):
        FuseTraining.check(untrained, side(tiny_gemma), receiver, LossName.LIKELIHOOD, None)
    wider = side_of(sharer, vocabulary=600)
    FuseTraining.check(untrained, wider, receiver, LossName.LIKELIHOOD, None)
    with pytest.raises(BindingError, match=r"600 tokens, the receiver 512.*--loss likelihood"):
        FuseTraining.check(untrained, wider, receiver, LossName.DISTILLATION, None)
    latents = Codec(CodecSpec.parse("fp32+of=latents"))
    with pytest.raises(InvalidRequestError, match="no latents"):
        FuseTraining.check(untrained, sharer, receiver, None, latents)


def side_of(reader, **changes):
    """A reader's card with something else in it."""
    other = object.__new__(TextReader)
    other.card = replace(reader.card, **changes)
    return other
