"""What is written is always a clean beginning of the plan."""

import json

import pytest

from experiments.ledger import Ledger
from experiments.record import failed
from kvwire.errors import InvalidRequestError, OverloadedError

KEYS = [("d", f"item {number}", arm) for number in range(3) for arm in ("a", "b")]


def line(key):
    return failed(key, "schön wär's")


def write(path, count):
    with Ledger(path, KEYS) as ledger:
        for key in KEYS[ledger.done : count]:
            ledger.append(line(key))


@pytest.mark.parametrize("cut", [1, 2, 30, 60])
def test_a_torn_last_line_is_written_again(tmp_path, cut):
    """Wherever a kill cut it, even inside of a character."""
    path, whole = tmp_path / "torn", tmp_path / "whole"
    write(whole, 6)
    write(path, 4)
    path.write_bytes(path.read_bytes()[:-cut])
    with Ledger(path, KEYS) as ledger:
        assert ledger.done == 3
    write(path, 6)
    assert path.read_bytes() == whole.read_bytes()


def test_a_whole_last_line_that_is_no_json_is_written_again(tmp_path):
    """A crash of the machine can leave zeros."""
    path = tmp_path / "lines"
    write(path, 2)
    with path.open("ab") as file:
        file.write(b"\0\0\0\n")
    with Ledger(path, KEYS) as ledger:
        assert ledger.done == 2


def test_a_broken_line_in_the_middle_is_refused(tmp_path):
    """That is no kill; nobody knows what else is wrong."""
    path = tmp_path / "lines"
    write(path, 3)
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(lines[0] + b"{\n" + lines[2])
    with pytest.raises(InvalidRequestError, match="line 2 is no record"):
        Ledger(path, KEYS)


@pytest.mark.parametrize("keys", [KEYS[1:], KEYS[:2]])
def test_lines_of_another_plan_are_refused(tmp_path, keys):
    """Another order, or more lines than planned."""
    path = tmp_path / "lines"
    write(path, 3)
    with pytest.raises(InvalidRequestError, match=r"line \d is of .* use another folder"):
        Ledger(path, keys)


def test_two_runs_never_write_to_one_file(tmp_path):
    """The second is told to wait; the first goes on."""
    with Ledger(tmp_path / "lines", KEYS), pytest.raises(OverloadedError, match="another run writes"):
        Ledger(tmp_path / "lines", KEYS)
    assert Ledger(tmp_path / "lines", KEYS).__enter__().__exit__() is None


def test_a_line_is_in_the_file_as_soon_as_it_is_appended(tmp_path):
    """No buffer that a kill could lose."""
    with Ledger(tmp_path / "lines", KEYS) as ledger:
        ledger.append(line(KEYS[0]))
        assert json.loads((tmp_path / "lines").read_text())["item"] == "item 0"
