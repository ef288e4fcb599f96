"""What others build on is written down in public_api.txt, name by name: no change of it goes unnoticed."""

import enum
import importlib
import inspect
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

PUBLIC = ("kvwire", "codec", "fuser", "loadtest")
SHIPPED = (
    *PUBLIC,
    *("bench", "calibration", "experiments", "simulation"),
    *("http_service", "receiver_service", "serving", "sharer_service"),
)
WRITTEN = Path(__file__).with_name("public_api.txt")
ACCEPT = "python -m tests.test_public_api > tests/public_api.txt"


def surface() -> str:
    """One line for each public name, and for each member of a public class."""
    modules = [importlib.import_module(name) for name in PUBLIC]
    return "".join(f"{line}\n" for module in modules for line in of_module(module))


def of_module(module: ModuleType) -> Iterator[str]:
    for name in sorted(module.__all__):
        yield from described(f"{module.__name__}.{name}", getattr(module, name))


def described(name: str, value: object) -> Iterator[str]:
    if isinstance(value, ModuleType):
        yield from of_module(value)
    elif isinstance(value, enum.EnumType):
        yield f"{name} = {' | '.join(repr(member.value) for member in value)}"
    elif inspect.isclass(value):
        yield from of_class(name, value)
    elif inspect.isfunction(value):
        yield f"{name}{signature(value)}"
    elif isinstance(value, dict):
        yield f"{name}: {', '.join(value)}"
    else:
        yield f"{name} = {short(str(value))}"


def of_class(name: str, cls: type) -> Iterator[str]:
    bases = ", ".join(base.__name__ for base in cls.__bases__ if base is not object)
    made = "" if issubclass(cls, Exception) or inspect.isabstract(cls) else signature(cls)
    yield f"{name}{made}" + (f": {bases}" if bases else "")
    fields = set(inspect.signature(cls).parameters) if made else set()
    for member, value in inspect.getmembers_static(cls):
        if member.startswith("_") or member in fields or not ours(cls, member):
            continue
        if isinstance(value, property):
            yield f"{name}.{member} -> {signature(value.fget).split(' -> ')[1]}"
        elif callable(value) or isinstance(value, classmethod | staticmethod):
            yield f"{waits(value)}{name}.{member}{signature(getattr(cls, member))}"
        else:
            yield f"{name}.{member}" + (f" = {value!r}" if isinstance(value, str | bool | bytes) else "")


def waits(function: object) -> str:
    return "async " if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function) else ""


def ours(cls: type, member: str) -> bool:
    """Whether a member comes from this project, and not with every exception, tuple or enumeration."""
    [home, *_] = [base for base in cls.__mro__ if member in vars(base)]
    return home.__module__.split(".")[0] in PUBLIC


def signature(made: object) -> str:
    return short(str(inspect.signature(made, eval_str=True)))


def short(text: str) -> str:
    """Without the modules where names live, which are nobody's business, and without addresses in memory."""
    return re.sub(r"\b(?:[a-z_]\w*\.)+(?=[A-Z])| at 0x[0-9a-f]+", "", text)


def test_the_public_names_and_signatures_are_those_written_down():
    """Adding is a minor version; changing or removing comes after a deprecation (docs/api.md)."""
    found, written = surface().splitlines(), WRITTEN.read_text().splitlines()
    gone, new = sorted(set(written) - set(found)), sorted(set(found) - set(written))
    assert found == written, f"gone: {gone}\nnew: {new}\nif that is meant: {ACCEPT}, and say it in CHANGELOG.md"


@pytest.mark.parametrize("package", ["kvwire", "loadtest"])
def test_importing_a_client_package_loads_no_heavy_library(package):
    """Names are loaded when they are first used."""
    code = f"import sys, {package}; print(*{{'torch', 'grpc', 'pydantic', 'numpy'}} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


@pytest.mark.parametrize("package", SHIPPED)
def test_a_package_says_that_it_is_typed(package):
    """Type checkers of other projects look for this file."""
    assert (Path(importlib.import_module(package).__file__).parent / "py.typed").is_file()


if __name__ == "__main__":
    sys.stdout.write(surface())
