"""The arms of a recipe: every way one item is answered, in the order it is."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any

from experiments.recipe import Recipe, WrongContext
from kvwire.requests import Exchange, Method, RelayMode

REFERENCE_CODEC = "fp32"


@dataclass(frozen=True)
class Arm:
    """One way of answering.

    ``codec`` is the spec without ``keep``, empty for a baseline; ``fuser`` is one of the receiver's, by name.
    ``wrong_context`` marks the control that is given another item's context. The reference is the uncompressed cache,
    which the others are compared with.
    """

    name: str
    method: Method
    relay: RelayMode = RelayMode.WRITTEN
    codec: str = ""
    keep: float = 1.0
    selector: str = ""
    scope: str = ""
    fuser: str = Exchange.fuser
    wrong_context: bool = False
    reference: bool = False

    @property
    def spec(self) -> str:
        """The whole codec spec."""
        if self.keep == 1:
            return self.codec
        return f"{self.codec}+keep={self.keep!r},by={self.selector},scope={self.scope}"

    def exchange(self, relay_max_tokens: int) -> Exchange:
        """The exchange of a request of this arm."""
        return Exchange(
            method=self.method,
            codec=self.spec or Exchange.codec,
            fuser=self.fuser,
            relay=self.relay,
            relay_max_tokens=relay_max_tokens if self.method is Method.TEXT else 0,
        )

    def to_json(self) -> dict[str, Any]:
        """As plain values."""
        return asdict(self)


_BASELINES = {
    "receiver_only": Arm("receiver_only", Method.RECEIVER_ONLY),
    "receiver_reads": Arm("receiver_reads", Method.RECEIVER_READS),
    "text": Arm("text", Method.TEXT),
    "verbatim": Arm("verbatim", Method.TEXT, RelayMode.VERBATIM),
}


def arms_of(recipe: Recipe, wrong_context: WrongContext) -> tuple[Arm, ...]:
    """The reference, baselines and codecs, and last the controls: those read another context, once for all."""
    return (*_on_their_own_context(recipe), *_controls(recipe, wrong_context))


def cache_arms(recipe: Recipe) -> Iterator[Arm]:
    """One arm per codec, ratio, selector and scope; then one per codec that is never pruned."""
    for codec in recipe.codecs:
        for ratio in recipe.keep:
            if ratio == 1:
                yield cached_arm(recipe, codec)
                continue
            for selector in recipe.selectors:
                for scope in recipe.scopes:
                    yield cached_arm(recipe, codec, ratio, selector, scope)
    for codec in recipe.unpruned:
        yield cached_arm(recipe, codec)


def cached_arm(recipe: Recipe, codec: str, keep: float = 1.0, selector: str = "", scope: str = "") -> Arm:
    """The cache of the context by one codec, through the recipe's fuser."""
    arm = Arm("", Method(recipe.method), codec=codec, keep=keep, selector=selector, scope=scope, fuser=recipe.fuser)
    return replace(arm, name=f"{recipe.method} {arm.spec.replace(',scope=layer', '')}")


def reference_arm(recipe: Recipe) -> Arm:
    """The uncompressed cache."""
    return replace(cached_arm(recipe, REFERENCE_CODEC), reference=True)


def _on_their_own_context(recipe: Recipe) -> Iterator[Arm]:
    reference = reference_arm(recipe)
    yield reference
    yield from (_BASELINES[name] for name in recipe.baselines)
    yield from (arm for arm in cache_arms(recipe) if arm.name != reference.name)


def _controls(recipe: Recipe, which: WrongContext) -> Iterator[Arm]:
    """The receiver reading another context, and the caches of it; the first says how much any text helps."""
    if which == "none":
        return
    caches = (arm for arm in _on_their_own_context(recipe) if arm.codec)
    for arm in (_BASELINES["receiver_reads"], *caches):
        if which == "all" or arm.keep == 1:
            yield replace(arm, name=wrong_name(arm.name), wrong_context=True, reference=False)


def wrong_name(name: str) -> str:
    """The control of an arm."""
    return f"wrong context, {name}"
