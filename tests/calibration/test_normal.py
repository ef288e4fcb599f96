"""Normal equations find the linear map that is there, and the best one of a lower rank."""

import torch

from calibration.normal import Block, add_up, solve
from fuser.projectors.ridge import Band

LAYERS, WIDTH, TARGETS, OUTPUTS = 3, 8, 2, 6


def random(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def blocks(y_of, tokens=600):
    """Texts of correlated features that lie far from zero."""
    mix, far = random(24, 24, seed=1), 300 + 50 * random(24, seed=2)
    for seed in range(3):
        x = random(tokens, 24, seed=10 + seed) @ mix + far
        yield Block(x, y_of(x - far))


def solved(y_of, band, ridge=1e-6):
    sums = add_up(blocks(y_of), LAYERS * WIDTH, TARGETS * OUTPUTS)
    found = solve(sums, band, WIDTH, OUTPUTS, ridge)

    def predict(x):
        return ((x - found.mean) / found.spread) @ found.down.T @ found.up.T + found.bias

    return predict


def test_a_linear_map_of_few_numbers_is_found():
    """Through as many numbers as it has, from features far from zero."""
    form = random(12, 4, seed=3) @ random(4, 24, seed=4)
    predict = solved(lambda x: x @ form.T + 5, Band((0, 1, 2), (0, 1), 4))
    for block in blocks(lambda x: x @ form.T + 5):
        assert (predict(block.x) - block.y).abs().max() < 2e-2 * block.y.std()


def test_a_lower_rank_explains_most_of_what_it_can():
    """As much as the leading directions of what full rank predicts, each output in units of its spread."""
    form = random(12, 24, seed=5)
    low, full = (solved(lambda x: x @ form.T, Band((0, 1, 2), (0, 1), rank)) for rank in (3, 12))
    x = torch.cat([block.x for block in blocks(lambda x: x)])
    wanted = full(x)
    normal = (wanted - wanted.mean(0)) / wanted.std(0)
    singular = torch.linalg.svdvals(normal).square()
    best = float(singular[3:].sum() / singular.sum())
    missed = float(((low(x) - wanted) / wanted.std(0)).square().sum() / normal.square().sum())
    assert abs(missed - best) < 1e-3


def test_a_window_sees_its_own_layers_only():
    """And gives its own targets only: what other layers say does not help it."""
    predict = solved(lambda x: torch.cat([x[:, 16:22], x[:, :6]], 1), Band((2,), (0,), 6))
    for block in blocks(lambda x: torch.cat([x[:, 16:22], x[:, :6]], 1)):
        assert (predict(block.x[:, 16:]) - block.y[:, :6]).abs().max() < 1e-1
