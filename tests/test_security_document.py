"""SECURITY.md names a test for each threat, and each of them exists."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "SECURITY.md").read_text()
NAMED = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", TEXT)


def threats():
    table = TEXT.split("## Threats")[1].split("## ")[0]
    return [row for row in table.splitlines() if row.startswith("| ")][1:]


def test_every_threat_has_a_test():
    """And what is done about it."""
    rows = [[cell.strip() for cell in row.strip("|").split("|")] for row in threats()]
    assert len(rows) > 15
    assert [row[0] for row in rows if len(row) != 3 or not row[1] or "::" not in row[2]] == []


@pytest.mark.parametrize(("file", "test"), sorted(set(NAMED)))
def test_a_named_test_exists(file, test):
    """A test that is renamed takes the document with it."""
    tree = ast.parse((ROOT / file).read_text())
    assert test in {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
