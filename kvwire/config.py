"""Settings of the services, from the command line (``--max-tokens``) or the environment (``KVWIRE_MAX_TOKENS``).

The only definition of each: every launcher passes these through.
"""

from dataclasses import replace
from pathlib import Path
from typing import Literal

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from kvwire.balancing.choice import Balance
from kvwire.models.store import default_home
from kvwire.security import ClientSecurity, ServerSecurity


class ProcessSettings(BaseSettings):
    """What every service takes."""

    model_config = SettingsConfigDict(
        env_prefix="KVWIRE_",
        cli_kebab_case=True,
        cli_implicit_flags=True,
        cli_prog_name="kvwire",
        extra="ignore",
    )

    max_message_bytes: int = Field(4 * 1024 * 1024, ge=1024, description="largest request message, in bytes")
    tls_cert: Path | None = Field(None, description="PEM certificate chain; turns TLS on")
    tls_key: Path | None = Field(None, description="PEM private key")
    tls_client_ca: Path | None = Field(None, description="PEM CA of clients; turns mutual TLS on")
    stop_with_stdin: bool = Field(False, description="stop when standard input ends: the launcher is gone")
    otlp_endpoint: str = Field(
        "", description="OpenTelemetry collector that takes traces, http://HOST:4317; needs kvwire[otel]"
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="least level to log")
    log_format: Literal["text", "json"] = Field("text", description="lines to read, or one JSON object each")

    def server_security(self) -> ServerSecurity:
        """How this service proves itself and whom it lets in."""
        return ServerSecurity(self.tls_cert, self.tls_key, self.tls_client_ca)


class ServiceSettings(ProcessSettings):
    """What both services with a model take."""

    model: str = Field("smollm2-135m", description="catalog name, hf:OWNER/NAME@REVISION, or path:DIR")
    calibrations: Path | None = Field(None, description="folder of codec tables; default: the model store's")
    fusers: dict[str, Path] = Field(
        default_factory=dict,
        description="NAME=PATH of a fuser's file or an official C2C checkpoint's folder, may be repeated; a sharer "
        "needs those whose latents it is to send",
    )
    device: str = Field("cpu", description="torch device: cpu, cuda, cuda:1")
    dtype: Literal["float32", "bfloat16", "float16"] = Field("float32", description="data type of the weights")
    threads: int = Field(0, ge=0, description="torch threads; 0 takes all cores")
    max_tokens: int = Field(4096, ge=2, description="longest sequence, in tokens")
    max_in_flight: int = Field(16, ge=1, description="requests answered at once before RESOURCE_EXHAUSTED")
    cache_memory_bytes: int = Field(
        0,
        ge=0,
        description="memory for the caches of all requests in flight, in bytes; who finds it taken waits. 0: a quarter "
        "of the machine's or container's, or of the GPU's",
    )
    token_file: Path | None = Field(
        None, description="file with the bearer token callers must send, or, named *.toml, a table for each caller"
    )

    def calibrations_folder(self) -> Path:
        """Where codec tables are looked up."""
        return self.calibrations or default_home() / "calibrations"

    def server_security(self) -> ServerSecurity:
        """How this service proves itself and whom it lets in."""
        return replace(super().server_security(), token_file=self.token_file)


class SharerSettings(ServiceSettings):
    """A sharer: reads contexts and streams their caches."""

    listen: str = Field("127.0.0.1:50051", description="host:port; port 0 takes a free one")
    metrics_listen: str = Field("127.0.0.1:9101", description="host:port of the metrics")
    reuse_bytes: int = Field(
        0, ge=0, description="memory for caches of contexts read before, in bytes; 0 reads every context anew"
    )
    relay_max_tokens: int = Field(48, ge=1, description="longest text message written unless a request says")
    tokenizers: list[str] = Field(
        default_factory=list,
        description="models of receivers with another tokenizer, as --model names them; may be repeated",
    )
    profiles: Path | None = Field(None, description="folder of sensitivity profiles; default: the model store's")

    def profiles_folder(self) -> Path:
        """Where sensitivity profiles are looked up."""
        return self.profiles or default_home() / "profiles"


class ReceiverSettings(ServiceSettings):
    """A receiver: answers, with the help of sharers it knows by name."""

    listen: str = Field("127.0.0.1:50052", description="host:port; port 0 takes a free one")
    metrics_listen: str = Field("127.0.0.1:9102", description="host:port of the metrics")
    sharers: dict[str, str] = Field(
        default_factory=dict,
        description="NAME=HOST:PORT, may be repeated; several addresses of one model as JSON, with commas between, or "
        "NAME=dns:HOST:PORT for all that a look-up of HOST gives",
    )
    balance: Balance = Field(
        Balance.AFFINITY,
        description="which of a sharer's addresses is asked: where the context was read before unless that has too "
        "much to do, the least_busy, or each in turn (round_robin)",
    )
    sharer_ca: Path | None = Field(None, description="PEM CA of the sharers; turns TLS to them on")
    sharer_cert: Path | None = Field(None, description="PEM certificate shown to sharers (mutual TLS)")
    sharer_key: Path | None = Field(None, description="PEM private key of that certificate")
    sharer_token_file: Path | None = Field(None, description="file with the token sent to sharers")
    max_cache_bytes: int = Field(2 * 1024**3, ge=1, description="largest cache accepted from a sharer, in bytes")
    reuse_bytes: int = Field(
        0, ge=0, description="memory for caches received before, in bytes; 0 has every cache sent anew"
    )
    ask_box: bool = Field(True, description="offer the box to ask on the live page")
    inspect: bool = Field(False, description="offer Inspect, which shows logits and caches; tests only")

    def sharer_security(self) -> ClientSecurity:
        """How this receiver talks to its sharers."""
        return ClientSecurity(self.sharer_ca, self.sharer_cert, self.sharer_key, self.sharer_token_file)


class HttpSettings(ProcessSettings):
    """An HTTP front door of a receiver. Its callers show their tokens to the receiver, through it."""

    listen: str = Field("127.0.0.1:8000", description="host:port; port 0 takes a free one")
    metrics_listen: str = Field("127.0.0.1:9103", description="host:port of the metrics")
    receiver: str = Field(
        "127.0.0.1:50052",
        description="host:port of the receiver that is asked; several with commas between, or dns:HOST:PORT for all "
        "that a look-up gives",
    )
    balance: Balance = Field(
        Balance.AFFINITY,
        description="which of several receivers is asked: where a context is held unless that has too much to do, the "
        "least_busy, or each in turn (round_robin)",
    )
    receiver_ca: Path | None = Field(None, description="PEM CA of the receiver; turns TLS to it on")
    receiver_cert: Path | None = Field(None, description="PEM certificate shown to the receiver (mutual TLS)")
    receiver_key: Path | None = Field(None, description="PEM private key of that certificate")

    def receiver_security(self) -> ClientSecurity:
        """How this front door talks to its receiver."""
        return ClientSecurity(self.receiver_ca, self.receiver_cert, self.receiver_key)
