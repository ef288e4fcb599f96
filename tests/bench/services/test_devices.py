"""Where the time to the first token goes, by way and device."""

import json

from bench.services.devices import READ, Row, main, table


def test_a_table_has_a_row_for_each_way_and_a_dash_for_what_it_has_not():
    """Milliseconds, and millions of bytes."""
    rows = [
        Row(READ, 512, 44.4, 0, {"receiver prefill": 40.0}, [44.4]),
        Row("int8", 512, 155.2, 29_820_420, {"sharer encode": 43.4, "receiver wait": 1.0}, [155.2]),
    ]
    assert table(rows).splitlines()[2:] == [
        "| 512, receiver_reads | 44 | 0.0 | - | - | - | - | - | 40 |",
        "| 512, int8 | 155 | 29.8 | - | 43 | - | - | - | - |",
    ]


def test_ways_are_measured_by_turns_on_a_real_pair(tiny_llama, tmp_path):
    """Every round asks for each; a file has what came."""
    found = tmp_path / "found.json"
    main(found, model=f"path:{tiny_llama}", shape="", length=[16], way=[READ, "int8"], rounds=2)
    rows = json.loads(found.read_text())["rows"]
    assert [(row["way"], len(row["all_ttft_ms"]), row["payload_bytes"] > 0) for row in rows] == [
        (READ, 2, False),
        ("int8", 2, True),
    ]
