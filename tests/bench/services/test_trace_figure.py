"""One request's trace as a picture, from the spans of real services."""

from xml.etree import ElementTree as ET

import pytest

pytest.importorskip("opentelemetry.sdk", reason="the extra kvwire[otel] is not installed")

from bench.services.trace_figure import main

LAYERS = 4


@pytest.mark.slow
def test_every_stage_has_a_row_and_every_layer_a_bar(tiny_llama, tmp_path, monkeypatch):
    """Both services in one picture; nothing of the request that warmed them up."""
    monkeypatch.setenv("KVWIRE_HOME", str(tmp_path))
    monkeypatch.setenv("KVWIRE_THREADS", "1")
    main(tmp_path / "trace.svg", f"path:{tiny_llama}:path:{tiny_llama}", "int8", 1, 2)
    drawn = ET.parse(tmp_path / "trace.svg").getroot()  # noqa: S314  # ours
    words = [each.text for each in drawn.iter("{http://www.w3.org/2000/svg}text")]
    bars = [each.text for each in drawn.iter("{http://www.w3.org/2000/svg}title")]
    assert [words.count(each) for each in ("receiver: Generate", "sharer: Share", "decode", "encode")] == [1, 1, 1, 1]
    for stage in ("encode", "decode_frames", "place"):
        found = [bar.partition(":")[0] for bar in bars if bar.startswith(f"{stage} layer")]
        assert found == [f"{stage} layer {layer}" for layer in range(LAYERS)]
