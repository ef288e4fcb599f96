"""Builds the site; a broken link or anchor, and whatever else Sphinx warns of, ends it with status 1."""

import shutil
import sys
from pathlib import Path

from sphinx.cmd.build import build_main

from deploy.site.cli_page import cli_page
from deploy.site.relink import relinked

ROOT = Path(__file__).parents[2]
SOURCE, SITE = ROOT / "build" / "site-source", ROOT / "build" / "site"

#: Pages that stand elsewhere than in docs/, by what the site calls them.
ELSEWHERE = {
    "start.md": "README.md",
    "security.md": "SECURITY.md",
    "changes.md": "CHANGELOG.md",
    "fuzzing.md": "tests/fuzz/README.md",
}


def gather(folder: Path) -> None:
    """Put all pages into one folder, their links going by it.

    Raises:
        InvalidRequestError: A page links to a file that is not there.
    """
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(Path(__file__).parent / "pages", folder)
    shutil.copytree(ROOT / "docs" / "figures", folder / "figures")
    places = {page.name: f"docs/{page.name}" for page in sorted((ROOT / "docs").glob("*.md"))} | ELSEWHERE
    names = {place: name for name, place in places.items()}
    for name, place in places.items():
        (folder / name).write_text(relinked(ROOT, place, names), encoding="utf-8")
    (folder / "reference" / "cli.md").write_text(cli_page(), encoding="utf-8")


if __name__ == "__main__":
    gather(SOURCE)
    shutil.rmtree(SITE, ignore_errors=True)
    here = str(Path(__file__).parent)
    sys.exit(
        build_main(["-W", "--keep-going", "-q", "-E", "-c", here, "-d", f"{SOURCE}-trees", str(SOURCE), str(SITE)])
    )
