"""The map as a picture."""

import re

from bench.services.crossover_figure import plot


def cell(ratio, sharer, **ttft_s):
    return {"context_tokens": 64, "wire_over_prefill": ratio, "sharer": sharer, "ttft_s": ttft_s}


def texts(svg):
    return re.findall(r"<text[^>]*>([^<]*)</text>", svg)


def test_a_cell_names_the_fastest_way_and_the_next_one():
    """With their times."""
    found = texts(plot([cell(0.1, "cold", fp16=0.4, int8=0.3), cell(10.0, "warm", fp16=2.0, int8=9.0)]))
    assert found.index("int8") < found.index("300 ms") < found.index("then fp16 \u00d71.3")
    assert found.index("fp16") < found.index("2000 ms") < found.index("then int8 \u00d74.5")
