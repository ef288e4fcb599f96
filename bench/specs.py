"""What ``kvwire codec bench`` measures unless told otherwise: every base; ``rd`` where the model is calibrated."""

#: By base, in the order of the plot's legend.
BY_BASE: dict[str, tuple[str, ...]] = {
    "bf16": ("bf16",),
    "fp8": ("fp8",),
    "int8": ("int8", "int8:per=head", "int8+rope=pre"),
    "int4": ("int4", "int4+rope=pre", "int4:block=32"),
    "nf4": ("nf4", "nf4+rope=pre", "nf4:block=32", "nf4:block=32+rope=pre"),
    "hadamard": (
        *("hadamard:bits=2+rope=pre", "hadamard:bits=3", "hadamard:bits=3+rope=pre"),
        *("hadamard", "hadamard+rope=pre", "hadamard:bits=5+rope=pre"),
    ),
    "kivi": (
        *("kivi:bits=2", "kivi:bits=2+rope=pre", "kivi:bits=3", "kivi:bits=3+rope=pre"),
        *("kivi:bits=4", "kivi:bits=4+rope=pre"),
    ),
    "rd": ("rd:step=128", "rd:step=136", "rd:step=142", "rd:step=148"),
}

DEFAULT = tuple(spec for specs in BY_BASE.values() for spec in specs)

#: For Gaussian numbers, which no calibration is of.
UNCALIBRATED = tuple(spec for spec in DEFAULT if spec not in BY_BASE["rd"])
