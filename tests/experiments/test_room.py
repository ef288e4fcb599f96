"""How many actors fit on the machines of a Ray."""

import pytest

from experiments.engines.room import room


@pytest.mark.parametrize(
    ("machine", "cpus", "gpus", "fit"),
    [
        ({"CPU": 5.0}, 2, 0, 2),
        ({"CPU": 5.0}, 2, 0.5, 0),
        ({"CPU": 16.0, "GPU": 1.0}, 1, 0.1, 10),
        ({"CPU": 16.0, "GPU": 2.0}, 1, 0.6, 2),
        ({"CPU": 3.0, "GPU": 2.0}, 1, 0.5, 3),
    ],
)
def test_room_is_counted_by_whole_cores_and_parts_of_one_gpu(machine, cpus, gpus, fit):
    """Ten tenths of a GPU are one, two rests of 0.4 are no place for 0.6."""
    assert room(machine, cpus, gpus) == fit
