"""Half of what TLS needs is refused before anything is sent or served."""

from pathlib import Path

import pytest

from kvwire.errors import StartError
from kvwire.security import ClientSecurity, ServerSecurity

CA, CERTIFICATE, KEY = (Path(name) for name in ("ca.pem", "own.pem", "own.key"))


@pytest.mark.parametrize(
    ("half", "words"),
    [
        (ClientSecurity(ca=CA, certificate=CERTIFICATE), "one is missing"),
        (ClientSecurity(ca=CA, private_key=KEY), "one is missing"),
        (ClientSecurity(certificate=CERTIFICATE, private_key=KEY), "without the CA"),
    ],
)
def test_a_client_s_half_is_refused(half, words):
    """It says which half is there."""
    with pytest.raises(StartError, match=words):
        half.channel("127.0.0.1:1")


@pytest.mark.parametrize(
    ("half", "words"),
    [
        (ServerSecurity(certificate=CERTIFICATE), "one of them is missing"),
        (ServerSecurity(private_key=KEY), "one of them is missing"),
        (ServerSecurity(client_ca=CA), "mutual TLS needs all three"),
    ],
)
def test_a_server_s_half_is_refused(half, words):
    """Rather than served in plain text."""
    with pytest.raises(StartError, match=words):
        half.credentials()
