"""Sweeps on Ray: the same files as in one process, also when an actor or its pair is killed on the way."""

import json
import os
import signal
from ipaddress import ip_address
from pathlib import Path

import psutil
import pytest

from tests.experiments.command import ARMS, COMMAND, RECIPE, start

# Its pair has a fuser that is made, and a second sharer.
CONTROLS = """\
title: controls
method: fuse
fuser: c2c
needs: {c2c: {how: fresh, hidden: 8, inner: 8}}
datasets:
  - name: pocket
    limit: 2
codecs: [int8]
baselines: [receiver_only, sharer_only, text]
controls: {zeroed: true, same_model: identity}
relay_max_tokens: 3
together: 4
timed: 1
"""

# A worker each, of half of the cores: a likelihood's last digit may depend on the number of threads.
WORKERS = min(2, os.cpu_count() or 1)
CORES = max(1, (os.cpu_count() or 1) // WORKERS)

# After the second item, looks at all that Ray has started, and kills what VICTIM names; writes to SEEN what it saw.
WATCHED = """
import json, os, signal
from pathlib import Path
import psutil
from experiments.ledger import Ledger
append = Ledger.append
def processes():
    for process in psutil.Process().children(recursive=True):
        try:
            yield process, " ".join(process.cmdline())
        except psutil.Error:  # it ended meanwhile
            pass
def actors():
    return [process.pid for process, command in processes() if command.startswith("ray::PairActor")]
def watched(ledger, record):
    append(ledger, record)
    if ledger.done == 2 * int(os.environ["ARMS"]):
        listening = [c.laddr.ip for p, _ in processes() for c in p.net_connections() if c.status == "LISTEN"]
        settings = {name: value for name, value in os.environ.items() if name.startswith("RAY_")}
        seen = {"listening": listening, "before": actors(), "settings": settings}
        victim = os.environ.get("VICTIM")
        seen["started"] = [process.pid for process, _ in processes()]
        seen["killed"] = [process.pid for process, command in processes() if victim and victim in command]
        Path(os.environ["SEEN"]).write_text(json.dumps(seen))
        for pid in [os.getpid()] if victim == "this process" else seen["killed"]:
            os.kill(pid, signal.SIGKILL)
    if ledger.done == 4 * int(os.environ["ARMS"]):
        seen = json.loads(Path(os.environ["SEEN"]).read_text())
        Path(os.environ["SEEN"]).write_text(json.dumps({**seen, "after": actors()}))
Ledger.append = watched
from kvwire.cli.experiment import app
app()
"""


def lines(folder: Path, recipe: str) -> list[dict]:
    return [json.loads(line) for line in (folder / recipe / "results.jsonl").read_text().splitlines()]


def unmeasured(found: list[dict]) -> list[dict]:
    return [{**line, "measured": None} for line in found]


@pytest.fixture(scope="module")
def recipe(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("recipe") / "tiny.yaml"
    path.write_text(RECIPE.format(items=4))
    return path


@pytest.fixture(scope="module")
def recipes(recipe) -> list[str]:
    """All that run with and without Ray."""
    path = recipe.with_name("controls.yaml")
    path.write_text(CONTROLS)
    return ["smoke", str(recipe), str(path)]


@pytest.fixture(scope="module")
def models(tiny_llama) -> list[str]:
    return ["--pair", f"path:{tiny_llama}:path:{tiny_llama}"]


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> dict[str, str]:
    """One model store for all runs here."""
    return {"KVWIRE_HOME": str(tmp_path_factory.mktemp("home"))}


@pytest.fixture(scope="module")
def in_process(recipes, models, home, tmp_path_factory) -> Path:
    """Results of all recipes without Ray."""
    out = tmp_path_factory.mktemp("in-process")
    ended = start(COMMAND, "run", *recipes, "--out", out, *models, "--workers", WORKERS, **home)
    assert ended.returncode == 0, ended.stderr
    return out


def on_ray(recipes, out, models, actors, *, status=0, **environment) -> dict:
    """What was seen of a run on Ray, which ended with this status."""
    pytest.importorskip("ray", reason="Ray is not installed: pip install 'kvwire[ray]'")
    seen = out / "seen.json"
    options = ["--engine", "ray", "--actors", actors, "--actor-cpus", CORES]
    environment |= {"ARMS": str(ARMS), "SEEN": str(seen)}
    ended = start(WATCHED, "run", *recipes, "--out", out, *models, *options, **environment)
    assert ended.returncode == status, ended.stderr
    return json.loads(seen.read_text())


@pytest.fixture(scope="module")
def undisturbed(recipes, models, home, tmp_path_factory) -> tuple[Path, dict]:
    """Results of all recipes on Ray, and what was seen of it."""
    out = tmp_path_factory.mktemp("ray")
    return out, on_ray(recipes, out, models, WORKERS, **home)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["smoke", "tiny", "controls"])
def test_ray_writes_the_same_lines_in_the_same_order(undisturbed, in_process, name):
    """Every field of every line but what is measured."""
    out, _ = undisturbed
    found = lines(out, name)
    assert len(found) >= 2 * ARMS
    assert [line["error"] for line in found if line["error"]] == []
    assert unmeasured(found) == unmeasured(lines(in_process, name))


@pytest.mark.slow
def test_actors_start_whatever_a_recipe_wants(undisturbed, in_process):
    """A fuser that was made once, for both engines; the sharer by itself; the receiver's own model as a sharer."""
    out, _ = undisturbed
    made = [json.loads((folder / "controls" / "run.json").read_text())["artifacts"] for folder in (out, in_process)]
    assert made[0] == made[1]
    assert len(made[0]["c2c"]) == 64
    found = {line["arm"]: line for line in lines(out, "controls")}
    assert found["sharer_only"]["bytes"] is None
    assert found["same model, fuse fp32"]["bytes"]["payload"] > 0
    assert found["zeroed sharer, fuse fp32"]["result"] != found["fuse fp32"]["result"]


@pytest.mark.slow
def test_lines_and_provenance_say_that_the_clock_stood_on_ray(undisturbed, in_process):
    """What was timed there may have run beside anything."""
    out, _ = undisturbed
    assert {line["measured"]["engine"] for line in lines(out, "tiny")} == {"ray"}
    assert {line["measured"]["engine"] for line in lines(in_process, "tiny")} == {"in-process"}
    machine = json.loads((out / "tiny" / "run.json").read_text())["machine"]
    assert {"engine": "ray", "workers": WORKERS, "actor_cpus": CORES, "actor_gpus": 0}.items() <= machine.items()


@pytest.mark.slow
def test_a_ray_of_our_own_is_open_to_nobody_else(undisturbed):
    """All that listens is on loopback and wants a token that was made for this run; no usage is told to anybody."""
    _, seen = undisturbed
    assert len(seen["listening"]) > 4
    # Sockets for both families show an IPv4 address as ::ffff:127.0.0.1.
    heard = {ip_address(address.removeprefix("::ffff:")) for address in seen["listening"]}
    assert [address for address in heard if not address.is_loopback] == []
    assert seen["settings"]["RAY_USAGE_STATS_ENABLED"] == "0"
    assert seen["settings"]["RAY_AUTH_MODE"] == "token"
    assert len(seen["settings"]["RAY_AUTH_TOKEN"]) == 64


@pytest.mark.slow
@pytest.mark.parametrize("victim", ["ray::PairActor", "receiver_service"])
def test_a_killed_actor_or_pair_is_started_again_and_no_line_is_lost_or_doubled(
    recipe, models, home, in_process, tmp_path, victim
):
    """Its item is asked again; the file is that of a run nobody disturbed."""
    seen = on_ray([recipe], tmp_path, models, 1, VICTIM=victim, **home)
    assert len(seen["killed"]) == 1
    assert (seen["killed"] == seen["before"]) == (victim == "ray::PairActor")
    assert set(seen["after"]).isdisjoint(seen["before"])
    assert unmeasured(lines(tmp_path, "tiny")) == unmeasured(lines(in_process, "tiny"))


@pytest.mark.slow
def test_a_killed_run_leaves_nothing_behind_and_goes_on_to_the_same_file(recipe, models, home, in_process, tmp_path):
    """Ray and all pairs end with it; its lines stay."""
    seen = on_ray([recipe], tmp_path, models, 1, status=-signal.SIGKILL, VICTIM="this process", **home)
    left = [psutil.Process(pid) for pid in seen["started"] if psutil.pid_exists(pid)]
    # An agent whose raylet is gone tries for up to 60 s to tell the head, which is gone too (its request timeout).
    assert psutil.wait_procs(left, timeout=120)[1] == []
    assert len(lines(tmp_path, "tiny")) == 2 * ARMS
    on_ray([recipe], tmp_path, models, 1, **home)
    assert unmeasured(lines(tmp_path, "tiny")) == unmeasured(lines(in_process, "tiny"))
