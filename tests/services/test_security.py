"""Who is let in, between real processes: TLS and certificates on both hops, a token for each caller."""

from dataclasses import dataclass
from pathlib import Path

import pytest

from kvwire.callers.file import sha256
from kvwire.client import Client
from kvwire.errors import AuthenticationError, ForbiddenError, OverloadedError, UnavailableError
from kvwire.processes import FREE_PORTS, running_service
from kvwire.requests import Exchange, GenerateRequest, Method, RequestInfo, Text
from kvwire.security import ClientSecurity

ONE_THREAD = ["--threads", "1", "--log-level", "warning", "--reuse-bytes", "100000000", *FREE_PORTS]
CONTEXT = Text("The key is under the blue pot. " * 4)
TOKENS = {name: f"the token of {name}" for name in ("mia", "tom", "ann", "hasty", "gone", "rx")}

CALLERS = f"""
[mia]
token_sha256 = "{sha256(TOKENS["mia"]).hex()}"
expires = 2999-01-01T00:00:00Z

[tom]
token = "{TOKENS["tom"]}"

[ann]
token = "{TOKENS["ann"]}"
calls = ["Describe"]

[hasty]
token = "{TOKENS["hasty"]}"
requests_per_second = 0.001
burst = 1

[gone]
token = "{TOKENS["gone"]}"
expires = 2026-01-01T00:00:00Z

[rx]
token = "{TOKENS["rx"]}"
certificate = "receiver.example"
calls = ["Describe", "Share", "Relay"]
"""


@dataclass(frozen=True)
class Secured:
    """A running pair by the service's name, and what a client may show: paths by what they are."""

    addresses: dict[str, str]
    files: dict[str, Path]

    def client(self, service="receiver", **shown):
        """Of someone with everything in order, but for what is ``shown`` otherwise."""
        named = {"ca": "ca", "certificate": "mia.pem", "private_key": "mia.key", "token_file": "mia"} | shown
        address = self.addresses[service].replace("127.0.0.1", named.pop("host", "127.0.0.1"))
        return Client(address, ClientSecurity(**{key: self.files[name] for key, name in named.items() if name}))


@pytest.fixture(scope="module")
def secured(tiny_llama, new_authority, tmp_path_factory):
    """A pair that talks mutual TLS with tokens, to each other and to clients."""
    folder, authority, other = tmp_path_factory.mktemp("secrets"), new_authority(), new_authority()
    files = {"ca": authority.certificate, "other ca": other.certificate}
    issued = {
        "own": authority.issue("127.0.0.1"),
        "rx": authority.issue("receiver.example"),
        "mia": authority.issue("mia.example"),
        "stranger": other.issue("mia.example"),
        "expired": authority.issue("mia.example", expired=True),
    }
    for name, (certificate, key) in issued.items():
        files |= {f"{name}.pem": certificate, f"{name}.key": key}
    for name, token in (TOKENS | {"wrong": "tr0ub4dor"}).items():
        (folder / name).write_text(token + "\n")
        files[name] = folder / name
    (folder / "callers.toml").write_text(CALLERS)
    own = ["--model", f"path:{tiny_llama}", *ONE_THREAD, "--token-file", folder / "callers.toml"]
    own += ["--tls-cert", files["own.pem"], "--tls-key", files["own.key"], "--tls-client-ca", files["ca"]]
    to_sharer = ["--sharer-ca", files["ca"], "--sharer-token-file", files["rx"]]
    to_sharer += ["--sharer-cert", files["rx.pem"], "--sharer-key", files["rx.key"]]
    with running_service("sharer_service", list(map(str, own)), folder / "s.log") as sharer:
        own += ["--sharers", f"sharer={sharer.address}", *to_sharer]
        with running_service("receiver_service", list(map(str, own)), folder / "r.log") as receiver:
            yield Secured({"sharer": sharer.address, "receiver": receiver.address}, files)


def asked(method=Method.PREFIX, context=CONTEXT, caller=""):
    exchange = Exchange(method, codec="int8")
    return GenerateRequest(Text("hello"), context, exchange, 2, ignore_eos=True, info=RequestInfo(caller=caller))


async def test_who_shows_everything_is_served_over_two_encrypted_hops(secured):
    """The receiver shows the sharer a certificate and a token of its own."""
    async with secured.client() as client:
        answer = await client.generate_all(asked())
    assert answer.report.path == "prefix"
    assert answer.report.bytes.socket_bytes > answer.report.bytes.grpc_bytes


# The same table is in docs/operations.md.
REFUSED = {
    "no token": ({"token_file": None}, AuthenticationError, "wants a bearer token"),
    "a wrong token": ({"token_file": "wrong"}, AuthenticationError, "no caller whom this service knows"),
    "an expired token": ({"token_file": "gone"}, AuthenticationError, "gone expired at 2026-01-01"),
    "a token without its certificate": ({"token_file": "rx"}, AuthenticationError, "without the certificate"),
    "a call that is not allowed": ({"token_file": "ann"}, ForbiddenError, "ann may not call Generate"),
    "no TLS": ({"ca": None, "certificate": None, "private_key": None}, UnavailableError, "not reachable"),
    "no certificate": ({"certificate": None, "private_key": None}, UnavailableError, "not reachable"),
    "an expired certificate": (
        {"certificate": "expired.pem", "private_key": "expired.key"},
        UnavailableError,
        "not reachable",
    ),
    "a certificate of another CA": (
        {"certificate": "stranger.pem", "private_key": "stranger.key"},
        UnavailableError,
        "not reachable",
    ),
    "another CA expected": ({"ca": "other ca"}, UnavailableError, "not reachable"),
    "another host expected": ({"host": "localhost"}, UnavailableError, "not reachable"),
}


@pytest.mark.parametrize("service", ["receiver", "sharer"])
@pytest.mark.parametrize("lacking", REFUSED)
async def test_who_lacks_one_thing_is_refused(secured, lacking, service):
    """By both services, with the status that says what is missing, and with no secret in its words."""
    shown, error, words = REFUSED[lacking]
    method = Method.PREFIX if service == "receiver" else Method.SHARER_ONLY
    async with secured.client(service, **shown) as client:
        with pytest.raises(error, match=words) as caught:
            await client.generate_all(asked(method))
    assert not any(token in str(caught.value) for token in [*TOKENS.values(), "tr0ub4dor"])


async def test_one_caller_s_allowance_is_not_another_s(secured):
    """Who calls too often is told when to try again; others are served."""
    async with secured.client(token_file="hasty") as hasty, secured.client() as mia:  # noqa: S106  # a file's name
        await hasty.describe()
        with pytest.raises(OverloadedError, match=r"0\.001 requests a second, 1 at once; try again in \d+\.\d s"):
            await hasty.describe()
        assert await mia.describe()


async def test_a_cache_that_is_held_is_its_caller_s_alone(secured):
    """Saying another's name does not help; the same caller, and the same name it says, find it again."""
    context = Text("Of this test alone. " * 4)
    async with secured.client() as mia, secured.client(token_file="tom") as tom:  # noqa: S106  # a file's name
        moved = [
            (await client.generate_all(asked(context=context, caller=said))).report.bytes.payload_bytes
            for client, said in ((mia, "team"), (mia, "team"), (tom, "team"), (tom, "mia"), (mia, ""))
        ]
    assert [bytes_ > 0 for bytes_ in moved] == [True, False, True, True, True]


async def test_a_probe_needs_a_certificate_and_no_token(secured):
    """Mutual TLS is of the connection, so of a probe's too."""
    async with secured.client(token_file=None) as client:
        await client.wait_ready(timeout_s=5)
