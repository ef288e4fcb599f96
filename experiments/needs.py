"""What a recipe needs beside its models: fusers, each of a kind that says how it is made or where it is found."""

from typing import Annotated, Literal

from pydantic import Field

from experiments.sets import Count, Part

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class Calibrated(Part):
    """A ridge fuser in closed form, for any two models."""

    how: Literal["calibrate"]
    pieces: Count = 320
    megabytes: Positive = 40.0


class Fresh(Part):
    """An untrained C2C fuser, for two models of one tokenizer: what a training begins with."""

    how: Literal["fresh"]
    hidden: Count = 256
    inner: Count = 512


class Trained(Part):
    """Another fuser of the recipe, trained on: behind a ``codec``, or hearing nothing of the sharer."""

    how: Literal["train"]
    start: str
    steps: Count
    pieces: Count = 320
    codec: str = ""
    without_sharer: bool = Field(default=False, strict=True)


class Published(Part):
    """An official C2C checkpoint on the hub, bound to the two models. Without a ``revision`` nobody can repeat it."""

    how: Literal["hub"]
    repo: str
    folder: str
    revision: str = ""


class Given(Part):
    """A file of this machine."""

    how: Literal["path"]
    path: str


Need = Annotated[Calibrated | Fresh | Trained | Published | Given, Field(discriminator="how")]

KINDS: dict[str, type[Part]] = {
    "calibrate": Calibrated,
    "fresh": Fresh,
    "train": Trained,
    "hub": Published,
    "path": Given,
}
