"""Pages of the repository as pages of a site; `make docs` builds all of it and ends at the first warning."""

import pytest

from deploy.site.__main__ import ELSEWHERE, gather
from deploy.site.relink import relinked
from kvwire.errors import InvalidRequestError

NAMES = {"docs/http.md": "http.md", "README.md": "start.md"}


@pytest.fixture
def root(tmp_path):
    (tmp_path / "docs" / "figures").mkdir(parents=True)
    (tmp_path / "codec").mkdir()
    for name in ("docs/http.md", "README.md", "docs/figures/a.svg"):
        (tmp_path / name).touch()
    return tmp_path


@pytest.mark.parametrize(
    ("link", "shown"),
    [
        ("[page](../README.md#use)", "[page](start.md#use)"),
        ("[page](http.md)", "[page](http.md)"),
        ("![a](figures/a.svg)", "![a](figures/a.svg)"),
        ("[web](https://example.org/x.md)", "[web](https://example.org/x.md)"),
        ("[here](#start)", "[here](#start)"),
        ("[codecs](../codec)", "codecs (`codec`)"),
    ],
)
def test_a_link_goes_to_the_site_s_page(root, link, shown):
    """To pages and pictures that it has; of a folder, which it has not, the name is told."""
    (root / "docs" / "a.md").write_text(link)
    assert relinked(root, "docs/a.md", NAMES) == shown


def test_a_link_to_nothing_is_an_error(root):
    """With the page and the target."""
    (root / "docs" / "a.md").write_text("[gone](gone.md)")
    with pytest.raises(InvalidRequestError, match=r"docs/a\.md links to gone\.md"):
        relinked(root, "docs/a.md", NAMES)


def test_all_pages_are_gathered(tmp_path):
    """Those of docs/, those that stand elsewhere, and the command line's."""
    gather(tmp_path / "site")
    found = {page.name for page in (tmp_path / "site").glob("*.md")}
    assert found > {*ELSEWHERE, "index.md", "operations.md", "architecture.md"}
    assert "kvwire experiment run" in (tmp_path / "site" / "reference" / "cli.md").read_text()
