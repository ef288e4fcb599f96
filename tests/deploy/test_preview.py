"""Previews show every panel of a dashboard, from real queries, and say that they are no screenshots of Grafana."""

import shutil
import xml.etree.ElementTree as ET

import pytest
from PIL import Image

from deploy.grafana.preview import graph, heatmap
from deploy.grafana.preview.page import WIDTH, page
from deploy.grafana.preview.panels import FILES, Dashboard
from deploy.grafana.preview.picture import photograph
from deploy.grafana.preview.prometheus import Span
from deploy.grafana.preview.svg import Named
from deploy.grafana.preview.units import written

SPAN = Span(0.0, 60.0, 5.0)


def drawn(made):
    return ET.fromstring(made.html.partition("</style>")[2])  # noqa: S314  # our own


def panel(unit, **defaults):
    return {"title": "a title", "fieldConfig": {"defaults": {"unit": unit, "noValue": "none", **defaults}}}


def texts(svg):
    return [found.text for found in ET.fromstring(f"<svg>{svg}</svg>").iter("text")]  # noqa: S314  # our own


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
@pytest.mark.slow
def test_a_page_draws_every_panel_with_data(watched, file):
    """Each in a drawing of its own, with its title, and none is empty after a load test."""
    dashboard = Dashboard.read(file)
    svg = drawn(page(dashboard, watched.prometheus, watched.span, "a load test"))
    panels = list(svg)[-len(dashboard.made["panels"]) :]
    words = ["".join(one.itertext()) for one in panels]
    for asked, text in zip(dashboard.made["panels"], words, strict=True):
        assert asked["title"] in text
    assert not [text for text in words if "no data" in text or text.endswith("none")]


@pytest.mark.slow
def test_a_page_says_what_it_is_and_of_what(watched):
    """On top, where nobody can miss it."""
    dashboard = Dashboard.read(FILES[0])
    words = list(drawn(page(dashboard, watched.prometheus, watched.span, "of a tiny model")).itertext())
    assert "A preview drawn by kvwire from the dashboard's own queries, not a screenshot of Grafana." in words
    assert "of a tiny model" in words


@pytest.mark.slow
def test_a_picture_is_as_large_as_its_page(watched, tmp_path):
    """Nothing is cut off, and it is small enough to be kept in a repository."""
    chromium = shutil.which("chromium") or pytest.skip("chromium is not here")
    made = page(Dashboard.read(FILES[0]), watched.prometheus, watched.span, "a load test")
    photograph(chromium, made, tmp_path / "picture.png")
    with Image.open(tmp_path / "picture.png") as picture:
        assert picture.size == (WIDTH, made.height)
        assert len(picture.convert("RGB").getcolors(1 << 16)) > 20
    assert (tmp_path / "picture.png").stat().st_size < 300_000


def test_a_gap_in_a_series_stays_a_gap():
    """Where a query gave nothing, no line pretends that it did."""
    series = Named("one", [(0.0, 1.0), (5.0, 2.0), (20.0, 3.0), (25.0, 3.0)])
    assert graph.draw(panel("s"), [series], SPAN, 400, 200).count('class="curve"') == 2


def test_a_panel_without_series_says_so():
    """In the dashboard's own words."""
    assert texts(graph.draw(panel("s"), [], SPAN, 400, 200)) == ["a title", "none"]


def test_a_heatmap_counts_what_is_in_a_bucket_and_in_none_below():
    """Prometheus counts those below too: of 5 up to 2 s, 4 were up to 1 s, so one cell holds 4 and one 1."""
    series = [Named("1", [(5.0, 4.0)]), Named("2", [(5.0, 5.0)]), Named("+Inf", [(5.0, 5.0)])]
    svg = ET.fromstring(f"<svg>{heatmap.draw(panel('s'), series, SPAN, 400, 200)}</svg>")  # noqa: S314  # our own
    cells = [float(cell.get("fill-opacity")) for cell in svg.iter("rect") if cell.get("fill-opacity")]
    assert cells == [1.0, pytest.approx(0.12 + 0.88 / 4)]


@pytest.mark.parametrize(
    ("unit", "value", "expected"),
    [
        ("s", 0.0042, "4.2 ms"),
        ("s", 12.0, "12 s"),
        ("Bps", 1_500_000.0, "1.5 MB/s"),
        ("bytes", 12.0, "12 B"),
        ("percentunit", 0.05, "5 %"),
        ("suffix:bit", 4.52, "4.52 bit"),
    ],
)
def test_a_number_is_written_with_its_unit(unit, value, expected):
    """As a reader expects it."""
    assert written(unit)(value) == expected
