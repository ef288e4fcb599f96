"""Makes the golden frames from docs/wire-format.md alone: numpy and the standard library, nothing of kvwire.

Run once per format version or new codec: ``python tests/golden/codec/make.py NAME...`` (all without NAME). A file that
exists is never overwritten, because frames of a released version must stay readable for ever.
"""

import struct
import sys
import zlib
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
LAYER = 5
DTYPE_CODES = {"uint8": 0, "int8": 1, "float16": 2, "bfloat16": 3, "float32": 4, "float8_e4m3fn": 5}

#: For rope=pre: where the tokens stood, and the angles of 36 pairs of channels.
POSITIONS = np.array([7, 8, 9, 10, 600])
INV_FREQ = np.array([10000.0 ** (-pair / 36) for pair in range(36)], dtype=np.float32)


def source(heads, tokens, dim):
    """Keys and values, (2, heads, tokens, dim) float32: congruential noise, an outlier, a token of zeros."""
    state, numbers = 12345, []
    for _ in range(2 * heads * tokens * dim):
        state = (1103515245 * state + 12345) % 2**31
        numbers.append((state >> 8) / 2**22 - 1)
    x = np.array(numbers, dtype=np.float32).reshape(2, heads, tokens, dim)
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


def frame(spec, tokens, keys, values, *, flags=1, selection=b""):
    """Planes are (name, element type, array of the stored integers or floats[, group of heads[, zstd bytes]])."""
    heads, dim = HEADS_AND_DIM[tokens]
    header = text(spec) + varint(LAYER) + varint(heads) + varint(dim) + varint(tokens) + bytes([flags]) + selection
    header += varint(len(keys) + len(values))
    payload = b""
    for tag, planes in ((0, keys), (4, values)):
        for name, dtype, data, *more in planes:
            group, squeezed = (*more, *(0, None)[len(more) :])
            header += bytes([tag + 8 * group + bool(squeezed), DTYPE_CODES[dtype] + 16 * data.ndim]) + text(name)
            header += b"".join(varint(dim) for dim in data.shape)
            header += varint(len(squeezed)) if squeezed else b""
            payload += squeezed or data.astype(data.dtype.newbyteorder("<")).tobytes()
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


def e4m3(code):
    """The number an E4M3 byte stands for: sign, 4 bits of exponent (bias 7), 3 of fraction."""
    sign, exponent, fraction = -1.0 if code & 128 else 1.0, code >> 3 & 15, code & 7
    return sign * (fraction * 2.0**-9 if exponent == 0 else (8 + fraction) * 2.0 ** (exponent - 10))


def fp8(x, axes=(1, 2)):
    scale = float16_not_below(np.abs(x).max(axis=axes, keepdims=True) / np.float32(448))
    wide = scale.astype(np.float32)
    y = np.divide(x, wide, out=np.zeros_like(x), where=wide > 0)
    numbers = np.array([e4m3(code) for code in range(127)])
    codes = np.empty(x.shape, dtype=np.uint8)
    for at in np.ndindex(x.shape):
        gaps = np.abs(numbers - abs(float(y[at])))
        nearest = np.flatnonzero(gaps == gaps.min())
        even = [code for code in nearest if code % 2 == 0] or nearest
        codes[at] = int(even[0]) | (128 if np.signbit(y[at]) else 0)
    decoded = np.array([e4m3(code) for code in range(256)], dtype=np.float32)[codes] * wide
    return [("q", "float8_e4m3fn", codes), ("s", "float16", scale)], decoded


def fp8_per_token(x):
    return fp8(x, axes=(2,))


def four_bit(x, levels, choose, block):
    dim = x.shape[2]
    blocks = range(0, dim, block)
    scale = np.stack([np.abs(x[..., at : at + block]).max(axis=2) for at in blocks], axis=2) / np.float32(levels[-1])
    scale = float16_not_below(scale)
    wide = np.repeat(scale.astype(np.float32), block, axis=2)[..., :dim]
    y = np.divide(x, wide, out=np.zeros_like(x), where=wide > 0)
    codes = np.array([choose(float(number)) for number in y.ravel()])
    halves = [*codes, 0][: len(codes) + len(codes) % 2]
    packed = np.array([low + 16 * high for low, high in zip(halves[::2], halves[1::2], strict=True)], dtype=np.uint8)
    decoded = np.array(levels, dtype=np.float32)[codes].reshape(x.shape) * wide
    return [("q", "uint8", packed), ("s", "float16", scale)], decoded


def int4(x, block=64):
    return four_bit(x, range(-8, 8), lambda y: 8 + round(y), block)


def int4_block_32(x):
    return int4(x, block=32)


NF4 = [
    *(-1, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453, -0.28444138169288635),
    *(-0.18477343022823334, -0.09105003625154495, 0, 0.07958029955625534, 0.16093020141124725),
    *(0.24611230194568634, 0.33791524171829224, 0.44070982933044434, 0.5626170039176941, 0.7229568362236023, 1),
]


def nf4(x):
    def choose(y):
        grid = round(2048 * y) / 2048
        return min(range(16), key=lambda code: abs(NF4[code] - grid))

    return four_bit(x, NF4, choose, 64)


def packed(codes, bits):
    """Codes as one long number, the first one lowest, cut into bytes."""
    number = sum(int(code) << (bits * at) for at, code in enumerate(codes))
    return np.frombuffer(number.to_bytes(-(-len(codes) * bits // 8), "little"), dtype=np.uint8)


def float16_not_above(x):
    """Each number's greatest float16 that is not larger, by trying."""
    near = x.astype(np.float16)
    return np.where(near.astype(np.float64) > x, np.nextafter(near, np.float16(-np.inf)), near)


def kivi_rows(rows, bits, group):
    """Groups along the last axis; one or two numbers left over are float16."""
    loose = rows.shape[2] % group if rows.shape[2] % group <= 2 else 0
    coded = rows[..., : rows.shape[2] - loose]
    codes, decoded = np.empty(coded.shape, dtype=int), np.empty(coded.shape, dtype=np.float32)
    steps, minima = [], []
    for at in range(0, coded.shape[2], group):
        part = coded[..., at : at + group]
        least = float16_not_above(part.min(axis=2, keepdims=True))
        wide_least = least.astype(np.float32)
        step = float16_not_below((part.max(axis=2, keepdims=True) - wide_least) / np.float32(2**bits - 1))
        wide = step.astype(np.float32)
        part_codes = np.rint(np.divide(part - wide_least, wide, out=np.zeros_like(part), where=wide > 0))
        codes[..., at : at + group] = part_codes
        decoded[..., at : at + group] = part_codes.astype(np.float32) * wide + wide_least
        steps.append(step)
        minima.append(least)
    planes = [
        ("q", "uint8", packed(codes.ravel(), bits)),
        ("s", "float16", np.concatenate(steps, axis=2)),
        ("m", "float16", np.concatenate(minima, axis=2)),
    ]
    if loose:
        rest = rows[..., -loose:].astype(np.float16)
        planes.append(("r", "float16", rest))
        decoded = np.concatenate([decoded, rest.astype(np.float32)], axis=2)
    return planes, decoded


def kivi(spec, bits, group):
    """Keys in groups of tokens of one channel, values in groups of channels of one token."""

    def make(x):
        keys, decoded = kivi_rows(np.ascontiguousarray(x[0].swapaxes(1, 2)), bits, group)
        values, decoded_values = kivi_rows(x[1], bits, group)
        return frame(spec, x.shape[2], keys, values), {"keys": decoded.swapaxes(1, 2), "values": decoded_values}

    return make


def in_halves(x):
    """Sum over the last axis: the later half onto the earlier, until one is left."""
    numbers = [x[..., at] for at in range(x.shape[-1])]
    while len(numbers) > 1:
        half = (len(numbers) + 1) // 2
        numbers = [numbers[at] + numbers[at + half] if at + half < len(numbers) else numbers[at] for at in range(half)]
    return numbers[0]


LLOYD_MAX = {
    3: (0.245094179, 0.756005281, 1.343909279, 2.151945705),
    4: (
        *(0.12839503, 0.388048299, 0.656759119, 0.942340456),
        *(1.256231197, 1.618046386, 2.069017227, 2.732589571),
    ),
}


def butterflies(x):
    """Times a Hadamard matrix: sums and differences of numbers 1 apart, then 2, 4, ...; over the root of its size."""
    numbers, span = [x[..., at] for at in range(x.shape[-1])], 1
    while span < len(numbers):
        for at in range(len(numbers)):
            if at & span == 0:
                one, other = numbers[at], numbers[at + span]
                numbers[at], numbers[at + span] = one + other, one - other
        span *= 2
    return np.stack(numbers, axis=-1) * np.float32(len(numbers) ** -0.5)


def hadamard(x, bits=4):
    """72 channels: the first 64 are turned, then the last 64, signs flipped before each."""
    state, signs = 0, []
    for _ in range(2 * 72):
        state = (1664525 * state + 1013904223) % 2**32
        signs.append(-1 if state >> 31 else 1)
    before_first, before_last = np.array(signs, dtype=np.float32).reshape(2, 72)
    y = x * before_first
    y[..., :64] = butterflies(y[..., :64])
    y = y * before_last
    y[..., 8:] = butterflies(y[..., 8:])
    scale = np.sqrt(in_halves(x * x) / np.float32(72)).astype(np.float16)[..., None]
    levels = np.array([*(-level for level in reversed(LLOYD_MAX[bits])), *LLOYD_MAX[bits]], dtype=np.float32)
    wide = scale.astype(np.float32)
    scaled = np.divide(y, wide, out=np.zeros_like(y), where=wide > 0)
    codes = (scaled[..., None] > (levels[1:] + levels[:-1]) / np.float32(2)).sum(axis=-1)
    decoded = levels[codes] * wide
    decoded[..., 8:] = butterflies(decoded[..., 8:])
    decoded = decoded * before_last
    decoded[..., :64] = butterflies(decoded[..., :64])
    return [("q", "uint8", packed(codes.ravel(), bits)), ("s", "float16", scale)], decoded * before_first


def hadamard_3_bit(x):
    return hadamard(x, bits=3)


def centered(x, encode):
    """What ``encode`` makes of the numbers around each channel's mean, then the means."""
    mean = (in_halves(x.swapaxes(1, 2)) / np.float32(x.shape[1])).astype(np.float16)[:, None]
    planes, decoded = encode(x - mean.astype(np.float32))
    return [*planes, ("m", "float16", mean)], decoded + mean.astype(np.float32)


def int8_centered(x):
    return centered(x, int8)


def int4_centered(x):
    return centered(x, int4)


def hadamard_centered(x):
    return centered(x, hadamard)


def nf4_biased_keys(x):
    """Keys with a bias on every third channel, which pays for a mean even in five tokens; values without."""
    x = x + np.where(np.arange(72) % 3 == 0, np.float32(40), np.float32(0)) * np.array(
        [1, 0], dtype=np.float32
    ).reshape(2, 1, 1, 1)
    x[0, 0, 0, 3] = 40
    (keys, decoded_keys), (values, decoded_values) = centered(x[0], nf4), nf4(x[1])
    return frame("nf4", 5, keys, values), {"source": x, "keys": decoded_keys, "values": decoded_values}


def zstd_repeat(byte, count):
    """A Zstandard frame of one repeated byte, by RFC 8878: one segment, its size less 256 in 2 bytes, one RLE block."""
    block = 1 + (1 << 1) + (count << 3)
    return b"\x28\xb5\x2f\xfd\x60" + struct.pack("<H", count - 256) + struct.pack("<I", block)[:3] + bytes([byte])


def squeezed_values(x):
    """Values are all 1: their 720 codes are 127."""
    x = np.stack([x[0], np.ones_like(x[0])])
    (keys, decoded_keys), ((q, scale), decoded_values) = int8(x[0]), int8(x[1])
    values = [(*q, 0, zstd_repeat(127, 720)), scale]
    data = frame("int8+entropy=zstd", 5, keys, values)
    return data, {"source": x, "keys": decoded_keys, "values": decoded_values}


def omitted(x):
    """Keys that nobody takes."""
    planes, values = fp16(x[1])
    data = frame("fp16+mix=kL5-5@omit", 5, [], planes)
    return data, {"keys": np.zeros_like(x[0]), "values": values}


def mixed(x):
    """Keys of head 0 in int4 and of head 1 in int8, values in nf4."""
    (first, decoded_first), (second, decoded_second) = int4(x[0, :1]), int8(x[0, 1:])
    values, decoded_values = nf4(x[1])
    data = frame("int4+mix=kL0-9H1-1@int8/v@nf4", 5, [*first, *((*plane, 1) for plane in second)], values)
    return data, {"keys": np.concatenate([decoded_first, decoded_second]), "values": decoded_values}


def whole(spec, encode):
    """A golden file of all tokens."""

    def make(x):
        (keys, decoded_keys), (values, decoded_values) = encode(x[0]), encode(x[1])
        return frame(spec, x.shape[2], keys, values), {"keys": decoded_keys, "values": decoded_values}

    return make


def before_rope(x):
    """Keys turned back by float32 angles, float64 cosines rounded to float32, float32 products."""
    angle = (POSITIONS.astype(np.float32)[:, None] * INV_FREQ).astype(np.float64)
    cos, sin = np.cos(angle).astype(np.float32), np.sin(angle).astype(np.float32)
    first, second = x[0][..., :36], x[0][..., 36:]
    keys = np.concatenate([first * cos + second * sin, second * cos - first * sin], axis=2)
    planes = [fp32(half)[0] for half in (keys, x[1])]
    return frame("fp32+rope=pre", x.shape[2], *planes, flags=0), {"keys": keys, "values": x[1]}


def recent_with_sinks(x):
    """Half of 40 tokens: 2 sinks and the last 18, told as runs (gap 0, run 2, gap 20, run 18)."""
    slots = np.array([0, 1, *range(22, 40)])
    (keys, decoded_keys), (values, decoded_values) = (int8(half[:, slots]) for half in x)
    selection = varint(20) + bytes([0, 2, 20, 18])
    data = frame("int8+keep=0.5,sinks=2", 40, keys, values, flags=1 | 2 | 8, selection=selection)
    return data, {"keys": decoded_keys, "values": decoded_values, "slots": slots}


def long_values_of_each_head(x):
    """A quarter of 40 tokens, each head's own, told as a bitmap of 5 bytes per head."""
    norm = np.abs(x[1].astype(np.float64)).sum(axis=2)
    slots = np.sort(np.argsort(-norm, axis=1, kind="stable")[:, :10], axis=1)
    selection = varint(10)
    for row in slots:
        selection += sum(1 << int(slot) for slot in row).to_bytes(5, "little")
    keys, values = (np.take_along_axis(half, slots[:, :, None], axis=1) for half in x)
    data = frame(
        "fp32+keep=0.25,by=value_norm,scope=head", 40, fp32(keys)[0], fp32(values)[0], flags=1 | 4, selection=selection
    )
    return data, {"keys": keys, "values": values, "slots": slots}


def seen_by_each_head(x):
    """A quarter of 40 tokens, each head's own: those near the most attention, the largest of seven neighbours'."""
    state, mass = 4242, []
    for _ in range(2 * 40):
        state = (1103515245 * state + 12345) % 2**31
        mass.append((state >> 8) / 2**23)
    attention = np.array(mass, dtype=np.float32).reshape(2, 40)
    padded = np.pad(attention, ((0, 0), (3, 3)), constant_values=-np.inf)
    pooled = np.max([padded[:, at : at + 40] for at in range(7)], axis=0)
    slots = np.sort(np.argsort(-pooled, axis=1, kind="stable")[:, :10], axis=1)
    runs = varint(10)
    for row in slots:
        at, told = 0, 0
        while told < 10:
            run = next(n for n in range(1, 11) if told + n == 10 or row[told + n] != row[told] + n)
            runs += varint(int(row[told]) - at) + varint(run)
            at, told = int(row[told]) + run, told + run
    assert len(runs) <= 1 + 2 * 5, "a bitmap would be shorter"
    keys, values = (np.take_along_axis(half, slots[:, :, None], axis=1) for half in x)
    spec = "fp32+keep=0.25,by=attention,scope=head"
    data = frame(spec, 40, fp32(keys)[0], fp32(values)[0], flags=1 | 4 | 8, selection=runs)
    return data, {"keys": keys, "values": values, "slots": slots, "attention": attention}


#: Tokens of a source -> its heads and head_dim.
HEADS_AND_DIM = {5: (2, 72), 40: (2, 4)}

#: File name -> tokens of the source, maker.
FRAMES = {
    "fp32": (5, whole("fp32", fp32)),
    "fp16": (5, whole("fp16", fp16)),
    "bf16": (5, whole("bf16", bf16)),
    "fp8": (5, whole("fp8", fp8)),
    "fp8-per-token": (5, whole("fp8:per=token", fp8_per_token)),
    "int8": (5, whole("int8", int8)),
    "int8-per-head": (5, whole("int8:per=head", int8_per_head)),
    "int4": (5, whole("int4", int4)),
    "int4-block-32": (5, whole("int4:block=32", int4_block_32)),
    "nf4": (5, whole("nf4", nf4)),
    "kivi": (5, kivi("kivi", 4, 32)),
    "kivi-2-bit-loose-tokens": (5, kivi("kivi:bits=2,group=3", 2, 3)),
    "kivi-3-bit": (5, kivi("kivi:bits=3,group=5", 3, 5)),
    "hadamard": (5, whole("hadamard", hadamard)),
    "hadamard-3-bit": (5, whole("hadamard:bits=3", hadamard_3_bit)),
    "int8-centered": (5, whole("int8:center=channel", int8_centered)),
    "int4-centered": (5, whole("int4:center=channel", int4_centered)),
    "hadamard-centered": (5, whole("hadamard:center=channel", hadamard_centered)),
    "nf4-biased-keys": (5, nf4_biased_keys),
    "zstd-values": (5, squeezed_values),
    "mixed": (5, mixed),
    "omitted": (5, omitted),
    "before-rope": (5, before_rope),
    "recent-with-sinks": (40, recent_with_sinks),
    "long-values-of-each-head": (40, long_values_of_each_head),
    "seen-by-each-head": (40, seen_by_each_head),
}


def main(names):
    for name in names:
        tokens, make = FRAMES[name]
        heads, dim = HEADS_AND_DIM[tokens]
        x = source(heads, tokens, dim)
        data, decoded = make(x)
        with (HERE / f"{name}.frame").open("xb") as out:
            out.write(data)
        with (HERE / f"{name}.npz").open("xb") as out:
            np.savez(out, **{"source": x, "positions": POSITIONS, "inv_freq": INV_FREQ, **decoded})


if __name__ == "__main__":
    main(sys.argv[1:] or FRAMES)
