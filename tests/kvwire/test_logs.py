"""What a log tells of an exception that nobody expected."""

import io
import json
import logging

import pytest

from kvwire import logs

MARKER = "Bartholomew"


def quoting(text):
    """Fail as a library does, which repeats what it was given."""
    try:
        return {}[text]
    except KeyError as error:
        raise RuntimeError(f"no template for {text}") from error


@pytest.mark.parametrize("form", ["text", "json"])
def test_an_exception_is_told_by_type_and_place_without_its_words(form, monkeypatch):
    """Whatever a library wrote into it: its words may be those of a prompt."""
    written = io.StringIO()
    monkeypatch.setattr(logging.root, "handlers", [])
    monkeypatch.setattr("sys.stderr", written)
    logs.setup_logging("sharer", "debug", form)
    try:
        quoting(MARKER)
    except RuntimeError:
        logging.getLogger("a.library").exception("unexpected error in Share")
    said = written.getvalue()
    assert MARKER not in said
    assert all(each in said for each in ("RuntimeError", "KeyError", "test_logs.py", "unexpected error in Share"))
    assert form == "text" or json.loads(said)["exception"].startswith("  File")
