"""Steps of ``rd`` by where a token stands: near the end, or first."""

import numpy as np
import torch

from codec.calibration import Calibration, serialize
from codec.quantize.base import Context, Kind
from codec.quantize.rd import Rd, analyse
from codec.quantize.rd_maps import zone

RD = Rd(step=100)


def gaussian(shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def with_gains(tables, gains):
    """The same tables, but for the steps of zones."""
    tensors = dict(tables.tensors)
    tensors["gains"] = np.broadcast_to(np.array(gains, np.int16), tensors["gains"].shape)
    return Calibration.parse(serialize(tables.model, tables.weights, tensors), "tables with gains")


def with_sink(tables):
    """The same tables, but first tokens lie about another mean, and whatever is far from its mean travels precisely."""
    tensors = dict(tables.tensors)
    tensors["first_means"] = tensors["means"] + np.float32(1e3)
    tensors["energies"] = np.broadcast_to(np.array([0, 10, 10], np.float32), tensors["energies"].shape)
    return Calibration.parse(serialize(tables.model, tables.weights, tensors), "tables with a sink")


def test_a_zones_gain_makes_its_tokens_alone_finer(rd_tables):
    """Here of the last two tokens: eight octaves, and the others stay."""
    x = gaussian((2, 64, 64))
    errors = []
    for gains in ([0] * 11, [0, 128, 128, *[0] * 8]):
        ctx = Context(0, Kind.KEY, 2, 64, 64, torch.arange(64), with_gains(rd_tables(2, 64), gains))
        errors.append((RD.decode(RD.encode(x, ctx), ctx) - x).square().mean(dim=(0, 2)))
    assert torch.equal(errors[0][1:-2], errors[1][1:-2])
    assert (errors[1][-2:] < 1e-3 * errors[0][-2:]).all()


def test_zones_go_by_the_distance_to_the_last_kept_token(rd_tables):
    """Also where tokens were pruned, in each head others: 0, 1, 2 to 3, 4 to 7, ... before it."""
    assert [zone(before, 11) for before in (0, 1, 2, 3, 4, 7, 8, 511, 512, 10**6)] == [1, 2, 3, 3, 4, 4, 5, 10, 10, 10]
    positions = torch.tensor([[1, 5, 8, 9], [0, 3, 7, 9]])
    x, tables = gaussian((2, 4, 8)), with_gains(rd_tables(2, 8), [0, 64, *[0] * 9])
    half = analyse(x, Context(0, Kind.KEY, 2, 4, 8, positions, tables), 100)
    assert half.plan.counts[:, 3:6].sum(axis=1).tolist() == [1, 1]  # zone 1: the last alone


def test_the_first_token_is_coded_about_its_own_mean(rd_tables):
    """Far from all others, it costs as few bytes as one at the mean; elsewhere it would travel precisely."""
    tables = with_sink(rd_tables(2, 64))
    x = gaussian((2, 20, 64))
    x[:, 0] += 1e3
    sizes = []
    for positions in (torch.arange(20), torch.arange(20) + 1):
        ctx = Context(0, Kind.KEY, 2, 20, 64, positions, tables)
        plane = RD.encode(x, ctx)
        sizes.append(plane[0].nbytes)
        assert (RD.decode(plane, ctx) - x)[:, 0].abs().max() < 5
    assert sizes[0] < 0.95 * sizes[1]


def test_a_first_token_of_another_kind_is_coded_like_any_other(rd_tables):
    """A context that does not begin its sequence has no sink, and pays nothing for that."""
    tables = with_sink(rd_tables(2, 64))
    x = gaussian((2, 20, 64))
    contexts = [Context(0, Kind.KEY, 2, 20, 64, torch.arange(20) + at, tables) for at in (0, 1)]
    sizes = [RD.encode(x, ctx)[0].nbytes for ctx in contexts]
    assert abs(sizes[0] - sizes[1]) <= 8  # what says so
    assert torch.equal(*(RD.decode(RD.encode(x, ctx), ctx) for ctx in contexts))


def test_runs_are_one_per_table_and_hold_every_symbol_once(rd_tables):
    """Whatever the tokens' classes and zones."""
    tables = rd_tables(2, 33)
    x = gaussian((2, 300, 33))
    ctx = Context(0, Kind.KEY, 2, 300, 33, torch.arange(300), with_gains(tables, [0, 40, 32, 24, 16, 8, *[0] * 5]))
    half = analyse(x, ctx, 110)
    plan = half.plan
    assert len(set(plan.tables)) == len(plan.tables)
    places = [
        plan.starts[h, b, j] + i
        for h, b in np.argwhere(plan.counts > 0)
        for j in range(half.layout.maps.active[h, b])
        for i in range(plan.counts[h, b])
    ]
    assert sorted(places) == list(range(plan.symbols))
