"""The report: files that need nothing but themselves."""

import csv
import json
import re
import shutil

import pytest

from experiments.report import write_report
from kvwire.errors import InvalidRequestError, NotFoundError

FIGURES = ("accuracy", "net_gain", "gain_retained", "kl_nats", "ttft", "keep")


def test_a_report_is_a_page_and_every_figure_and_table_as_files_of_their_own(report):
    """Figures as pictures and numbers, tables in two forms."""
    assert set(report) == {
        *("report.html", "report.md", "report.csv"),
        *(f"made-up-pocket-{name}.{kind}" for name in FIGURES for kind in ("svg", "csv")),
        *(f"made-up-pocket-{name}.tex" for name in ("arms", "controls", "comparisons")),
        *(f"made-up-pocket-front-{name}.tex" for name in FIGURES[:4]),
    }
    assert report["made-up-pocket-keep.svg"].parent.name == "figures"
    assert report["made-up-pocket-arms.tex"].parent.name == "tables"


def test_the_page_asks_nothing_of_the_network(report):
    """No link, no script, no foreign style, font or picture."""
    text = report["report.html"].read_text()
    assert not re.search(r"""src\s*=|href\s*=\s*"[^#]|@import|url\(|<script|<link|<img""", text)
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


def test_the_csv_has_every_arm_with_intervals(report):
    """Numbers, not texts."""
    rows = list(csv.DictReader(report["report.csv"].read_text().splitlines()))
    assert len(rows) == len({row["arm"] for row in rows}) == 5 + 3 * 5 + 2 + 3 * 5
    for row in rows:
        assert float(row["accuracy_low"]) <= float(row["accuracy"]) <= float(row["accuracy_high"])
    half = next(row for row in rows if row["arm"] == "prefix int8+keep=0.5,by=front")
    assert (half["codec"], half["keep"], half["selector"], half["recipe"]) == ("int8", "0.5", "front", "made-up")
    assert half["nll_nats_vs_uncompressed_verdict"] == "worse"


def test_markdown_tables_have_as_many_cells_as_their_head_and_say_what_cannot_be_told_apart(report):
    """And how large a difference would have shown."""
    text = report["report.md"].read_text()
    for table in text.split("### ")[1:]:
        assert len({line.count("|") for line in table.splitlines() if line.startswith("|")}) == 1
    assert re.search(r"not distinguishable: [^|]*; 30 items would show \d", text)


def test_latex_tables_are_of_booktabs_and_escaped(report):
    """As many columns in every row as are announced."""
    for path in report.values():
        if path.suffix == ".tex":
            columns, *rows = path.read_text().splitlines()
            assert rows[0] == "\\toprule"
            assert rows[-2:] == ["\\bottomrule", "\\end{tabular}"]
            expected = len(re.search(r"\{tabular\}\{([lr]+)\}", columns)[1])
            body = [row for row in rows if row.endswith("\\\\")]
            assert {len(re.findall(r"(?<!\\)&", row)) + 1 for row in body} == {expected}
            assert not any(re.search(r"(?<!\\)[%_#$]", row) for row in body)


def test_the_fronts_are_tables_with_a_verdict_at_equal_bytes(report):
    """Every arm on the front of a family that has a part in the front of all."""
    table = report["report.md"].read_text().split("### Front: KL")[1].split("###")[0]
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in table.splitlines() if line.startswith("|")]
    assert rows[0][3:5] == ["on the front", "at equal bytes, + is better"]
    sides = {row[0]: row[4].partition(":")[0] for row in rows[2:]}
    assert sides["prefix int8"] == "between"  # fp16 has more bits, and less KL
    assert set(sides.values()) <= {"above", "between", "not distinguishable", "below"}


def test_failures_are_counted_and_listed(write_results):
    """With arm, item and error, escaped."""

    def fail(record):
        if (record["arm"], record["item"]) == ("prefix int8", "item-2"):
            record.update(result=None, error="LocalError: 1 < 2", bytes=None, measured=None, tokens=None)

    folder = write_results(items=5, change=fail)
    write_report(folder.parent)
    assert "prefix int8, item item-2: LocalError: 1 &lt; 2" in (folder.parent / "report.html").read_text()


def test_what_shows_nothing_says_how_large_an_effect_it_could_have_seen(write_results):
    """The receiver alone is right on the same items as the uncompressed cache but for one: 6 of 30 are needed."""

    def equal(record):
        if record["arm"] in ("prefix fp32", "receiver_only"):
            record["result"]["right"] = int(record["item"].removeprefix("item-")) % 2 == 0
            record["result"]["right"] |= record["item"] == "item-1" and record["arm"] == "prefix fp32"

    folder = write_results(change=equal)
    write_report(folder.parent)
    expected = r"Shows nothing against receiver_only: accuracy \+3\.3 points [^;]*; 30 items would show 20\.0 points\."
    for name in ("report.html", "report.md"):
        assert re.search(expected, (folder.parent / name).read_text())


def test_a_headline_counts_the_caches_that_differ_from_the_uncompressed_one(report):
    """15 of them by accuracy; of those that do not, the largest difference that could have gone unseen."""
    text = report["report.md"].read_text()
    found = re.search(r"Other caches against it: (\d+) worse, (\d+) not distinguishable, where ([0-9.]+) points", text)
    assert int(found[1]) + int(found[2]) == 3 * 5
    rows = list(csv.DictReader(report["report.csv"].read_text().splitlines()))
    caches = [row for row in rows if row["codec"] and row["wrong_context"] == "False"]
    same = [row for row in caches if row["accuracy_vs_uncompressed_verdict"] == "not distinguishable"]
    smallest = [float(row["accuracy_vs_uncompressed_detectable"]) for row in same]
    assert len(smallest) == int(found[2])
    assert float(found[3]) == pytest.approx(100 * max(smallest), abs=0.05)


def test_an_unfinished_run_says_so(write_results):
    """On the page and in the table."""
    folder = write_results(items=5)
    path = folder / "results.jsonl"
    path.write_bytes(path.read_bytes()[:-100])
    write_report(folder.parent)
    for name in ("report.html", "report.md"):
        assert "not finished: 4 of 5 items" in (folder.parent / name).read_text()


def test_it_is_told_which_run_is_being_read(write_results):
    """Before its intervals are computed: 37 arms of 5 items."""
    told = []
    write_report(write_results(items=5).parent, told.append)
    assert told == [f"made-up: {5 * 37} lines"]


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
