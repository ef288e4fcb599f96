"""Time is divided over datasets, and what one cannot use goes to the others."""

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from experiments.plan import plan_of
from experiments.questions.load import load_questions
from experiments.recipe import load_recipe
from experiments.resolution import of_answers, of_choices, of_text
from experiments.schedule import Schedule, read_schedule, resolution
from experiments.sizes import LEAST_ITEMS, Cost, divided
from kvwire.errors import InvalidRequestError

costs = st.lists(
    st.builds(Cost, st.floats(0.1, 60), st.floats(0.05, 30), st.integers(0, 5), st.integers(1, 500)),
    min_size=1,
    max_size=8,
)


@given(costs, st.floats(1, 10_000))
def test_what_is_planned_fits_unless_the_least_does_not(found, seconds):
    """No dataset has more than its items, none fewer than the least."""
    sizes = divided(found, seconds)
    least = [min(LEAST_ITEMS, cost.most_items) for cost in found]
    assert all(low <= size <= cost.most_items for low, size, cost in zip(least, sizes, found, strict=True))
    taken = sum(cost.seconds(size) for cost, size in zip(found, sizes, strict=True))
    floor = sum(cost.seconds(low) for cost, low in zip(found, least, strict=True))
    assert taken <= max(seconds, floor) + sum(cost.seconds(low) for cost, low in zip(found, least, strict=True))


def test_what_takes_four_times_as_long_is_asked_half_as_often():
    """And what one cannot use goes to the other."""
    dear, cheap = Cost(4, 4, 0, 1000), Cost(1, 1, 0, 1000)
    assert divided([dear, cheap], 600) == [100, 200]
    assert divided([dear, replace(cheap, most_items=40)], 600) == [140, 40]


def test_timed_items_cost_what_they_cost_alone():
    """Two at four seconds, then one each."""
    cost = Cost(4, 1, 2, 100)
    assert (cost.seconds(1), cost.seconds(2), cost.seconds(5)) == (4, 8, 11)
    assert divided([cost], 11) == [5]


def test_with_endless_time_every_item_is_asked():
    """As preset full does."""
    assert divided([Cost(1, 1, 5, 60), Cost(9, 9, 5, 500)], float("inf")) == [60, 500]


@pytest.mark.parametrize("seconds", [60, float("inf")])
def test_where_every_recipe_is_left_out_there_is_nothing_to_divide(seconds):
    """Too little time to make what any of them needs."""
    assert divided([], seconds) == []


def test_more_items_show_smaller_differences():
    """By the square root; McNemar's test has a floor of six items."""
    assert of_choices(400).kl == pytest.approx(of_choices(100).kl / 2)
    assert of_text(400, net_gain=True).net_gain == pytest.approx(of_text(100, net_gain=True).net_gain / 2)
    assert of_text(60, net_gain=False).net_gain is None
    assert of_text(60, net_gain=False).accuracy is None
    assert of_answers(20).accuracy == pytest.approx(6 / 20)
    assert of_answers(3).accuracy == 1
    assert str(of_text(60, net_gain=True)) == "KL 12%, net gain 4%"


@pytest.fixture
def plan(tmp_path):
    """Two ways of asking four questions."""
    path = tmp_path / "r.yaml"
    letters = "{name: pocket, label: letters, limit: 4, scoring: letter}"
    path.write_text(f"title: t\ncodecs: [int8]\ntimed: 1\ndatasets:\n  - {{name: pocket, limit: 4}}\n  - {letters}\n")
    named = load_recipe(str(path))
    return plan_of(named, load_questions(named, None, None))


def test_a_schedule_is_settled_once_and_read_back(plan, tmp_path):
    """It cuts the plan; what was written is what is read."""
    schedule = read_schedule(tmp_path / "schedule.json", "local", 5)
    schedule.speeds["r"] = {"pocket": (2.0, 1.0), "letters": (10.0, 10.0)}
    schedule.settle([plan], 28)
    assert schedule.sizes == {"r": {"pocket": 4, "letters": 2}}
    assert [len(block.questions) for block in schedule.cut(plan).blocks] == [4, 2]
    assert schedule.seconds(plan) == 5 + 20
    schedule.write(tmp_path / "schedule.json")
    assert vars(read_schedule(tmp_path / "schedule.json", "local", 5)) == json.loads(json.dumps(vars(schedule)))


@pytest.mark.parametrize(("preset", "minutes"), [("full", 5), ("local", 6)])
def test_a_folder_of_another_preset_or_time_is_refused(tmp_path, preset, minutes):
    """Its sizes were settled for something else."""
    Schedule("local", 5).write(tmp_path / "schedule.json")
    with pytest.raises(InvalidRequestError, match="holds preset local of 5 minutes"):
        read_schedule(tmp_path / "schedule.json", preset, minutes)


def test_what_is_no_schedule_is_refused(tmp_path):
    """Not overwritten."""
    (tmp_path / "schedule.json").write_text("[1]")
    with pytest.raises(InvalidRequestError, match="is no schedule"):
        read_schedule(tmp_path / "schedule.json", "local", 5)


def test_what_a_dataset_can_show_depends_on_how_it_is_answered(plan):
    """Likelihoods have a KL, letters are right or wrong."""
    scored, written = (resolution(block, 100) for block in plan.blocks)
    assert scored.kl is not None
    assert written == of_answers(100)
