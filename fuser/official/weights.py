"""One ``projector_<i>.pt``: a state dict as ``torch.save`` writes it, read without running or trusting anything of it.

The file is a zip: ``data.pkl`` says how tensors are built, ``data/<n>`` hold their numbers. Before a tensor is made the
archive must be whole and uncompressed, the pickle may name nothing but the functions that rebuild plain tensors, and
the numbers must take no more room than the expected shapes do.
"""

import math
import pickle
import pickletools
import struct
import zipfile
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from kvwire.errors import DataLossError

# What torch.save writes for a state dict of float tensors; anything else in the pickle is somebody's code.
_NAMES = frozenset(
    {
        "collections OrderedDict",
        "torch._utils _rebuild_tensor_v2",
        "torch._utils _rebuild_parameter",
        "torch FloatStorage",
        "torch HalfStorage",
        "torch BFloat16Storage",
    }
)
_DTYPES = (torch.float32, torch.float16, torch.bfloat16)
# Opcodes that fetch or make objects without a GLOBAL that names them; torch.save's protocol 2 has no need of them.
_REFUSED = frozenset({"STACK_GLOBAL", "INST", "OBJ", "NEWOBJ", "NEWOBJ_EX", "EXT1", "EXT2", "EXT4"})
# What remembers, and what fetches again; a tuple of tuples of ... of one tuple takes for ever where it is a key.
_PUTS, _GETS = frozenset({"BINPUT", "LONG_BINPUT", "PUT"}), frozenset({"BINGET", "LONG_BINGET", "GET"})
# How a pickle that was written by hand can end, beside what torch and zipfile say themselves.
_ENDS = (LookupError, TypeError, AttributeError, AssertionError, ArithmeticError, struct.error)
# A projector's pickle takes 6 KiB; its largest file besides data.pkl and the numbers is a version number.
_PICKLE_BYTES, _REST_BYTES = 1 << 20, 1 << 16
_WIDEST_BYTES = 4


def read_weights(path: Path, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Tensor]:
    """The tensors of ``shapes``, in the float type they were saved in.

    Raises:
        DataLossError: The file is damaged, holds code, or other tensors than these; nothing was loaded.
    """
    try:
        _check_archive(path, sum(map(math.prod, shapes.values())))
        loaded = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except (OSError, RuntimeError, ValueError, EOFError, zipfile.BadZipFile, pickle.UnpicklingError, *_ENDS) as error:
        reason = str(error).partition("\n")[0]
        raise DataLossError(f"{path} is no whole torch state dict: {reason}; fetch it again") from None
    return {name: tensor.clone() for name, tensor in _checked(path, loaded, shapes).items()}


def _check_archive(path: Path, values: int) -> None:
    with zipfile.ZipFile(path) as archive:
        entries = archive.infolist()
        if any(entry.compress_type != zipfile.ZIP_STORED or entry.file_size > path.stat().st_size for entry in entries):
            raise DataLossError(f"{path} holds compressed entries, which torch.save does not write; fetch it again")
        pickles = [entry for entry in entries if entry.filename.endswith("data.pkl")]
        if len(pickles) != 1 or pickles[0].file_size > _PICKLE_BYTES:
            raise DataLossError(f"{path} holds {len(pickles)} pickles or a huge one; torch.save writes a small one")
        numbers = sum(entry.file_size for entry in entries) - pickles[0].file_size
        if numbers > values * _WIDEST_BYTES + _REST_BYTES:
            raise DataLossError(f"{path} holds {numbers} bytes, its projector has {values} numbers of 4 at most")
        _check_pickle(path, archive.read(pickles[0]))


def _check_pickle(path: Path, data: bytes) -> None:
    top, tuples = "", set[object]()
    for opcode, argument, _ in pickletools.genops(data):
        if opcode.name in _GETS and argument in tuples:
            raise DataLossError(f"{path} uses a tuple more than once, which torch.save does not; fetch it again")
        if opcode.name not in _PUTS:
            top = opcode.name
        elif "TUPLE" in top:
            tuples.add(argument)
        if opcode.name in _REFUSED or (opcode.name == "GLOBAL" and argument not in _NAMES):
            what = argument if opcode.name == "GLOBAL" else opcode.name
            raise DataLossError(f"{path} holds code ({what}); a state dict of tensors does not, do not load it")


def _checked(path: Path, loaded: object, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Tensor]:
    if not isinstance(loaded, dict):
        raise DataLossError(f"{path} holds a {type(loaded).__name__}, not a state dict")
    problems = [f"{name} is missing" for name in shapes if name not in loaded]
    problems += [f"{name} is unexpected" for name in loaded if name not in shapes]
    for name in shapes.keys() & loaded.keys():
        tensor = loaded[name]
        if not isinstance(tensor, Tensor) or tuple(tensor.shape) != shapes[name] or tensor.dtype not in _DTYPES:
            problems.append(f"{name} is no float tensor of shape {shapes[name]}")
    if problems:
        raise DataLossError(f"{path}: {'; '.join(sorted(problems)[:8])}; it is of another architecture")
    return {name: loaded[name] for name in shapes}
