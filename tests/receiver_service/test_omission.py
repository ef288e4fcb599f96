"""The receiver leaves out what its fuser does not take, and nothing else."""

from types import SimpleNamespace

import pytest

from codec.quantize.base import Kind
from codec.rope import RopeTable
from codec.spec import CodecSpec
from kvwire.errors import BindingError, SpecError
from receiver_service.incoming import resolved
from receiver_service.omission import omitted_values, without_unused


class Takes:
    """A fuser that takes some halves of some layers."""

    def __init__(self, keys, values):
        self._taken = {Kind.KEY: keys, Kind.VALUE: values}

    def halves(self, layer):
        return frozenset(kind for kind, layers in self._taken.items() if layer in layers)


def test_runs_of_layers_whose_half_nobody_takes_are_left_out():
    """Keys of layers 1, 2 and 5, values of layer 4; layer 3 is not sent at all."""
    fuser = Takes(keys={0, 4, 6}, values={0, 1, 2, 5, 6})
    found = without_unused(CodecSpec.parse("int8+keep=0.5"), fuser, (0, 1, 2, 4, 5, 6))
    assert str(found) == "int8+keep=0.5+mix=kL1-2@omit/kL5-5@omit/vL4-4@omit"


@pytest.mark.parametrize("spec", ["int8", "fp16+mix=k@int8"])
def test_a_spec_stays_if_all_is_taken_or_it_mixes_bases(spec):
    """Parts of a mix may not overlap."""
    taken = {0, 1} if spec == "int8" else {0}
    assert without_unused(CodecSpec.parse(spec), Takes(taken, {0, 1}), (0, 1)) == CodecSpec.parse(spec)


def test_a_request_cannot_leave_out_what_is_needed():
    """Zeros would be taken for keys."""
    with pytest.raises(SpecError, match=r"^codec spec 'fp16\+mix=k@omit': what nobody takes is left out by itself"):
        without_unused(CodecSpec.parse("fp16+mix=k@omit"), Takes({0}, {0}), (0,))


def test_a_policy_leaves_nothing_out_by_itself():
    """A sharer that did would have the receiver read zeros for keys that it needs."""
    asked, header = CodecSpec.parse("fp16"), SimpleNamespace(codec="int8+mix=kL0-3@omit")
    with pytest.raises(BindingError, match="has not the options of 'fp16'"):
        resolved(asked, header, RopeTable(()))


def test_numbers_that_are_left_out_are_counted_by_half_and_layer():
    """Keys of layers 1 and 2, values of 3 and 4, of those that come; what is coded otherwise is there."""
    header = SimpleNamespace(kv_heads=2, source_tokens=5, head_dim=3, expected_layers=(0, 1, 2, 4))
    header.codec = "int8+mix=kL0-0@fp16/kL1-2@omit/vL3-4@omit"
    assert omitted_values(header) == 3 * 2 * 5 * 3
