"""The box on the live page is no wider open than the gRPC port."""

from pathlib import Path

import pytest

from kvwire.callers.caller import Caller
from kvwire.callers.door import Door
from kvwire.callers.file import sha256
from kvwire.config import ReceiverSettings
from receiver_service.live.access import Access

ANYWHERE = "0.0.0.0:1"  # nothing listens in these tests
OPEN, ASKING = Door(), Door([Caller(token_sha256=sha256("t"))])
TLS = {"tls_cert": Path("c"), "tls_key": Path("k")}


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({}, ""),
        ({"ask_box": False}, "turned off"),
        ({**TLS, "tls_client_ca": Path("ca")}, "mutual TLS"),
        (TLS, ""),
        ({**TLS, "listen": ANYWHERE, "metrics_listen": ANYWHERE}, "not encrypted"),
        ({"metrics_listen": ANYWHERE}, "reached from other machines"),
        ({"listen": ANYWHERE, "metrics_listen": ANYWHERE}, ""),
    ],
)
def test_the_box_is_closed_where_it_would_open_more_than_the_grpc_port(settings, why):
    """And says why."""
    closed = Access.of(ReceiverSettings(**settings), OPEN).closed
    assert why in closed
    assert bool(closed) == bool(why)


def test_a_token_opens_a_port_that_reaches_further(tmp_path):
    """Who asks must show it."""
    (tmp_path / "token").write_text("t\n")
    settings = ReceiverSettings(metrics_listen=ANYWHERE, token_file=tmp_path / "token")
    access = Access.of(settings, Door.of(settings.server_security()))
    assert (access.closed, access.wants_token) == ("", True)


@pytest.mark.parametrize("host", ["127.0.0.1:9102", "[::1]:9102", "localhost:9102", "10.0.0.5"])
def test_the_page_at_an_address_may_ask(host):
    """Its own origin, as browsers tell it."""
    told = {"HTTP_HOST": host, "HTTP_ORIGIN": f"http://{host}", "CONTENT_TYPE": "application/json; charset=utf-8"}
    assert Access("", OPEN).entry(told) == Caller()


@pytest.mark.parametrize("host", ["receiver.example", "127.0.0.1.evil.example:9102", "", "["])
def test_the_page_at_a_name_may_ask_with_a_token_alone(host):
    """A name can be pointed here by anyone."""
    told = {"HTTP_HOST": host, "CONTENT_TYPE": "application/json", "HTTP_AUTHORIZATION": "Bearer t"}
    assert Access("", OPEN).entry(told)[0] == 403
    assert isinstance(Access("", ASKING).entry(told), Caller)
