"""Makes the golden frames from docs/wire-format.md alone: numpy and the standard library, nothing of kvwire.

Run once per format version or new codec: ``python tests/golden/codec/make.py NAME...``. A file that exists is never
overwritten, because frames of a released version must stay readable for ever.
"""

import struct
import sys
import zlib
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
LAYER, HEADS, TOKENS, DIM = 5, 2, 5, 72
DTYPE_CODES = {"uint8": 0, "int8": 1, "float16": 2, "bfloat16": 3, "float32": 4, "float8_e4m3fn": 5}


def source():
    """Keys and values, (2, HEADS, TOKENS, DIM) float32: congruential noise, an outlier, a token of zeros."""
    state, numbers = 12345, []
    for _ in range(2 * HEADS * TOKENS * DIM):
        state = (1103515245 * state + 12345) % 2**31
        numbers.append((state >> 8) / 2**22 - 1)
    x = np.array(numbers, dtype=np.float32).reshape(2, HEADS, TOKENS, DIM)
    x[0, 0, 0, 3] = -300.0
    x[1, 1, 2] = 0.0
    return x


def varint(value):
    out = b""
    while value >= 128:
        out += bytes([value % 128 + 128])
        value //= 128
    return out + bytes([value])


def text(value):
    return varint(len(value)) + value.encode("ascii")


def frame(spec, keys, values, *, flags=1, selection=b""):
    """Planes are (name, element type, array of the stored integers or floats)."""
    header = text(spec) + varint(LAYER) + varint(HEADS) + varint(DIM) + varint(TOKENS) + bytes([flags]) + selection
    header += varint(len(keys) + len(values))
    payload = b""
    for tag, planes in ((0, keys), (4, values)):
        for name, dtype, data in planes:
            header += bytes([tag, DTYPE_CODES[dtype] + 16 * data.ndim]) + text(name)
            header += b"".join(varint(dim) for dim in data.shape)
            payload += data.astype(data.dtype.newbyteorder("<")).tobytes()
    body = header + payload
    return b"KVF" + bytes([1]) + struct.pack("<I", zlib.crc32(body)) + body


def float16_not_below(x):
    """Each number's least float16 that is not smaller, by trying."""
    near = x.astype(np.float16)
    return np.where(near.astype(np.float64) < x, np.nextafter(near, np.float16(np.inf)), near)


def fp32(x):
    return [("x", "float32", x)], x


def fp16(x):
    return [("x", "float16", x.astype(np.float16))], x.astype(np.float16).astype(np.float32)


def bf16(x):
    bits = x.view(np.uint32).astype(np.uint64)
    upper = ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)
    return [("x", "bfloat16", upper)], (upper.astype(np.uint32) << 16).view(np.float32)


def int8(x, axes=(2,)):
    scale = float16_not_below(np.abs(x).max(axis=axes, keepdims=True) / np.float32(127))
    wide = scale.astype(np.float32)
    codes = np.rint(np.divide(x, wide, out=np.zeros_like(x), where=wide > 0)).astype(np.int8)
    return [("q", "int8", codes), ("s", "float16", scale)], codes * wide


def int8_per_head(x):
    return int8(x, axes=(1, 2))


#: File name -> spec, encoder.
CODECS = {
    "fp32": ("fp32", fp32),
    "fp16": ("fp16", fp16),
    "bf16": ("bf16", bf16),
    "int8": ("int8", int8),
    "int8-per-head": ("int8:per=head", int8_per_head),
}


def main(names):
    x = source()
    for name in names:
        spec, encode = CODECS[name]
        (keys, decoded_keys), (values, decoded_values) = encode(x[0]), encode(x[1])
        with (HERE / f"{name}.frame").open("xb") as out:
            out.write(frame(spec, keys, values))
        with (HERE / f"{name}.npy").open("xb") as out:
            np.save(out, np.stack([decoded_keys, decoded_values]).astype(np.float32))


if __name__ == "__main__":
    if not (HERE / "source.npy").exists():
        np.save(HERE / "source.npy", source())
    main(sys.argv[1:])
