"""What CI runs names the step that failed, as its last words, and the command that runs it alone."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
#: Stands for every program that CI calls: says how it was called, and fails where it is told to.
PROGRAM = """#!/bin/sh
said="$(basename "$0") $*"
echo "$said"
case "$said" in "$FAILS") exit "$STATUS" ;; esac
"""


@pytest.fixture
def ci(tmp_path):
    """Runs CI over programs that do nothing, but for one that fails."""
    (tmp_path / ".ci").mkdir()
    shutil.copy(ROOT / ".ci/run", tmp_path / ".ci")
    for name in ("bin/make", "bin/git", ".venv/bin/python", "deploy/prometheus/install-prometheus.sh"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(PROGRAM)
        (tmp_path / name).chmod(0o755)

    def run(fails="", status=1):
        path = f"{tmp_path / 'bin'}:{os.environ['PATH']}"
        environment = {**os.environ, "PATH": path, "FAILS": fails, "STATUS": str(status)}
        return subprocess.run(
            [tmp_path / ".ci/run"],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )

    return run


@pytest.mark.parametrize(
    ("fails", "step"),
    [
        ("make lint", "lint, format, types, proto lint (alone: make lint)"),
        (
            "git diff --exit-code kvwire/v1",
            "generated stubs are up to date (alone: make proto && git diff --exit-code kvwire/v1)",
        ),
        (
            "python -m deploy.audit",
            "known vulnerabilities of what constraints.txt pins (alone: .venv/bin/python -m deploy.audit)",
        ),
        ("make test", "tests (alone: make test)"),
    ],
)
def test_the_step_that_failed_is_the_last_word(ci, fails, step):
    """With the command that runs it alone; nothing comes after it."""
    done = ci(fails)
    assert done.returncode == 1
    assert done.stdout.splitlines()[-1] == f"== FAILED: {step}"


def test_an_audit_that_could_not_be_made_ends_nothing_and_is_told_last(ci):
    """All other steps are run."""
    done = ci("python -m deploy.audit", status=2)
    assert done.returncode == 0
    assert "make test\n" in done.stdout
    assert "NOT AUDITED" in done.stdout.splitlines()[-1]


def test_all_steps_are_run(ci):
    """Those of lint, protos, audit, site and tests, and nothing is said of an audit that was made."""
    done = ci()
    assert done.returncode == 0
    called = ["make setup", "make lint", "make proto", "make proto-breaking", "make sbom", "make docs", "make test"]
    assert [line for line in done.stdout.splitlines() if line in called] == called
    assert "NOT AUDITED" not in done.stdout
