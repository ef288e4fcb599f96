"""Layers point one way: what each package may import of the project."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

#: What services and clients tell each other, as plain values.
VALUES = ("kvwire.model_card", "kvwire.report", "kvwire.requests")

#: Package -> project modules it may import, by prefix. A package may always import itself.
MAY_IMPORT = {
    "codec": {"kvwire.errors"},
    "fuser": {"codec", "kvwire.errors", "kvwire.chat_template", "kvwire.official", *VALUES},
    "calibration": {"codec", "fuser", "kvwire.models", "kvwire.engine", "kvwire.errors"},
    "kvwire": set[str](),
    # The bench asks real models how far an answer moves, on the texts, statistics and drawings that are there already.
    "bench": {
        *("codec", "fuser.layers", "kvwire.engine", "kvwire.models", "kvwire.errors"),
        *("loadtest.datasets", "experiments.statistics", "experiments.report"),
    },
    # Running services are measured from outside.
    "bench/services": {
        *("kvwire.client", "kvwire.processes", "kvwire.link", "kvwire.security", *VALUES, "kvwire.errors", "loadtest"),
        "kvwire.balancing.choice",
        "experiments.report",
        *(
            "kvwire.engine",
            "kvwire.models",
            "kvwire.rpc.interceptors",
            "kvwire.telemetry",
        ),  # the last two to leave them out
        # A stream without the services.
        *("kvwire.launched", "kvwire.rpc.server", "kvwire.rpc.share_request_serde", "kvwire.rpc.stream_serde"),
        "kvwire.stream",
        "simulation",
    },
    # Arrivals, rates and YAML are read as elsewhere.
    "simulation": {
        *("kvwire.byte_budget", "kvwire.errors", "kvwire.link.shape", "loadtest.arrivals", "loadtest.intervals"),
        *("experiments.report", "experiments.yaml_source"),
    },
    "kvwire/cli": {
        "bench",
        "calibration",
        "codec",
        "fuser",
        "loadtest",
        "experiments",
        "sharer_service",
        "receiver_service",
        "simulation",
        "http_service",
    },
    "sharer_service": {"kvwire", "codec", "fuser"},
    "receiver_service": {"kvwire", "codec", "fuser"},
    # It knows the public client, and how a service's process is configured, started and logged.
    "http_service": {
        *("kvwire.client", "kvwire.security", *VALUES, "kvwire.facts", "kvwire.errors"),
        *("kvwire.config", "kvwire.rpc.main", "kvwire.launched", "kvwire.logs", "kvwire.http_server", "kvwire.tracing"),
        "kvwire.__version__",
    },
    # A model's card is made of the model.
    "serving": {"codec", "fuser", "kvwire.engine.card", "kvwire.models", "kvwire.errors", *VALUES},
    "loadtest": {"kvwire.client", "kvwire.balancing.choice", "kvwire.security", *VALUES, "kvwire.errors"},
    "experiments": {"kvwire.client", *VALUES, "kvwire.errors", "kvwire.official", "loadtest"},
    # lm-eval counts in tokens: the receiver's tokenizer comes from the model store.
    "experiments/harness": {"kvwire.client", "kvwire.security", "kvwire.models", *VALUES, "kvwire.errors", "loadtest"},
    "deploy": {"kvwire", "loadtest", "experiments.report"},
}

#: Package -> third-party libraries that have no business there.
NEVER = {
    "codec": {"grpc", "google", "transformers"},
    "bench": {"grpc", "google", "transformers"},
    "fuser": {"grpc", "google"},
    "calibration": {"grpc", "google"},
    "kvwire/engine": {"grpc", "google"},
    "kvwire/models": {"grpc", "google"},
    "http_service": {"grpc", "google", "torch", "transformers"},
    "serving": {"grpc", "google", "transformers"},
    "loadtest": {"grpc", "google", "torch", "transformers"},
    "experiments": {"grpc", "google", "torch", "transformers"},
    "simulation": {"grpc", "google", "torch", "transformers"},
    "experiments/harness": {"grpc", "google", "torch", "transformers"},
}

PROJECT = {package.split("/")[0] for package in MAY_IMPORT}


def files(package: str) -> list[Path]:
    # A peer's driver runs in that peer's environment, where this project is not.
    found = sorted(file for file in (ROOT / package).rglob("*.py") if "drivers" not in file.parts)
    if package in ("bench", "experiments"):
        return [file for file in found if not {"services", "harness"} & set(file.parts)]
    if package == "kvwire":
        return [f for f in found if not f.is_relative_to(ROOT / "kvwire" / "cli") and "v1" not in f.parts]
    return found


def imports(file: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


@pytest.mark.parametrize("package", MAY_IMPORT)
def test_a_package_imports_only_what_lies_below_it(package):
    """Every import of a project module is one the layer may use."""
    allowed = MAY_IMPORT[package] | {package.split("/")[0]}
    found = {
        (file.relative_to(ROOT), name)
        for file in files(package)
        for name in imports(file)
        if name.split(".")[0] in PROJECT and not any(f"{name}.".startswith(f"{prefix}.") for prefix in allowed)
    }
    assert not found


@pytest.mark.parametrize("package", NEVER)
def test_a_package_stays_away_from_libraries_of_other_layers(package):
    """Codec knows no models and no gRPC, fusers no gRPC, the load tester neither."""
    found = {
        (file.relative_to(ROOT), name)
        for file in files(package)
        for name in imports(file)
        if name.split(".")[0] in NEVER[package]
    }
    assert not found


def test_generated_code_is_imported_only_at_the_door():
    """Protobuf stops at serde modules, servicers, links and the client."""
    doors = ("kvwire/rpc/", "kvwire/client.py", "servicer.py", "server.py", "inspect.py", "sharers.py")
    found = [
        str(file.relative_to(ROOT))
        for package in MAY_IMPORT
        for file in files(package)
        if any(name.startswith("kvwire.v1") for name in imports(file))
    ]
    assert found
    assert [f for f in found if not any(door in f for door in doors)] == []


def test_what_runs_in_a_peers_environment_imports_nothing_of_the_project():
    """It is not installed there; only their own libraries and torch are."""
    peers = ROOT / "bench" / "peers"
    programs = [peers / "exchange.py", *(peers / "drivers").glob("*.py")]
    found = {(file.name, name) for file in programs for name in imports(file) if name.split(".")[0] in PROJECT}
    assert len(programs) > 2
    assert not found
