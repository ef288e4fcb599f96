"""TLS and tokens, between real processes."""

import datetime as dt
import ipaddress

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from kvwire.client import Client
from kvwire.errors import AuthenticationError, UnavailableError
from kvwire.processes import FREE_PORTS, running_service
from kvwire.requests import Exchange, GenerateRequest, Text
from kvwire.security import ClientSecurity

ONE_THREAD = ["--threads", "1", "--log-level", "warning", *FREE_PORTS]
ASKED = GenerateRequest(Text("hello"), Text("a fact "), Exchange(codec="int8"), max_new_tokens=2, ignore_eos=True)


@pytest.fixture(scope="module")
def secrets(tmp_path_factory):
    """A self-signed certificate for 127.0.0.1, its key, and two tokens."""
    folder = tmp_path_factory.mktemp("secrets")
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "kvwire test")])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    (folder / "cert.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    (folder / "token").write_text("correct horse battery staple\n")
    (folder / "wrong").write_text("tr0ub4dor\n")
    return folder


@pytest.fixture(scope="module")
def secured(tiny_llama, secrets):
    """A pair that talks TLS with tokens, to each other and to clients."""
    own = ["--tls-cert", secrets / "cert.pem", "--tls-key", secrets / "key.pem", "--token-file", secrets / "token"]
    own = ["--model", f"path:{tiny_llama}", *map(str, own), *ONE_THREAD]
    with running_service("sharer_service", own, secrets / "s.log") as sharer:
        to_sharer = ["--sharer-ca", str(secrets / "cert.pem"), "--sharer-token-file", str(secrets / "token")]
        known = ["--sharers", f"sharer={sharer.address}"]
        with running_service("receiver_service", [*own, *known, *to_sharer], secrets / "r.log") as receiver:
            yield receiver.address


async def test_a_client_with_ca_and_token_is_served_over_tls(secured, secrets):
    """Both hops are encrypted and authorized."""
    async with Client(secured, ClientSecurity(ca=secrets / "cert.pem", token_file=secrets / "token")) as client:
        answer = await client.generate_all(ASKED)
    assert answer.report.path == "prefix"
    assert answer.report.bytes.socket_bytes > answer.report.bytes.grpc_bytes


@pytest.mark.parametrize("token", [None, "wrong"])
async def test_a_missing_or_wrong_token_is_refused(secured, secrets, token):
    """On every method, reading the card included; then a right one is served."""
    security = ClientSecurity(ca=secrets / "cert.pem", token_file=secrets / token if token else None)
    async with Client(secured, security) as client:
        with pytest.raises(AuthenticationError, match="token"):
            await client.describe()
        with pytest.raises(AuthenticationError, match="token"):
            await client.generate_all(ASKED)
        await client.wait_ready(timeout_s=5)


async def test_plain_text_to_a_tls_port_is_refused(secured):
    """Nothing is answered without TLS."""
    async with Client(secured) as client:
        with pytest.raises(UnavailableError):
            await client.describe()
