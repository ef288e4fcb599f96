"""The official layout: what is damaged, foreign or hostile is refused with a clear error before memory is taken."""

import json
import pickle
import zipfile

import pytest
import torch
from safetensors.torch import save_file

from fuser.official.layout import read_official
from fuser.official.weights import read_weights
from fuser.registry import read_fuser
from kvwire.errors import BindingError, DataLossError, NotFoundError, UnsupportedError


def change_json(path, change):
    said = json.loads(path.read_text())
    change(said)
    path.write_text(json.dumps(said))


def change_tensors(path, change):
    tensors = torch.load(path, weights_only=True)
    change(tensors)
    torch.save(tensors, path)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda t: t.pop("key_in.bias"), "key_in.bias is missing"),
        (lambda t: t.update(extra=torch.zeros(1)), "extra is unexpected"),
        (lambda t: t.update({"key_in.bias": torch.zeros(3)}), "key_in.bias is no float tensor of shape"),
        (lambda t: t.update({"key_in.bias": t["key_in.bias"].half().int()}), "code|key_in.bias is no float"),
    ],
    ids=["missing", "unexpected", "another shape", "integers"],
)
def test_every_missing_or_unexpected_tensor_is_an_error(checkpoint, change, words):
    """By name."""
    change_tensors(checkpoint / "final" / "projector_1.pt", change)
    with pytest.raises(DataLossError, match=words):
        read_official(checkpoint)


@pytest.mark.parametrize("cut", [1, 100, 3000])
def test_a_truncated_file_is_refused(checkpoint, cut):
    """Wherever it was cut."""
    path = checkpoint / "final" / "projector_1.pt"
    path.write_bytes(path.read_bytes()[:-cut])
    with pytest.raises(DataLossError, match="no whole torch state dict"):
        read_official(checkpoint)


@pytest.mark.parametrize(
    "pickled",
    [
        pytest.param(b"\x80\x02.", id="nothing is there to return"),
        pytest.param(b"\x80\x02h\x05.", id="nothing was remembered"),
        pytest.param(b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n)R.", id="a call without arguments"),
        pytest.param(b"\x80\x02K\x01Q.", id="a number for a storage"),
    ],
)
def test_a_pickle_that_torch_stumbles_over_is_refused(checkpoint, pickled):
    """Torch has no error of its own for these; fuzzing found the places."""
    replace_pickle(checkpoint / "final" / "projector_1.pt", pickled)
    with pytest.raises(DataLossError, match="no whole torch state dict"):
        read_official(checkpoint)


def test_a_pickle_whose_key_would_take_for_ever_to_hash_is_refused(checkpoint):
    """A tuple of twice a tuple of twice a tuple, and so on 60 times, in a few hundred bytes."""
    twice = b"".join(b"h%ch%c\x86q%c" % (at, at, at + 1) for at in range(60))
    replace_pickle(checkpoint / "final" / "projector_1.pt", b"\x80\x02})q\0" + twice + b"Ns.")
    with pytest.raises(DataLossError, match="a tuple more than once"):
        read_official(checkpoint)


def replace_pickle(path, pickled):
    with zipfile.ZipFile(path) as archive:
        entries = {entry.filename: archive.read(entry) for entry in archive.infolist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in entries.items():
            archive.writestr(name, pickled if name.endswith("data.pkl") else data)


class Hostile:
    """Unpickling it would run code."""

    def __reduce__(self):
        return (exec, ("raise SystemExit('code ran')",))


@pytest.mark.parametrize("protocol", [2, 4])
def test_a_pickle_with_code_inside_is_refused_and_does_not_run(checkpoint, protocol):
    """Whatever the pickle's protocol; the message names what it would have called."""
    torch.save({"weights": Hostile()}, checkpoint / "final" / "projector_1.pt", pickle_protocol=protocol)
    with pytest.raises(DataLossError, match=r"holds code \((__builtin__ exec|builtins exec|STACK_GLOBAL)\)"):
        read_official(checkpoint)


def test_a_bare_pickle_is_refused_and_does_not_run(checkpoint):
    """Not even the old format of torch is read."""
    (checkpoint / "final" / "projector_1.pt").write_bytes(pickle.dumps(Hostile()))
    with pytest.raises(DataLossError, match="no whole torch state dict"):
        read_official(checkpoint)


def test_a_file_larger_than_its_projector_is_not_loaded(tmp_path, monkeypatch):
    """4 MiB where 4 bytes are announced."""
    torch.save({"x": torch.zeros(1 << 20)}, tmp_path / "big.pt")
    monkeypatch.delattr(torch, "load")
    with pytest.raises(DataLossError, match="has 1 numbers"):
        read_weights(tmp_path / "big.pt", {"x": (1,)})


def test_a_compressed_archive_is_refused(tmp_path):
    """It could unpack to anything."""
    torch.save({"x": torch.zeros(1)}, tmp_path / "plain.pt")
    with (
        zipfile.ZipFile(tmp_path / "plain.pt") as plain,
        zipfile.ZipFile(tmp_path / "bomb.pt", "w", zipfile.ZIP_DEFLATED) as bomb,
    ):
        for name in plain.namelist():
            bomb.writestr(name, plain.read(name))
    with pytest.raises(DataLossError, match="compressed"):
        read_weights(tmp_path / "bomb.pt", {"x": (1,)})


@pytest.mark.parametrize(
    ("file", "change", "error", "words"),
    [
        ("final/projector_0.json", lambda s: s["init_args"].update(num_layers=10**9), DataLossError, "no widths"),
        ("final/projector_0.json", lambda s: s["init_args"].update(num_layers=2), DataLossError, "3 to 64"),
        ("final/projector_0.json", lambda s: s["init_args"].update(hidden_dim=True), DataLossError, "no widths"),
        ("final/projector_0.json", lambda s: s["init_args"].pop("hidden_dim"), DataLossError, "hidden_dim missing"),
        (
            "final/projector_0.json",
            lambda s: s["init_args"].update(extra=1),
            DataLossError,
            "extra missing or unexpected",
        ),
        ("final/projector_0.json", lambda s: s.update({"class": "AllInOneProjector"}), UnsupportedError, "AllInOne"),
        ("final/projector_config.json", lambda s: s["0"].update({"2": {}}), DataLossError, "maps no layers of one"),
        ("final/projector_config.json", lambda s: s["0"]["1"].pop("3"), DataLossError, "projector_3.pt missing or not"),
        ("final/projector_config.json", lambda s: s["0"]["1"].update({"0": [[0, 1]]}), UnsupportedError, "several"),
        ("final/projector_config.json", lambda s: s["0"]["1"].update({"0": [[-1, 0]]}), DataLossError, "cannot be"),
        ("config.json", lambda s: s.pop("model"), DataLossError, "no model section"),
        (
            "config.json",
            lambda s: s["model"].update(is_do_alignment=True, alignment_strategy="soft"),
            UnsupportedError,
            "aligns",
        ),
    ],
)
def test_a_description_that_cannot_be_is_refused(checkpoint, file, change, error, words):
    """Every file is checked against what this build runs, and against the others."""
    change_json(checkpoint / file, change)
    with pytest.raises(error, match=words):
        read_official(checkpoint)


def test_of_several_projectors_of_a_layer_the_first_is_taken(checkpoint):
    """As the official code does without an aggregator; with one it is refused."""
    change_json(checkpoint / "final/projector_config.json", lambda s: s["0"]["1"].update({"1": [[2, 1], [0, 1]]}))
    assert read_official(checkpoint).source_layers(1) == (2,)
    (checkpoint / "final" / "aggregator_0.pt").touch()
    with pytest.raises(UnsupportedError, match="aggregator"):
        read_official(checkpoint)


def test_what_is_not_there_is_said_so(tmp_path):
    """A folder without final/, and no folder."""
    with pytest.raises(NotFoundError, match="no final/ folder"):
        read_fuser(tmp_path)
    with pytest.raises(NotFoundError, match="not there"):
        read_fuser(tmp_path / "absent")


def test_a_file_that_is_no_fuser_is_refused(tmp_path):
    """Not safetensors, or safetensors of something else."""
    (tmp_path / "noise").write_bytes(b"noise" * 100)
    with pytest.raises(DataLossError, match="no whole safetensors"):
        read_fuser(tmp_path / "noise")
    save_file({"x": torch.zeros(1)}, tmp_path / "other")
    with pytest.raises(BindingError, match="no fuser of kvwire"):
        read_fuser(tmp_path / "other")
