"""Training goes on where it was cut, and ends as if it had not been."""

from itertools import islice

import pytest
import torch
from torch import nn

from fuser.train.loop import Schedule, losses, train
from kvwire.errors import InvalidRequestError

SCHEDULE = Schedule(steps=60, rate=0.05)
ABOUT = {"from": "nothing", "seed": 0}


def module():
    torch.manual_seed(0)
    return nn.Linear(4, 3)


def loss(linear, step):
    """A step's examples follow from the step alone."""
    x = torch.randn(8, 4, generator=torch.Generator().manual_seed(step))
    return (linear(x) - x[:, :3] * 2).square().mean()


def test_the_loss_falls_and_every_step_is_kept(tmp_path):
    """With its rate and the time it took."""
    taken = list(train(module(), loss, SCHEDULE, tmp_path, ABOUT))
    assert [each.step for each in taken] == list(range(60))
    assert taken[-1].loss < 0.3 * taken[0].loss
    assert [each.loss for each in losses(tmp_path)] == pytest.approx([each.loss for each in taken])


def test_a_training_that_was_cut_ends_as_one_that_was_not(tmp_path):
    """Killed between two checkpoints, and again in the middle of writing one."""
    whole, cut = module(), module()
    list(train(whole, loss, SCHEDULE, tmp_path / "whole", ABOUT))
    list(islice(train(cut, loss, SCHEDULE, tmp_path / "cut", ABOUT), 33))
    (tmp_path / "cut" / "draft").mkdir()
    (tmp_path / "cut" / "draft" / "losses.csv").write_text("half a l")
    again = module()
    rest = list(train(again, loss, SCHEDULE, tmp_path / "cut", ABOUT))
    assert rest[0].step == 25
    assert torch.equal(again.weight, whole.weight)
    assert torch.equal(again.bias, whole.bias)
    assert len(losses(tmp_path / "cut")) == 60


def test_a_finished_training_takes_no_more_steps(tmp_path):
    """And gives the module as trained."""
    trained, other = module(), module()
    list(train(trained, loss, SCHEDULE, tmp_path, ABOUT))
    assert list(train(other, loss, SCHEDULE, tmp_path, ABOUT)) == []
    assert torch.equal(other.weight, trained.weight)


def test_a_folder_of_another_training_is_refused(tmp_path):
    """Its checkpoints are not taken for this one's."""
    next(train(module(), loss, SCHEDULE, tmp_path, ABOUT))
    with pytest.raises(InvalidRequestError, match="another training"):
        next(train(module(), loss, SCHEDULE, tmp_path, ABOUT | {"seed": 1}))
