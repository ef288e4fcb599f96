"""What a fuser knows of the two models it was made for, and whether two others are those."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from kvwire.errors import BindingError
from kvwire.model_card import ModelBinding, ModelCard

# Far above any model of today; bounds what a hostile file can ask for.
_LARGEST = 1 << 16


@dataclass(frozen=True)
class Side:
    """One model: its geometry, as far as it is known, and either its fingerprints or the name it goes by.

    ``layers`` is None where a checkpoint only says which layers it takes; ``least_layers`` is then how many that are.
    """

    name: str
    kv_heads: int
    head_dim: int
    least_layers: int
    layers: int | None = None
    binding: ModelBinding | None = None

    def faults(self, card: ModelCard) -> list[str]:
        """What of a model differs, in words; empty if nothing does."""
        found = [
            f"{what} {is_} instead of {was}"
            for what, is_, was in (
                ("kv heads", card.kv_heads, self.kv_heads),
                ("head_dim", card.head_dim, self.head_dim),
                ("layers", len(card.layers), self.layers),
            )
            if was not in (None, is_)
        ]
        if len(card.layers) < self.least_layers:
            found.append(f"{len(card.layers)} layers, at least {self.least_layers} are needed")
        if self.binding is not None:
            return found + [
                f"another {what}"
                for what, is_, was in (
                    ("revision or weights", card.binding.weights_fingerprint, self.binding.weights_fingerprint),
                    ("tokenizer", card.binding.tokenizer_fingerprint, self.binding.tokenizer_fingerprint),
                )
                if is_ != was
            ]
        return [*found, "another name"] if self._is_named_otherwise(card.binding.id) else found

    def bound(self, binding: ModelBinding) -> "Side":
        """The same model, known to be this one.

        Raises:
            BindingError: Its name on the hub is another.
        """
        if self._is_named_otherwise(binding.id):
            raise BindingError(f"this fuser was made for {self.name}, not for {binding.id}; name the right model")
        return replace(self, name=binding.id, binding=binding)

    def said(self) -> dict[str, object]:
        """Name and geometry as plain values; the binding stands elsewhere in a file."""
        return {name: value for name, value in asdict(self).items() if name != "binding"}

    @classmethod
    def parse(cls, said: Mapping[str, Any], binding: ModelBinding | None) -> "Side":
        """What :meth:`said` gave, as a file has it.

        Raises:
            ValueError, TypeError, AttributeError: It is no name and geometry.
        """
        numbers = {name: number for name, number in said.items() if name != "name" and number is not None}
        if not isinstance(said.get("name"), str) or not all(
            type(number) is int and 0 < number <= _LARGEST for number in numbers.values()
        ):
            raise ValueError(f"{dict(said)} is no name and geometry of a model")
        return cls(said["name"], **numbers, binding=binding)

    @classmethod
    def of(cls, card: ModelCard) -> "Side":
        """Exactly this model."""
        layers = len(card.layers)
        return cls(card.binding.id, card.kv_heads, card.head_dim, layers, layers, card.binding)

    def knows(self, card: ModelCard) -> bool:
        """Whether this is the model beyond its geometry: by fingerprint, or by its name on the hub."""
        return self.binding is not None or (_is_hub_name(self.name) and self.name == card.binding.id)

    def _is_named_otherwise(self, name: str) -> bool:
        """Whether two names on the hub tell two models; a path tells nothing."""
        return _is_hub_name(self.name) and _is_hub_name(name) and self.name != name


@dataclass(frozen=True)
class Pairing:
    """Sharer and receiver. Unless both are known, only models with one tokenizer are let through."""

    sharer: Side
    receiver: Side

    @classmethod
    def parse(cls, facts: Mapping[str, Any], sharer: ModelBinding | None, receiver: ModelBinding | None) -> "Pairing":
        """What a file's ``sharer`` and ``receiver`` say, and the models it is bound to.

        Raises:
            KeyError, ValueError, TypeError, AttributeError: They are not there, or no names and geometries.
        """
        return cls(Side.parse(facts["sharer"], sharer), Side.parse(facts["receiver"], receiver))

    def check(self, sharer: ModelCard, receiver: ModelCard) -> None:
        """Hold two models against this.

        Raises:
            BindingError: With what differs and what to do.
        """
        for role, side, card in (("sharer", self.sharer, sharer), ("receiver", self.receiver, receiver)):
            if faults := side.faults(card):
                raise BindingError(
                    f"this fuser was made for {role} {side.name}, but {card.binding.id} "
                    f"(revision {card.binding.revision or 'local'}) has {'; '.join(faults)}; "
                    "name a fuser made for this pair, or run the models it was made for"
                )
        known = self.sharer.knows(sharer) and self.receiver.knows(receiver)
        if not known and sharer.binding.tokenizer_fingerprint != receiver.binding.tokenizer_fingerprint:
            raise BindingError(
                f"this fuser was made for {self.sharer.name} and {self.receiver.name}; nothing in it tells whether "
                f"{sharer.binding.id} and {receiver.binding.id} are those, and their tokenizers differ; bind it to "
                "them with: kvwire fuser convert"
            )

    def bound(self, sharer: ModelBinding, receiver: ModelBinding) -> "Pairing":
        """The same pair, known to be exactly these models.

        Raises:
            BindingError: It is known to be others.
        """
        return Pairing(self.sharer.bound(sharer), self.receiver.bound(receiver))


def _is_hub_name(name: str) -> bool:
    """OWNER/NAME, and no path of this machine."""
    return name.count("/") == 1 and not name.startswith(("/", "."))
