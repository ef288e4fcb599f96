"""What CI says of dependencies and protos: an audit that did not happen is no pass, and a break is seen."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from deploy.audit import CLEAN, NOT_AUDITED, VULNERABLE, Audit, run

ROOT = Path(__file__).parents[2]
BUF = shutil.which("buf", path=str(Path(sys.executable).parent)) or shutil.which("buf")

# As pip-audit 2.10 writes them.
FINE = {"name": "attrs", "version": "26.1.0", "vulns": []}
HURT = {
    "name": "urllib3",
    "version": "1.25.9",
    "vulns": [
        {"id": "PYSEC-2021-108", "fix_versions": ["1.26.5"], "aliases": ["CVE-2021-33503"], "description": "..."}
    ],
}
SKIPPED = {"name": "torch", "skip_reason": "Dependency not found on PyPI and could not be audited: torch (2.13.0)"}


@pytest.mark.parametrize(
    ("packages", "status", "said"),
    [
        ([FINE], CLEAN, "1 packages audited, 0 of them vulnerable"),
        ([FINE, HURT], VULNERABLE, "urllib3 1.25.9: PYSEC-2021-108, fixed in 1.26.5"),
        ([FINE, SKIPPED], NOT_AUDITED, "NOT AUDITED: 1 packages of which the index told nothing (torch)"),
        ([SKIPPED, HURT], VULNERABLE, "NOT AUDITED"),
        ([], NOT_AUDITED, "0 packages audited"),
    ],
)
def test_a_package_nobody_told_of_is_not_audited(packages, status, said):
    """pip-audit itself calls that a pass."""
    audit = Audit.of({"dependencies": packages, "fixes": []})
    assert audit.status == status
    assert any(said in line for line in audit.lines())


def test_an_audit_that_cannot_begin_is_none(tmp_path, capfd):
    """pip-audit's own words tell why."""
    pytest.importorskip("pip_audit", reason="pip-audit is not installed")
    assert run(tmp_path / "no-such-file.txt") is None
    assert "no-such-file" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("before", "after", "seen"),
    [
        ("", "", ""),
        ("string software = 9;", "string software = 9;\n  // More.\n  string more = 11;", ""),
        ("  string software = 9;\n", "", 'field "9" with name "software"'),
        ("string software = 9;", "bytes software = 9;", 'changed type from "string" to "bytes"'),
    ],
    ids=["as it is", "a field more", "a field less", "another type"],
)
def test_a_change_that_breaks_a_peer_of_the_last_release_is_seen(tmp_path, before, after, seen):
    """By ``buf breaking`` against the image that is checked in; one that adds is let through."""
    if BUF is None:
        pytest.skip("buf is not installed: not run")
    shutil.copytree(ROOT / "proto", tmp_path / "proto")
    file = tmp_path / "proto/kvwire/v1/model_service.proto"
    text = file.read_text()
    assert before in text
    file.write_text(text.replace(before, after, 1) if before else text)
    command = [BUF, "breaking", tmp_path / "proto", "--against", ROOT / "proto/released.binpb"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode == 0) == (not seen), done.stdout + done.stderr
    assert seen in done.stdout


@pytest.mark.slow
def test_the_bill_of_materials_names_what_is_installed(tmp_path):
    """By the tool and the options of ``make sbom``."""
    pytest.importorskip("cyclonedx_py", reason="cyclonedx-bom is not installed")
    [line] = [each for each in (ROOT / "Makefile").read_text().splitlines() if "/cyclonedx-py" in each]
    options = [each for each in line.split()[1:] if not each.startswith(("$", "build/", "-o"))]
    command = [sys.executable, "-m", "cyclonedx_py", *options, "-o", tmp_path / "sbom.json", sys.executable]
    subprocess.run(command, check=True, cwd=ROOT)
    bill = json.loads((tmp_path / "sbom.json").read_text())
    assert bill["bomFormat"] == "CycloneDX"
    assert {"torch", "grpcio", "protobuf"} <= {each["name"] for each in bill["components"]}
    assert bill["metadata"]["component"]["name"] == "kvwire"
