"""``kvwire bench`` measures services and writes ratios by the names they are known by."""

import json
from pathlib import Path

import pytest

from bench.services import in_process, pipelining, reuse, wire
from kvwire.cli.bench import bench
from kvwire.errors import InvalidRequestError

KEYS = {
    "ttft_over_in_process",
    "ttft_over_longest_stage",
    "wire_over_bare_grpc",
    "reuse_bytes_ratio",
    "reuse_ttft_ratio",
    "throughput_32_over_1",
    "throughput_over_generate",
    *(f"prefill_{count}_together_over_alone" for count in (2, 4, 8)),
}


@pytest.mark.slow
def test_every_figure_is_measured_on_real_services(tiny_llama: Path, tmp_path, monkeypatch, capsys):
    """All of them above zero, printed and in the file; what a receiver holds is not sent again."""
    monkeypatch.setenv("KVWIRE_HOME", str(tmp_path))
    monkeypatch.setattr(pipelining, "_CHARACTERS", (600, 800))
    for module in (in_process, reuse, wire):
        monkeypatch.setattr(module, "_CHARACTERS", 800)  # the tiny model takes no more than 2,048 tokens
    bench(f"path:{tiny_llama}", quick=True, json_file=tmp_path / "bench.json")
    found = json.loads((tmp_path / "bench.json").read_text())
    assert {key for key, value in found.items() if isinstance(value, float)} == KEYS
    assert all(found[key] > 0 for key in KEYS)
    moved = found["details"]["one context, many questions"]["bytes"]
    assert max(moved[1:]) < moved[0] / 10
    assert f"reuse_bytes_ratio {found['reuse_bytes_ratio']:.3f}" in capsys.readouterr().out


def test_a_part_that_is_not_there_is_refused_before_any_is_measured(tmp_path):
    """With the names of those there are."""
    with pytest.raises(InvalidRequestError, match="'the wire alone'"):
        bench(part=["the wire alone", "the air"], json_file=tmp_path / "bench.json")
    assert not (tmp_path / "bench.json").exists()
