"""Small tables for golden frames of ``rd``, as they were when those were made: tests/golden/codec/rd-tables.npz.

``python tests/golden/codec/rd_tables.py`` makes the tables and the sources of the frames; a file that exists stays.
"""

from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
LAYERS, HEADS, DIM, ZONES, TABLES = 2, 2, 16, 6, 36
LENGTHS = {"rd-one-lane": 13, "rd-eight-lanes": 530}


def table(deviation):
    """Frequencies of a Laplace distribution of that deviation, in steps; what is too rare escapes."""
    sizes = np.abs(np.arange(255) - 127)
    shares = np.exp(-np.sqrt(2) * sizes / deviation)
    counts = np.floor(shares / shares.sum() * 4095).astype(np.int32)
    counts[127] += 4095 - counts.sum()
    return np.append(counts, 1).astype(np.int32)


def tables():
    """A calibration's tensors; docs/wire-format.md says what they mean."""
    rng = np.random.default_rng(20261123)
    each = (LAYERS, 2, HEADS)
    forward = np.linalg.qr(rng.standard_normal((*each, DIM, DIM)))[0]
    scales = np.sort(rng.integers(-40, 24, (*each, DIM)), axis=-1)[..., ::-1]
    forward = forward * 2.0 ** rng.integers(-1, 2, (*each, 1, 1))
    classes = np.zeros((2, 256), np.int32)
    classes[:, 127:134], classes[:, 255] = [900, 1500, 800, 295, 200, 200, 200], 1
    return {
        "means": rng.standard_normal((*each, DIM)).astype(np.float32),
        "first_means": (10 * rng.standard_normal((*each, DIM))).astype(np.float32),
        "forward": forward.astype(np.float32),
        "inverse": np.linalg.inv(forward).astype(np.float32),
        "scales": scales.astype(np.int16),
        "first_scales": (scales - 6).astype(np.int16),
        "gains": np.sort(rng.integers(0, 40, (*each, ZONES)), axis=-1)[..., ::-1].astype(np.int16),
        "energies": np.broadcast_to(np.array([1e-4, 60, 8], np.float32), (*each, 3)).copy(),
        "class_shifts": np.array([-8, 0, 8], np.int16),
        "class_frequencies": classes,
        "frequencies": np.stack([table(2.0 ** (number / 4 - 3)) for number in range(TABLES)]),
        "levels": np.tile(np.append((np.arange(255) - 127) * 0.97, 0).astype(np.float32), (TABLES, 1)),
        "roundings": np.linspace(0.3, 0.45, TABLES).astype(np.float32),
        "steps": np.array([64, 128], np.int32),
        "lengths": np.array([16], np.int32),
        "rates": np.ones((1, 2), np.float32),
        "divergences": np.ones(2, np.float32),
    }


def source(tokens, found):
    """Keys and values, (2, heads, tokens, dim), of layer 1: one first token like calibration's, one that is not."""
    rng = np.random.default_rng(tokens)
    deviations = 2.0 ** (found["scales"][1] / 16)
    z = rng.standard_normal((2, HEADS, tokens, DIM)) * deviations[:, :, None] * rng.choice([0.5, 1, 2], (tokens, 1))
    x = z @ found["inverse"][1].astype(np.float64) + found["means"][1][:, :, None]
    first = rng.standard_normal((2, DIM)) * deviations[:, 0] / 2
    x[:, 0, 0] = np.einsum("kd,kde->ke", first, found["inverse"][1, :, 0]) + found["first_means"][1, :, 0]
    x[:, 1, 3] = 300.0  # travels precisely
    x[:, 0, 5] = 6 * deviations[:, 0, :1] * found["inverse"][1, :, 0, 0] + found["means"][1, :, 0]  # escapes
    return x.astype(np.float32)


def main():
    """Write what is not there."""
    if not (HERE / "rd-tables.npz").exists():
        np.savez_compressed(HERE / "rd-tables.npz", **tables())
    with np.load(HERE / "rd-tables.npz") as stored:
        found = dict(stored)
    for name, tokens in LENGTHS.items():
        if not (HERE / f"{name}.source.npy").exists():
            np.save(HERE / f"{name}.source.npy", source(tokens, found).astype(np.float16))


if __name__ == "__main__":
    main()
