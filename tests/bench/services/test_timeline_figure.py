"""One request behind a link as a picture, from the spans of real services."""

from xml.etree import ElementTree as ET

import pytest

pytest.importorskip("opentelemetry.sdk", reason="the extra kvwire[otel] is not installed")

from bench.services.timeline_figure import main

LAYERS = 4


@pytest.mark.slow
def test_every_layer_has_a_bar_of_every_stage(tiny_llama, tmp_path, monkeypatch):
    """Of the request that is drawn alone; its prompt, which all layers read at once, has one."""
    monkeypatch.setenv("KVWIRE_HOME", str(tmp_path))
    monkeypatch.setenv("KVWIRE_THREADS", "1")
    main(tmp_path / "timeline.svg", f"path:{tiny_llama}", characters=400)
    drawn = ET.parse(tmp_path / "timeline.svg").getroot()  # noqa: S314  # ours
    bars = [each.text.partition(":")[0] for each in drawn.iter("{http://www.w3.org/2000/svg}title")]
    for stage in ("prefill", "encode", "wire", "decode_frames", "place"):
        assert [bar for bar in bars if bar.startswith(f"{stage} ")] == [f"{stage} {layer}" for layer in range(LAYERS)]
    assert bars.count("prompt") == 2  # its bar and its colour's
