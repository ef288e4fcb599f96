"""What to simulate, as validated YAML: everything a file may say, and nothing else."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, field_validator

from experiments.yaml_source import read_yaml
from kvwire.link.shape import Shape as LinkShape
from loadtest.arrivals import Load, schedule
from simulation.choice import CHOICES
from simulation.requests import Mix, Request
from simulation.system import Design, Limits
from simulation.times import ServiceTimes, read_times

Count = Annotated[int, Field(ge=1)]
Shares = Annotated[dict[Count, Annotated[float, Field(gt=0)]], Field(min_length=1)]
Chooser = Literal["in_turn", "fewest", "by_context"]


class Part(BaseModel):
    """Part of a file: nothing in it is unknown, and nothing changes."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Link(Part):
    """A service's connection, as ``kvwire link`` writes it."""

    rate: str
    delay: str = "0ms"


class Contexts(Part):
    """Shares of lengths; ``distinct`` contexts that are asked for again and again, or 0: every one is new."""

    tokens: Shares
    distinct: Annotated[int, Field(ge=0)] = 0
    zipf: Annotated[float, Field(ge=0)] = 0.0


class Services(Part):
    """Limits of each service, as its options have them."""

    max_in_flight: Count = Limits.max_in_flight
    cache_memory_bytes: Count = Limits.cache_memory_bytes
    sharer_reuse_bytes: Annotated[int, Field(ge=0)] = Limits.sharer_reuse_bytes
    receiver_reuse_bytes: Annotated[int, Field(ge=0)] = Limits.receiver_reuse_bytes


class Spec(Part):
    """One system under one kind of load, at each of the ``rates``, in requests per second.

    ``times`` is a file that ``bench.services.service_times`` wrote, its path from the spec's folder on.
    """

    times: str
    sharers: Count = 1
    receivers: Count = 1
    one_machine: bool = False
    link: Link | None = None
    services: Services = Services()
    to_receivers: Chooser = "in_turn"
    to_sharers: Chooser = "fewest"
    arrivals: str = "poisson"
    rates: Annotated[tuple[Annotated[float, Field(gt=0)], ...], Field(min_length=1)]
    duration_s: Annotated[float, Field(gt=0)] = 300.0
    warm_up_s: Annotated[float, Field(ge=0)] = 0.0
    contexts: Contexts
    prompt_tokens: Shares
    answer_tokens: Shares
    seed: Annotated[int, Field(ge=0)] = 0

    @field_validator("warm_up_s")
    @classmethod
    def _something_is_left(cls, warm_up_s: float, info: ValidationInfo) -> float:
        if warm_up_s >= info.data.get("duration_s", float("inf")):
            raise ValueError(f"it must be shorter than the run of {info.data['duration_s']} s")
        return warm_up_s


@dataclass(frozen=True)
class Planned:
    """A spec with its service times."""

    spec: Spec
    times: ServiceTimes

    @property
    def design(self) -> Design:
        """The system.

        Raises:
            InvalidRequestError: A rate or a delay that is none.
        """
        spec = self.spec
        link = None if spec.link is None else LinkShape.parse(spec.link.rate, spec.link.delay)
        return Design(
            spec.sharers,
            spec.receivers,
            spec.one_machine,
            link.rate_bytes_s if link else float("inf"),
            link.delay_s if link else 0.0,
            Limits(**spec.services.model_dump()),
            CHOICES[spec.to_receivers],
            CHOICES[spec.to_sharers],
        )

    def requests(self, rate_rps: float) -> list[Request]:
        """What comes at a rate; a trace has its own.

        Raises:
            InvalidRequestError: Arrivals that cannot be.
        """
        spec, contexts = self.spec, self.spec.contexts
        mix = Mix(contexts.tokens, spec.prompt_tokens, spec.answer_tokens, contexts.distinct, contexts.zipf)
        due_s = schedule(Load(spec.arrivals, rate_rps, spec.duration_s, seed=spec.seed))
        return mix.requests(due_s, spec.seed)


def read_spec(path: Path) -> Planned:
    """Read a file, and the times it names.

    Raises:
        NotFoundError: One of them is not there.
        InvalidRequestError: What is wrong with it, and where.
    """
    source = read_yaml(path)
    try:
        spec = Spec.model_validate(source.data)
    except ValidationError as refused:
        # A mistyped key is also a missing one; the typo is the cause.
        first = min(refused.errors(), key=lambda error: error["type"] != "extra_forbidden")
        raise source.refuse(first["loc"], _defect(first)) from refused
    return Planned(spec, read_times(path.parent / spec.times))


_PARTS: dict[str, type[Part]] = {"link": Link, "services": Services, "contexts": Contexts}


def _defect(error: Any) -> str:
    match error["type"]:
        case "extra_forbidden":
            return f"unknown key; allowed: {', '.join(_PARTS.get(error['loc'][0], Spec).model_fields)}"
        case "missing":
            return "it is missing"
        case "value_error":
            return str(error["ctx"]["error"])
        case _:
            return f"{error['msg']}, not {error['input']!r}"
