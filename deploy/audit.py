"""Known vulnerabilities of the pinned packages: ``python -m deploy.audit``, or ``make audit``.

pip-audit asks PyPI about each line of constraints.txt. It passes over packages that the index does not answer for, and
then says that nothing was found; here that is no pass. Exit status: 0 all were audited and nothing is known of them,
1 something is, 2 some or all could not be audited.
"""

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_CONSTRAINTS = Path(__file__).parents[1] / "constraints.txt"

CLEAN, VULNERABLE, NOT_AUDITED = 0, 1, 2


@dataclass(frozen=True)
class Audit:
    """What is known: packages that were audited, vulnerabilities by package, and packages nobody could tell of."""

    audited: tuple[str, ...]
    vulnerable: dict[str, tuple[str, ...]]
    skipped: tuple[str, ...]

    @classmethod
    def of(cls, answer: dict[str, Any]) -> "Audit":
        """From pip-audit's JSON."""
        packages = answer["dependencies"]
        told = [each for each in packages if "skip_reason" not in each]
        return cls(
            tuple(each["name"] for each in told),
            {f"{each['name']} {each['version']}": _vulnerabilities(each) for each in told if each["vulns"]},
            tuple(each["name"] for each in packages if "skip_reason" in each),
        )

    @property
    def status(self) -> int:
        """The exit status."""
        if self.vulnerable:
            return VULNERABLE
        return NOT_AUDITED if self.skipped or not self.audited else CLEAN

    def lines(self) -> list[str]:
        """For people."""
        found = [f"{package}: {each}" for package, known in self.vulnerable.items() for each in known]
        if self.skipped:
            some = ", ".join(self.skipped[:5]) + (", ..." if self.skipped[5:] else "")
            found.append(f"NOT AUDITED: {len(self.skipped)} packages of which the index told nothing ({some})")
        return [*found, f"{len(self.audited)} packages audited, {len(self.vulnerable)} of them vulnerable"]


def _vulnerabilities(package: dict[str, Any]) -> tuple[str, ...]:
    return tuple(
        f"{each['id']}, fixed in {', '.join(each['fix_versions']) or 'no version yet'}" for each in package["vulns"]
    )


def run(constraints: Path) -> Audit | None:
    """Audit a file of pinned packages; None, with pip-audit's own words on standard error, if it could not."""
    options = ["--no-deps", "--disable-pip", "--progress-spinner=off", "--format=json", f"--requirement={constraints}"]
    command = [sys.executable, "-m", "pip_audit", *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603  # our own interpreter
    try:
        return Audit.of(json.loads(done.stdout))
    except (json.JSONDecodeError, KeyError):
        sys.stderr.write(done.stderr)
        return None


def main() -> int:
    """Audit what this project pins."""
    found = run(_CONSTRAINTS)
    lines = ["NOT AUDITED: pip-audit could not ask; its words are above"] if found is None else found.lines()
    sys.stdout.write("\n".join(lines) + "\n")
    return NOT_AUDITED if found is None else found.status


if __name__ == "__main__":
    sys.exit(main())
