"""What is built is whole: it installs without the source tree, and works."""

import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """Built once, from a copy of what git knows, so that nothing of earlier builds gets into it."""
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    archive = subprocess.run(["git", "archive", "HEAD"], cwd=ROOT, capture_output=True, check=True).stdout  # noqa: S607
    subprocess.run(["tar", "-x", "-C", source], input=archive, check=True)  # noqa: S607  # whichever there is
    build = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--quiet", "--wheel-dir", out, source]
    subprocess.run(build, check=True)
    [built] = out.glob("kvwire-*.whl")
    return built


def test_it_holds_the_packages_with_their_files_and_no_tests(wheel):
    """Recipes, questions, pages and type markers; what belongs to the repository alone stays there."""
    names = zipfile.ZipFile(wheel).namelist()
    for wanted in (
        "kvwire/py.typed",
        "kvwire/__init__.pyi",
        "kvwire/v1/receiver_service_pb2.py",
        "experiments/recipes/smoke.yaml",
        "loadtest/datasets/pocket.jsonl",
    ):
        assert wanted in names
    assert any(name.startswith("receiver_service/live/files/") for name in names)
    assert not [name for name in names if name.split("/")[0] in {"tests", "deploy", "docs", "examples"}]


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """An environment of its own that has this one's libraries, and of kvwire the wheel alone."""
    home = tmp_path_factory.mktemp("environment")
    venv.create(home, with_pip=True)
    python = home / "bin" / "python"
    subprocess.run([python, "-m", "pip", "install", "--quiet", "--no-deps", wheel], check=True)
    [packages] = home.glob("lib/python*/site-packages")
    libraries = [path for path in sys.path if path.endswith("site-packages")]
    (packages / "libraries.pth").write_text("".join(f"{path}\n" for path in libraries))
    return home / "bin"


def test_the_command_runs_from_it(installed, tmp_path):
    """From a folder that is none of ours; its modules are the wheel's."""
    where = subprocess.run(
        [installed / "python", "-c", "import kvwire, codec; print(kvwire.__file__, codec.__file__)"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert all(path.startswith(str(installed.parent)) for path in where.stdout.split())
    said = subprocess.run([installed / "kvwire", "--help"], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert "loadtest" in said.stdout


@pytest.mark.model
def test_the_demo_runs_from_it(installed, smollm2, tmp_path):
    """Two processes, questions, a table."""
    assert smollm2
    out = tmp_path / "demo.json"
    command = [installed / "kvwire", "demo", "--limit", "2", "--json", out]
    subprocess.run(command, cwd=tmp_path, check=True, timeout=600)
    assert out.stat().st_size
