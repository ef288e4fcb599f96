"""The report: files that need nothing but themselves."""

import csv
import json
import re
import shutil
import xml.etree.ElementTree as ET

import pytest

from experiments.report import write_report
from experiments.report.axis import axis_for, bytes_text
from kvwire.errors import InvalidRequestError, NotFoundError


@pytest.fixture
def report(write_results):
    folder = write_results()
    return {path.name: path for path in write_report(folder.parent)}


def test_a_report_is_a_page_a_table_in_two_forms_and_a_figure_per_metric_and_of_net_gains(report):
    """One folder, all of it."""
    assert set(report) == {
        "report.html",
        "report.md",
        "report.csv",
        *(f"made-up-pocket-{name}.svg" for name in ("accuracy", "nll_nats", "kl_nats", "top1", "net_gain")),
    }


def test_the_page_asks_nothing_of_the_network(report):
    """No link, no script, no foreign style, font or picture."""
    text = report["report.html"].read_text()
    assert not re.search(r"""(?:src|href)\s*=|@import|url\(|<script|<link|<img""", text)
    assert set(re.findall(r"https?://[^\"'<> ]+", text)) == {"http://www.w3.org/2000/svg"}


def test_the_page_is_for_light_and_dark_and_for_phones(report):
    """By style alone."""
    text = report["report.html"].read_text()
    assert "prefers-color-scheme: dark" in text
    assert 'name="viewport"' in text


def test_text_from_a_recipe_is_escaped(report):
    """A title is no markup."""
    text = report["report.html"].read_text()
    assert "Made up &lt;on&gt; the spot" in text
    assert "<on>" not in text


def test_a_figure_has_a_curve_per_codec_with_intervals_lines_for_the_receiver_and_marks_for_text(report):
    """In a panel per selector, and a legend."""
    root = ET.fromstring(report["made-up-pocket-accuracy.svg"].read_text())  # noqa: S314  # our own
    name = "{http://www.w3.org/2000/svg}"
    *panels, legend = root.findall(f"{name}svg")
    assert [panel.find(f"{name}title").text for panel in panels] == ["kept by recency", "kept by front"]
    for panel in panels:
        paths = [path.get("class") for path in panel.iter(f"{name}path")]
        assert sum("line" in kind.split() for kind in paths) == 4 + 2
        assert sum("error" in kind.split() for kind in paths) == 1 + 3 * 3 + 2
        assert sum("level" in kind.split() for kind in paths) == 2
        assert len(panel.findall(f"{name}rect")) == 2
    words = [text.text for text in legend.iter(f"{name}text")]
    assert {"fp16", "int8", "int4", "text", "verbatim", "receiver_only", "receiver_reads"} <= set(words)


def test_net_gains_stand_against_bytes_per_token_of_the_sharer_below_the_uncompressed_cache_and_its_goal(report):
    """int8: 8.25 bits of 100 values in 40 slots are 33,000 bytes, for 50 tokens that the sharer read."""
    text = report["made-up-pocket-net_gain.svg"].read_text()
    assert "payload bytes per token of the context" in text
    assert {"uncompressed", "90 % of it"} <= set(re.findall(r'<text x="50" y="4">([^<]*)</text>', text))
    assert re.search(r"<title>prefix int8: [^<]*, 660 B</title>", text)


def test_the_csv_has_every_arm_with_intervals(report):
    """Numbers, not texts."""
    rows = list(csv.DictReader(report["report.csv"].read_text().splitlines()))
    assert len(rows) == len({row["arm"] for row in rows}) == 5 + 3 * 5 + 2 + 3 * 5
    for row in rows:
        assert float(row["accuracy_low"]) <= float(row["accuracy"]) <= float(row["accuracy_high"])
    half = next(row for row in rows if row["arm"] == "prefix int8+keep=0.5,by=front")
    assert (half["codec"], half["keep"], half["selector"], half["recipe"]) == ("int8", "0.5", "front", "made-up")
    assert half["nll_nats_vs_uncompressed_verdict"] == "worse"


def test_the_markdown_table_says_in_words_what_cannot_be_told_apart(report):
    """Each row has as many cells as the head."""
    lines = [line for line in report["report.md"].read_text().splitlines() if line.startswith("|")]
    assert len({line.count("|") for line in lines}) == 1
    assert "not distinguishable" in "".join(lines)


def test_failures_are_counted_and_listed(write_results):
    """With arm, item and error, escaped."""

    def fail(record):
        if (record["arm"], record["item"]) == ("prefix int8", "item-2"):
            record.update(result=None, error="LocalError: 1 < 2", bytes=None, measured=None, tokens=None)

    folder = write_results(items=5, change=fail)
    write_report(folder.parent)
    assert "prefix int8, item item-2: LocalError: 1 &lt; 2" in (folder.parent / "report.html").read_text()


def test_an_unfinished_run_says_so(write_results):
    """On the page and in the table."""
    folder = write_results(items=5)
    path = folder / "results.jsonl"
    path.write_bytes(path.read_bytes()[:-100])
    write_report(folder.parent)
    for name in ("report.html", "report.md"):
        assert "not finished: 4 of 5 items" in (folder.parent / name).read_text()


def test_timings_taken_on_ray_are_marked(write_results):
    """On the page and in Markdown; those of one process need no mark."""
    for engine, marks in (("ray", 1), ("in-process", 0)):
        folder = write_results(name=engine)
        run = json.loads((folder / "run.json").read_text())
        run["machine"] |= {"engine": engine, "workers": 2}
        (folder / "run.json").write_text(json.dumps(run))
        texts = [path.read_text() for path in write_report(folder.parent) if path.suffix in (".html", ".md")]
        assert [text.count("Timings were taken in 2 actors of Ray") for text in texts] == [marks, marks]
        shutil.rmtree(folder)


def test_a_folder_without_results_is_refused(tmp_path, write_results):
    """None at all, or none finished."""
    with pytest.raises(NotFoundError, match="holds no results"):
        write_report(tmp_path)
    folder = write_results(items=1)
    (folder / "results.jsonl").write_text("")
    with pytest.raises(InvalidRequestError, match="finished"):
        write_report(folder.parent)


@pytest.mark.parametrize(
    ("values", "log", "ticks"),
    [
        ([0.0, 1.0], False, [0, 0.5, 1]),
        ([500.0, 900_000.0], True, [1e3, 1e4, 1e5, 1e6]),
        ([0.2, 0.6], True, [0.2, 0.5]),
        ([3.0], False, [2.9, 3, 3.1]),
    ],
)
def test_ticks_are_round_numbers_inside_of_the_axis(values, log, ticks):
    """Linear and logarithmic, wide and narrow."""
    axis = axis_for(values, 0, 100, log=log, text=bytes_text)
    found = axis.ticks()
    assert set(ticks) <= set(found) | {0.0}
    assert all(axis.low <= tick <= axis.high for tick in found)
    assert 2 <= len(found) <= 10
