"""examples/cache_to_bytes.py, run as it is."""

import re
import runpy
from pathlib import Path

EXAMPLE = Path(__file__).parents[2] / "examples" / "cache_to_bytes.py"


def test_a_cache_becomes_bytes_and_a_cache_again(tiny_llama, capsys):
    """Fewer bytes from codec to codec, and int8 changes next to nothing."""
    runpy.run_path(str(EXAMPLE))["main"](str(tiny_llama))
    rows = re.findall(r"(\S+) +(\d+) bytes +(\d+\.\d+) %", capsys.readouterr().out)
    sizes, chances = ([float(row[at]) for row in rows] for at in (1, 2))
    assert [row[0] for row in rows] == ["fp32", "int8", "nf4", "kivi:bits=2"]
    assert sizes == sorted(sizes, reverse=True)
    assert abs(chances[1] - chances[0]) < 1
