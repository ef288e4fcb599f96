"""The figures of a report: pictures, and the numbers in them."""

import csv
import json
import re
import xml.etree.ElementTree as ET

import pytest

from experiments.report import write_report
from experiments.report.axis import axis_for, bytes_text
from experiments.report.labels import at_ends
from experiments.report.panel import LEFT, WIDTH, Point, Series
from kvwire.errors import InvalidRequestError

SVG = "{http://www.w3.org/2000/svg}"


def svg_of(report, name):
    return ET.fromstring(report[f"made-up-pocket-{name}.svg"].read_text())  # noqa: S314  # our own


def numbers_of(report, name):
    return list(csv.DictReader(report[f"made-up-pocket-{name}.csv"].read_text().splitlines()))


def classes(element):
    return [path.get("class").split() for path in element.iter(f"{SVG}path")]


def words(element):
    return [text.text for text in element.iter(f"{SVG}text")]


def test_quality_against_bytes_has_a_point_per_arm_with_its_interval_and_the_front(report):
    """16 caches and two texts, hollow where tokens were dropped; lines across for the receiver; a key to the marks."""
    panel, key = svg_of(report, "accuracy").findall(f"{SVG}svg")
    assert panel.find(f"{SVG}title").text == "accuracy"
    kinds = classes(panel)
    assert sum("error" in kind for kind in kinds) == 1 + 3 * 5 + 2
    assert sum("hollow" in kind for kind in kinds) == 3 * 4
    assert sum("front" in kind for kind in kinds) == 1
    assert sum("level" in kind for kind in kinds) == 2
    assert {"fp32", "fp16", "int8", "int4", "Pareto front of the caches"} <= set(words(key))


def test_what_is_drawn_is_named_beside_it(report):
    """The receiver's lines, the texts, and each codec that keeps all tokens."""
    panel = svg_of(report, "gain_retained").find(f"{SVG}svg")
    assert {"fp32", "fp16", "int8", "int4", "text", "verbatim", "receiver_only"} <= set(words(panel))


def test_the_numbers_of_a_figure_are_those_of_the_report(report):
    """Each point's bytes, value and interval."""
    rows = {row["arm"]: row for row in csv.DictReader(report["report.csv"].read_text().splitlines())}
    points = [line for line in numbers_of(report, "kl_nats") if line["kind"] == "point"]
    assert len(points) == 3 * 5 + 2
    for point in points:
        row = rows[point["label"].partition(":")[0]]
        assert float(point["x"]) == float(row["wire_bytes"])
        assert [float(point[key]) for key in ("y", "low", "high")] == [
            float(row[f"kl_nats{end}"]) for end in ("", "_low", "_high")
        ]


def test_the_front_in_the_numbers_is_the_one_that_is_drawn(report):
    """A step per point, and bytes and quality rise together."""
    front = [line for line in numbers_of(report, "gain_retained") if line["kind"] == "front"]
    [path] = [
        p for p in svg_of(report, "gain_retained").find(f"{SVG}svg").iter(f"{SVG}path") if p.get("class") == "front"
    ]
    assert path.get("d").count("V") == len(front) - 1
    assert [float(line["x"]) for line in front] == sorted(float(line["x"]) for line in front)
    assert [float(line["y"]) for line in front] == sorted(float(line["y"]) for line in front)


def test_net_gains_stand_against_bytes_per_token_of_the_sharer_below_the_uncompressed_cache_and_its_goal(report):
    """int8: 8.25 bits of 100 values in 40 slots are 33,000 bytes, for 50 tokens that the sharer read."""
    text = report["made-up-pocket-net_gain.svg"].read_text()
    assert "payload bytes per token of the context" in text
    assert {"uncompressed", "90 % of it"} <= set(words(svg_of(report, "net_gain")))
    assert re.search(r"<title>prefix int8: [^<]*, 660 B</title>", text)


def test_dropped_tokens_are_a_curve_per_selector_in_a_panel_per_codec(report):
    """From all tokens to the least, each named at its end."""
    panels = svg_of(report, "keep").findall(f"{SVG}svg")
    assert [panel.find(f"{SVG}title").text for panel in panels] == [
        f"{codec}, context gain retained" for codec in ("fp16", "int8", "int4")
    ]
    for panel in panels:
        assert sum("line" in kind for kind in classes(panel)) == 2
        assert {"recency", "front"} <= set(words(panel))
    kept = [
        line["x"] for line in numbers_of(report, "keep") if line["panel"].startswith("int8") and line["name"] == "front"
    ]
    assert kept == ["1.0", "0.5", "0.1"]


def test_latencies_are_of_timed_items_only(write_results):
    """The uncompressed cache is asked by itself for every item; only where all arms were are these latencies."""

    def time(record):
        if record["item"] != "item-0":
            record["measured"]["e2e_ms"] = None
            record["measured"]["ttft_ms"] = 9999.0 if record["arm"] == "prefix fp32" else None

    folder = write_results(items=5, change=time)
    write_report(folder.parent)
    lines = (folder.parent / "figures" / "made-up-pocket-ttft.csv").read_text().splitlines()
    drawn = {line["name"]: line for line in csv.DictReader(lines)}
    assert {line["y"] for line in drawn.values()} == {"50.0"}
    assert "p50 of 1 items" in (folder.parent / "report.html").read_text()


def test_bytes_against_length_where_contexts_are_of_several_lengths(write_results):
    """In proportion here; none where all are of one length, as in the other tests."""

    def lengthen(record):
        if record["bytes"] and record["tokens"]["slots"]:
            times = 1 + int(record["item"].removeprefix("item-")) % 4
            record["tokens"]["context"] *= times
            record["bytes"]["payload"] *= times

    folder = write_results(items=8, change=lengthen)
    write_report(folder.parent)
    assert "to the power of 1.00 to 1.00" in (folder.parent / "report.html").read_text()
    lines = (folder.parent / "figures" / "made-up-bytes-by-length.csv").read_text().splitlines()
    int8 = [(float(line["x"]), float(line["y"])) for line in csv.DictReader(lines) if line["name"] == "int8"]
    assert int8 == [(50 * times, 33_000 * times) for times in (1, 2, 3, 4)]


def test_a_sensitivity_profile_in_the_folder_is_drawn(write_results):
    """By codec and by head, a panel for keys and one for values each; other JSON is left alone."""
    folder = write_results(items=5).parent
    rows = [[[0.01 * (layer + 1), 0.001], [0.002, 0.0]] for layer in range(4)]
    profile = {"format": "kvwire profile", "version": 1, "model": "tiny", "weights": "ab", "tokens": 512}
    profile |= {"scored_tokens": 32, "windows": 2, "codecs": ["nf4", "int8"], "divergences": rows}
    profile |= {"heads": [[[0.1, 0.2, 0.3], [0.01, 0.02, 0.03]]] * 4}
    (folder / "profile.json").write_text(json.dumps(profile))
    (folder / "rows.json").write_text("[1, 2]")
    (folder / "cut.json").write_text("{")
    write_report(folder)
    page = (folder / "report.html").read_text()
    assert "Most sensitive: keys of layer 3, nf4; keys of layer 2, nf4" in page
    assert "Each kv head alone by nf4." in page
    lines = list(csv.DictReader((folder / "figures" / "profile-tiny-codec.csv").read_text().splitlines()))
    assert [float(line["y"]) for line in lines if (line["panel"], line["name"]) == ("tiny, keys", "nf4")] == [
        pytest.approx(0.01 * (layer + 1)) for layer in range(4)
    ]
    lines = list(csv.DictReader((folder / "figures" / "profile-tiny-head.csv").read_text().splitlines()))
    assert {line["name"] for line in lines} == {"head 0", "head 1", "head 2"}


def test_a_name_too_long_for_its_panel_is_cut():
    """Codecs with many parameters."""
    x, y = (
        axis_for([1.0, 2.0], LEFT, WIDTH - 112, log=False, text=bytes_text),
        axis_for([0, 1], 0, 9, log=False, text=str),
    )
    long = "nf4+mix=L4-8@hadamard:bits=2+of=latents"
    drawn = "".join(at_ends([Series(name, 0, (Point(2.0, 1.0, 1.0, 1.0, ""),)) for name in ("int8", long)], x, y))
    assert ">int8</text>" in drawn
    assert re.search(r">nf4\+mix=L4-8@h[^<]*…</text>", drawn)


def test_a_damaged_profile_is_refused_by_file_and_place(write_results):
    """One that says it is a profile, without its codecs."""
    folder = write_results(items=5).parent
    (folder / "profile.json").write_text('{"format": "kvwire profile", "version": 1, "model": "tiny"}')
    with pytest.raises(InvalidRequestError, match=r"profile\.json is a damaged profile \(codecs: "):
        write_report(folder)


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
