"""The file of callers: what is read, what is refused, and that no token is repeated."""

from datetime import UTC, datetime
from typing import get_args

import pytest

from kvwire.callers.caller import Allowance, Call, Caller
from kvwire.callers.file import read_callers, sha256
from kvwire.errors import StartError
from kvwire.security import read_token
from kvwire.v1 import model_service_pb2, receiver_service_pb2, sharer_service_pb2

DIGEST = sha256("open sesame").hex()


def written(folder, text, name="callers.toml"):
    (folder / name).write_text(text)
    return folder / name


def test_a_bare_token_is_one_caller_who_may_do_everything(tmp_path):
    """As before there were several."""
    [caller] = read_callers(written(tmp_path, "open sesame\n", "token"))
    assert caller == Caller(token_sha256=sha256("open sesame"))
    assert (caller.name, caller.calls, caller.allowance) == ("", None, Allowance())


def test_a_table_is_a_caller(tmp_path):
    """With all it may have, and with no more than it needs."""
    text = f"""
    [mia]
    token_sha256 = "{DIGEST}"
    certificate = "mia.example"
    expires = 2027-01-31T12:00:00+01:00
    calls = ["Describe", "Generate"]
    max_request_bytes = 65536
    max_new_tokens = 256
    max_in_flight = 4
    requests_per_second = 2
    burst = 10
    requests_per_day = 10000

    [tom]
    token = "open barley"
    """
    mia, tom = read_callers(written(tmp_path, text))
    assert mia == Caller(
        "mia",
        bytes.fromhex(DIGEST),
        "mia.example",
        datetime(2027, 1, 31, 11, tzinfo=UTC),
        frozenset({"Describe", "Generate"}),
        Allowance(65536, 256, 4, 2.0, 10, 10000),
    )
    assert tom == Caller("tom", sha256("open barley"))


def test_a_time_without_a_zone_is_in_utc(tmp_path):
    """Not in whatever zone the machine is in."""
    [caller] = read_callers(written(tmp_path, '[mia]\ntoken = "secret"\nexpires = 2027-01-31T12:00:00\n'))
    assert caller.expires == datetime(2027, 1, 31, 12, tzinfo=UTC)


WRONG = {
    "nobody": ("", "names nobody"),
    "not TOML": ('[mia\ntoken = "secret"', "not TOML"),
    "nothing to know them by": ("[mia]\nburst = 3", "neither a token_sha256 nor a certificate"),
    "an empty token": ('[mia]\ntoken = ""', "mia.token"),
    "two tokens": (f'[mia]\ntoken = "secret"\ntoken_sha256 = "{DIGEST}"', "keep the latter"),
    "no digest": ('[mia]\ntoken_sha256 = "secret"', "mia.token_sha256"),
    "an unknown call": ('[mia]\ntoken = "secret"\ncalls = ["Genrate"]', "'Generate'"),
    "a misspelt limit": ('[mia]\ntoken = "secret"\nmax_inflight = 3', "mia.max_inflight"),
    "a limit below zero": ('[mia]\ntoken = "secret"\nburst = -1', "mia.burst"),
    "a name with a space": ('["mia m"]\ntoken = "secret"', "mia m"),
    "the same token twice": ('[mia]\ntoken = "secret"\n[tom]\ntoken = "secret"', "mia and tom"),
    "the same certificate twice": ('[mia]\ncertificate = "m"\n[tom]\ncertificate = "m"', "mia and tom"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_file_that_cannot_be_meant_is_refused_without_repeating_a_token(tmp_path, name):
    """The message says which caller, and what about it."""
    text, words = WRONG[name]
    with pytest.raises(StartError) as caught:
        read_callers(written(tmp_path, text))
    assert words in str(caught.value)
    assert "secret" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_a_file_of_callers_is_no_token_to_send(tmp_path):
    """A client that is pointed at one says so and sends nothing of it."""
    path = written(tmp_path, f'[mia]\ntoken_sha256 = "{DIGEST}"\n')
    with pytest.raises(StartError, match="several lines"):
        read_token(path)


def test_a_token_that_no_call_can_carry_is_refused(tmp_path):
    """Nobody could ever show it."""
    path = tmp_path / "token"
    path.write_text("schlüssel", encoding="utf-8")
    with pytest.raises(StartError, match="not ASCII"):
        read_token(path)


def test_every_call_of_the_protocol_can_be_allowed():
    """The names are those of the protos, and of reflection."""
    modules = (model_service_pb2, receiver_service_pb2, sharer_service_pb2)
    services = [service for each in modules for service in each.DESCRIPTOR.services_by_name.values()]
    assert {method.name for service in services for method in service.methods} | {"ServerReflectionInfo"} == set(
        get_args(Call)
    )
