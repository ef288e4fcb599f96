"""What a verification makes of answers, without services."""

import pytest
import torch
from safetensors.torch import save_file

from kvwire.errors import NotFoundError
from kvwire.report import Report
from kvwire.requests import Method
from kvwire.rpc.inspection import Inspected
from kvwire.verify.folders import Expected, read_folder
from kvwire.verify.run import _compared

ONES = torch.ones(1, 2, 3)


def case(name):
    return Expected(name, (1, 2), True, {0: (ONES, ONES)}, torch.ones(1, 4), ())


def answer(keys, logits):
    method = Method.FUSE
    return Inspected((0,), logits, (keys,), (ONES,), Report("id", method, method, ""))


@pytest.mark.parametrize("spoiled", ["keys", "logits"])
def test_what_is_no_number_agrees_with_nothing(spoiled):
    """In whichever case, behind others that agree."""
    good = {"keys": ONES, "logits": torch.ones(1, 4)}
    answers = [answer(**good), answer(**good | {spoiled: good[spoiled] * torch.nan})]
    assert _compared([case("one")], answers[:1]).within(1e-4)
    assert not _compared([case("one"), case("two")], answers).within(1e-4)


def test_a_folder_whose_file_holds_no_case_is_refused(tmp_path, tiny_llama):
    """Nothing that is compared is nothing that agrees."""
    for side in ("receiver", "sharer"):
        (tmp_path / "set" / side).mkdir(parents=True)
        (tmp_path / "set" / side / "config.json").write_bytes((tiny_llama / "config.json").read_bytes())
    save_file({"other": ONES}, tmp_path / "set" / "cases.safetensors")
    with pytest.raises(NotFoundError, match="holds no case"):
        read_folder(tmp_path / "set", tmp_path / "scratch")
