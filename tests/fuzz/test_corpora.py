"""What fuzzing has kept, and its seeds, once more: no input that ever mattered does harm again. Needs no atheris."""

import importlib
from pathlib import Path

import pytest

CORPUS = Path(__file__).parent / "corpus"


@pytest.mark.parametrize("name", ["checkpoints", "frames", "messages", "specs"])
def test_every_input_that_was_kept_ends_with_a_value_or_an_error_of_ours(name):
    """Any other exception fails, and says which input it was."""
    target = importlib.import_module(f"tests.fuzz.{name}")
    kept = {path.name: path.read_bytes() for path in sorted((CORPUS / name).iterdir())}
    assert kept
    seeds = {f"seed {at}": seed for at, seed in enumerate(target.seeds())}
    for what, data in (kept | seeds).items():
        try:
            target.run(data)
        except Exception as error:
            raise AssertionError(f"{name}: {what}") from error
