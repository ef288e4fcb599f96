"""The health check of the containers, run as a process of its own."""

import datetime as dt
import os
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from kvwire.processes import FREE_PORTS, running_service

SCRIPT = Path(__file__).parents[2] / "deploy/docker/healthcheck.py"


def health(listen, **variables):
    """Run the check against an address a service listens on."""
    environment = {**os.environ, "KVWIRE_LISTEN": listen, **variables}
    return subprocess.run([sys.executable, SCRIPT], env=environment, capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_a_service_that_runs_is_healthy(pair):
    """Asked at the port of its listening address."""
    for service in pair:
        port = service.address.rpartition(":")[2]
        done = health(f"0.0.0.0:{port}")
        assert done.returncode == 0, done.stderr


def test_a_port_nobody_listens_on_is_unhealthy():
    """Within the time the compose file gives the check, and it says so."""
    done = health("0.0.0.0:9")
    assert done.returncode == 1
    assert "unhealthy: localhost:9" in done.stderr


@pytest.fixture
def certificate(tmp_path):
    """Files of a certificate for localhost that signed itself, and of its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "kvwire test")])
    now = dt.datetime.now(dt.UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    builder = builder.not_valid_before(now - dt.timedelta(days=1)).not_valid_after(now + dt.timedelta(days=1))
    builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
    encoding, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    (tmp_path / "cert.pem").write_bytes(builder.sign(key, hashes.SHA256()).public_bytes(encoding))
    (tmp_path / "key.pem").write_bytes(key.private_bytes(encoding, form, serialization.NoEncryption()))
    return tmp_path / "cert.pem", tmp_path / "key.pem"


@pytest.mark.slow
def test_a_service_with_tls_is_healthy_to_who_knows_its_ca(tiny_llama, certificate, tmp_path, monkeypatch):
    """And not to who does not."""
    monkeypatch.setenv("KVWIRE_HOME", str(tmp_path / "home"))
    chain, key = map(str, certificate)
    arguments = ["--model", f"path:{tiny_llama}", "--tls-cert", chain, "--tls-key", key, "--threads", "1"]
    arguments += FREE_PORTS
    with running_service("sharer_service", arguments, tmp_path / "sharer.log") as sharer:
        assert health(sharer.address, KVWIRE_HEALTH_CA=chain).returncode == 0
        assert health(sharer.address).returncode == 1
