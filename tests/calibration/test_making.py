"""A fuser for two tiny models, from text to a trained file."""

import random
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from calibration.closed_form import closed_form, one_band, window_bands
from calibration.collect import collect
from calibration.latents import ExactLatents, LatentsOfSentCache, SentLatents, slots_of
from calibration.learn import Examples, FrozenReceiver, cut_of, own_predictions
from calibration.losses import LossName
from calibration.pieces import PIECE_CHARACTERS, pieces
from calibration.readings import load_pair
from calibration.training import Plan, Training
from codec.codec import Codec
from codec.spec import CodecSpec
from fuser.projectors import ridge_file
from fuser.registry import read_fuser
from fuser.train.loop import Schedule
from kvwire.errors import InvalidRequestError

COUNT = 10


@pytest.fixture(scope="module")
def sides(side, tiny_qwen2, tiny_gemma):
    """Sharer Qwen2, receiver Gemma: a bias on keys here, windows, two RoPE bases and BOS there."""
    return side(tiny_qwen2), side(tiny_gemma)


@pytest.fixture(scope="module")
def files(sides, readings_of):
    return readings_of(sides, COUNT)


@pytest.fixture(scope="module")
def solved(sides, files):
    return closed_form(*sides, one_band(*sides, 40), files[:-2], files[-2:])


def test_pieces_begin_with_lines_and_do_not_overlap(text):
    """Whatever their order."""
    found = pieces(text, COUNT)
    starts = sorted(text.index(piece) for piece in dict.fromkeys(found))
    assert all(len(piece) == PIECE_CHARACTERS for piece in found)
    assert all(text[start - 1] == "\n" or start == 0 for start in starts)
    with pytest.raises(InvalidRequestError, match="give more text"):
        pieces(text, 1000)


def test_what_was_read_is_not_read_again(text, sides, files, monkeypatch):
    """A run that was cut goes on behind the last whole file."""
    side, read, told = sides[1], [], []
    whole = [each for _, each in files]
    original = side.read
    monkeypatch.setattr(side, "read", lambda piece: (read.append(piece), original(piece))[1])
    whole[3].unlink()
    assert collect(side, text, COUNT, whole[0].parent, lambda *done: told.append(done)) == whole
    assert read == [pieces(text, COUNT)[3]]
    assert told[-1] == (COUNT, COUNT)


def test_a_receivers_own_cache_gives_its_own_predictions(sides, files):
    """Reading on behind a stored cache is reading the whole text."""
    _, receiver = sides
    pair, frozen = load_pair(files[0]), FrozenReceiver(receiver)
    found = frozen.hidden([frozen.own_part(pair, 40, pair.receiver.ids[40:60])])
    wanted = pair.receiver.hidden[41:61].float()
    assert (found - wanted).abs().max() < 0.05 * wanted.std()


def test_a_step_draws_the_same_examples_every_time(sides, files, solved):
    """And cuts texts where tokens of both models end."""
    training = Training(solved.fuser, *sides, files)
    examples, frozen = Examples(training.texts, batch=4, seed=3), FrozenReceiver(sides[1])
    first, again = examples.of(5), examples.of(5)
    assert [(one.cut, one.follows.tolist()) for one in first] == [(one.cut, one.follows.tolist()) for one in again]
    assert torch.equal(own_predictions(frozen, first), own_predictions(frozen, again))
    for one in first:
        sources = one.text.pair.sources
        assert sources[one.cut] > sources[one.cut - 1]


def test_the_closed_form_explains_unseen_text(solved):
    """Two random models share their tokens' identity at least; nothing at all would be 0."""
    assert solved.r2.shape == (4, 2)
    assert float(solved.r2[0].mean()) > 0.4


def test_training_lessens_what_is_lost(sides, files, solved, tmp_path):
    """The loss falls, and the file that is written is what was trained."""
    training = Training(solved.fuser, *sides, files)
    plan = Plan(Schedule(steps=30, rate=5e-3), batch=4, seed=0, loss=LossName.DISTILLATION)
    losses = [step.loss for step in training.run(plan, training.texts[:-2], tmp_path / "work", {})]
    assert sum(losses[-8:]) < 0.8 * sum(losses[:8])
    ridge_file.write(training.trained(), tmp_path / "trained.safetensors", {})
    back = read_fuser(tmp_path / "trained.safetensors")
    moved = (back.weights()["0.up"] - solved.fuser.weights()["0.up"]).abs().max()
    assert moved > 1e-3
    assert torch.equal(back.weights()["0.mean"], solved.fuser.weights()["0.mean"])


def test_without_the_sharer_only_what_needs_none_is_learned(sides, files, solved, tmp_path):
    """The mean of every output moves, no map does, and one text is worth as much as another."""
    training = Training(solved.fuser.zeroed(), *sides, files)
    plan = Plan(Schedule(steps=4, rate=5e-3), batch=4, seed=0, loss=LossName.DISTILLATION)
    list(training.run(plan, training.texts[:-2], tmp_path / "work", {}))
    before, after = solved.fuser.weights(), training.trained().weights()
    assert (after["0.bias"] - before["0.bias"]).abs().max() > 1e-4
    assert torch.allclose(after["0.up"], before["0.up"], atol=1e-6)
    assert not after["0.down"].any()
    found = training.gain(training.texts[-2:])
    assert found.projected == pytest.approx(found.wrong_projected, abs=0.05)


def test_what_comes_next_can_be_learned_instead(sides, files, solved, tmp_path):
    """By likelihood the text itself is the teacher: another loss than that of distillation, and it falls too."""
    training = Training(solved.fuser, *sides, files)
    plan = Plan(Schedule(steps=20, rate=5e-3), batch=4, seed=0, loss=LossName.LIKELIHOOD)
    losses = [step.loss for step in training.run(plan, training.texts[:-2], tmp_path / "work", {})]
    assert losses[0] > 4  # nats; two random models' predictions differ by far less
    assert sum(losses[-6:]) < sum(losses[:6]) - 6 * 0.05


def test_a_window_has_the_rank_that_both_sides_can(sides):
    """No more numbers than a layer of the receiver has, nor than come of the sharer's."""
    wide = SimpleNamespace(card=replace(sides[1].card, kv_heads=3))
    assert {band.rank for band in window_bands(sides[0], wide, 1)} == {64}
    assert {band.rank for band in window_bands(sides[0], wide, 2)} == {96}


def test_windows_make_a_file_that_is_read_again(sides, files, tmp_path):
    """Each layer of the receiver from its own layers of the sharer."""
    bands = window_bands(*sides, 1)
    solved = closed_form(*sides, bands, files[:-2], files[-2:])
    ridge_file.write(solved.fuser, tmp_path / "windows.safetensors", {})
    assert read_fuser(tmp_path / "windows.safetensors").source_layers(2) == (2,)


def test_a_size_that_holds_nothing_is_refused(sides):
    """With the least that would do."""
    with pytest.raises(InvalidRequestError, match="MB at least"):
        one_band(*sides, 0.001)


def test_latents_of_a_cache_behind_an_exact_codec_are_the_exact_ones(sides, files, solved):
    """fp32 changes nothing but what 16 bits of the store had rounded."""
    pair, codec = load_pair(files[0]), Codec(CodecSpec.parse("fp32"), sides[0].ropes)
    exact = ExactLatents(solved.fuser, sides[0], pair)(30)
    coded = LatentsOfSentCache(solved.fuser, sides[0], pair, codec)(30)
    assert exact.slots is None
    assert coded.slots is None
    assert (exact.numbers - coded.numbers).abs().max() < 2e-2


def test_latents_behind_a_codec_are_rounded_and_pruned(sides, files, solved):
    """fp32 changes nothing, in either phase; nf4 some; a token that is not kept has no row."""
    exact = ExactLatents(solved.fuser, sides[0], load_pair(files[0]))
    wanted = exact(20).numbers
    same, unturned, rounded, pruned = (
        SentLatents(exact, Codec(CodecSpec.parse(f"{spec}+of=latents"), sides[0].ropes))(20)
        for spec in ("fp32", "fp32+rope=pre", "nf4", "fp32+keep=0.5,by=recency")
    )
    assert torch.equal(same.numbers, wanted)
    assert torch.equal(unturned.numbers, wanted)
    assert 0 < (rounded.numbers - wanted).abs().max() < 0.2 * wanted.abs().max()
    assert pruned.slots.tolist() == list(range(10, 20))
    assert torch.equal(pruned.numbers, wanted[10:])


def test_training_behind_a_codec_sees_what_it_delivers(sides, files, solved, tmp_path):
    """Pruned tokens have no slots; coarse numbers make another loss than exact ones."""
    coarse = Codec(CodecSpec.parse("int4+keep=0.5,by=front"), sides[0].ropes)
    rows = LatentsOfSentCache(solved.fuser, sides[0], load_pair(files[0]), coarse)(21)
    assert rows.slots.tolist() == list(range(11))
    slots, at = slots_of(rows, torch.tensor([0, 0, 10, 11, 20]))
    assert (slots.tolist(), at.tolist()) == ([0, 1, 2], [0, 0, 10])
    plan = Plan(Schedule(steps=2, rate=1e-3), batch=4, seed=0, loss=LossName.DISTILLATION)
    found = []
    for name, codec in (("coarse", coarse), ("exact", None)):
        training = Training(solved.fuser, *sides, files, codec)
        found.append(next(training.run(plan, training.texts, tmp_path / name, {})).loss)
    assert found[0] > 1.05 * found[1]


def test_a_cut_leaves_room_for_what_follows(files):
    """However it is drawn."""
    pair = load_pair(files[1])
    cuts = [cut_of(pair, random.Random(seed)) for seed in range(200)]  # noqa: S311  # no secret
    assert min(cuts) >= 1
    assert max(cuts) + 64 < len(pair.receiver.ids)
    assert min(cuts) < 20 < max(cuts)
