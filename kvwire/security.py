"""TLS, bearer tokens and addresses: the same few decisions for servers and clients."""

import ipaddress
import ssl
from dataclasses import dataclass
from pathlib import Path

import grpc

from kvwire.errors import StartError

#: How often a client pings a service that says nothing. One that computes answers, for gRPC does so without Python.
PING_EVERY_MS = 5000

#: How long an answer to a ping may take. It comes after what was sent before: chunks of 1 MiB of sixteen streams, which
#: take 14 s at 10 Mbit/s.
PING_TIMEOUT_MS = 20_000

# Every option has its reason; sizes in bytes.
CHANNEL_OPTIONS: tuple[tuple[str, int], ...] = (
    ("grpc.max_receive_message_length", 4 * 1024 * 1024),  # chunks are at most 1 MiB, reports far less
    ("grpc.max_send_message_length", 64 * 1024 * 1024),  # let the server say what it takes; it names its limit
    ("grpc.initial_reconnect_backoff_ms", 200),  # a restarted sharer is found again soon,
    ("grpc.max_reconnect_backoff_ms", 2000),  # not after gRPC's default of up to two minutes
    ("grpc.enable_retries", 0),  # a request is retried by policy, which knows whether that is safe
    # A service that hangs keeps its connection, but answers no ping. gRPC 1.85 never starts the timer of
    # grpc.keepalive_timeout_ms (chttp2's writing.cc tests for the opposite); that of all pings is 60 s unless set.
    ("grpc.keepalive_time_ms", PING_EVERY_MS),
    ("grpc.http2.ping_timeout_ms", PING_TIMEOUT_MS),
    ("grpc.keepalive_permit_without_calls", 1),  # so that whoever asks next is told at once
    ("grpc.http2.max_pings_without_data", 0),  # as many as it takes; two are gRPC's default
    ("grpc.min_reconnect_backoff_ms", 5000),  # a connection that nobody takes up fails after this, not after 20 s
)


@dataclass(frozen=True)
class ServerSecurity:
    """How a server proves itself and whom it lets in. All None: plain text, open to whoever reaches the address."""

    certificate: Path | None = None
    private_key: Path | None = None
    client_ca: Path | None = None
    token_file: Path | None = None

    def credentials(self) -> grpc.ServerCredentials | None:
        """TLS credentials, or None for plain text.

        Raises:
            StartError: Half a key pair, a client CA without one, or a file that cannot be read.
        """
        pair = self._pair()
        if pair is None:
            return None
        certificate, private_key = map(read_file, pair)
        root = read_file(self.client_ca) if self.client_ca else None
        return grpc.ssl_server_credentials([(private_key, certificate)], root, require_client_auth=root is not None)

    def ssl_context(self) -> ssl.SSLContext | None:
        """The same for a server that speaks HTTP.

        Raises:
            StartError: As above, or a file that holds something else.
        """
        pair = self._pair()
        if pair is None:
            return None
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        try:
            context.load_cert_chain(*pair)
            if self.client_ca is not None:
                context.load_verify_locations(self.client_ca)
                context.verify_mode = ssl.CERT_REQUIRED
        except OSError as error:  # SSLError is one
            named = ", ".join(str(path) for path in (*pair, self.client_ca) if path)
            raise StartError(f"cannot use {named} for TLS: {error}; check the paths and that they fit") from error
        return context

    def _pair(self) -> tuple[Path, Path] | None:
        if self.certificate is None and self.private_key is None:
            if self.client_ca is not None:
                raise StartError("a client CA was given without a certificate and key; mutual TLS needs all three")
            return None
        if self.certificate is None or self.private_key is None:
            raise StartError("TLS needs both a certificate and a private key; one of them is missing")
        return self.certificate, self.private_key


@dataclass(frozen=True)
class ClientSecurity:
    """How a client checks a server and proves itself. All None: plain text and no token."""

    ca: Path | None = None
    certificate: Path | None = None
    private_key: Path | None = None
    token_file: Path | None = None

    def channel(self, address: str, name: str = "") -> grpc.aio.Channel:
        """Open a channel; nothing is sent before the first call. ``name``: whom the certificate must name instead.

        Raises:
            StartError: A file that cannot be read, or half of what TLS needs.
        """
        if self.ca is None and (self.certificate or self.private_key):
            raise StartError("a client certificate was given without the CA of the servers; TLS needs it")
        if (self.certificate is None) != (self.private_key is None):
            raise StartError("a client proves itself with both a certificate and its private key; one is missing")
        if self.ca is None:
            return grpc.aio.insecure_channel(address, options=CHANNEL_OPTIONS)
        credentials = grpc.ssl_channel_credentials(
            read_file(self.ca),
            read_file(self.private_key) if self.private_key else None,
            read_file(self.certificate) if self.certificate else None,
        )
        named = (("grpc.ssl_target_name_override", name),) if name else ()
        return grpc.aio.secure_channel(address, credentials, options=(*CHANNEL_OPTIONS, *named))

    def metadata(self) -> tuple[tuple[str, str], ...]:
        """Call metadata that carries the token, or nothing."""
        if self.token_file is None:
            return ()
        return bearer(read_token(self.token_file))


def bearer(token: str) -> tuple[tuple[str, str], ...]:
    """Call metadata that carries a token."""
    return (("authorization", f"Bearer {token}"),)


def read_token(path: Path) -> str:
    """A bearer token from a file, surrounding white space removed.

    Raises:
        StartError: The file cannot be read, is empty, has several lines, or more than ASCII.
    """
    found = read_file(path)
    if not found.isascii():
        raise StartError(f"the token file {path} is not ASCII, which calls cannot carry; make another token")
    token = found.decode("ascii").strip()
    if not token:
        raise StartError(f"the token file {path} is empty; put the token on its first line")
    if len(token.splitlines()) > 1:
        raise StartError(
            f"the token file {path} has several lines; a token is one, and a service's file of callers is named *.toml"
        )
    return token


def read_file(path: Path) -> bytes:
    """A file's bytes.

    Raises:
        StartError: It cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise StartError(f"cannot read {path}: {error.strerror}; check the path and its permissions") from error


def is_loopback(address: str) -> bool:
    """Whether ``host:port`` is reachable from this machine only."""
    host = address.rpartition(":")[0].strip("[]")
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
