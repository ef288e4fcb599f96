"""Which recipes run on the same services, and what is made for them before those start."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from kvwire.cli.experiment_needs import Needs, needs_of
from kvwire.cli.experiment_services import Wanted
from kvwire.cli.options import DEFAULT_PAIR

if TYPE_CHECKING:
    from experiments.plan import Plan
    from experiments.recipe import Recipe
    from kvwire.processes import Pair


@dataclass(frozen=True)
class Given:
    """What the command line says instead of the recipes: a pair and fusers; and where texts and artifacts are.

    ``devices`` and ``options`` as in :class:`~kvwire.cli.experiment_services.Wanted`.
    """

    pair: str = ""
    fusers: tuple[str, ...] = ()
    data: Path | None = None
    artifacts: Path | None = None
    devices: tuple[str, str] = ("cpu", "cpu")
    options: tuple[str, ...] = ()

    def pair_of(self, recipe: "Recipe") -> "Pair":
        """The models a recipe runs on."""
        from kvwire.processes import Pair

        return Pair.parse(self.pair or recipe.pair or DEFAULT_PAIR)

    def needs_of(self, recipe: "Recipe") -> Needs:
        """What is to be made for it; fusers that are given are not."""
        from kvwire.models.store import default_home

        named = {each.partition("=")[0] for each in self.fusers}
        own = {name: need for name, need in recipe.needs.items() if name not in named}
        folder = self.artifacts or default_home() / "artifacts"
        return needs_of(recipe.model_copy(update={"needs": own}), self.pair_of(recipe), self.data, folder)


@dataclass(frozen=True)
class Group:
    """Plans that run on the same services; ``made``: SHA-256 of what was made for each, by its name and theirs."""

    wanted: Wanted
    plans: "tuple[Plan, ...]"
    made: Mapping[str, Mapping[str, str]]


def grouped(plans: "Sequence[Plan]", given: Given) -> Iterator[Group]:
    """All plans, in the order of the first of each group; what a group needs is made when it is its turn."""
    needs = [given.needs_of(plan.named.recipe) for plan in plans]
    groups: dict[Wanted, list[int]] = {}
    for index, plan in enumerate(plans):
        recipe = plan.named.recipe
        wanted = Wanted(
            given.pair_of(recipe),
            (*given.fusers, *needs[index].fusers),
            same_model=bool(recipe.controls.same_model),
            options=given.options,
            devices=given.devices,
        )
        groups.setdefault(wanted, []).append(index)
    for wanted, members in groups.items():
        made = {plans[index].named.name: needs[index].make() for index in members}
        yield Group(wanted, tuple(plans[index] for index in members), made)
