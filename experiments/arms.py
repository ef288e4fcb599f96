"""The arms of a recipe: every way one item is answered, in the order it is."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from experiments.recipe import Recipe, WrongContext
from kvwire.requests import Exchange, Method, RelayMode

REFERENCE_CODEC = "fp32"


@dataclass(frozen=True)
class Arm:
    """One way of answering.

    ``codec`` is the spec without ``keep``, empty for a baseline; ``wrong_context`` marks the control that is given
    another item's context. The reference is the uncompressed cache, which the others are compared with.
    """

    name: str
    method: Method
    relay: RelayMode = RelayMode.WRITTEN
    codec: str = ""
    keep: float = 1.0
    selector: str = ""
    scope: str = ""
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
    right = (*_prefixed(recipe), *_controls(recipe, wrong_context))
    return tuple({arm.name: arm for arm in reversed(right)}.values())[::-1]


def cache_arms(recipe: Recipe) -> Iterator[Arm]:
    """One arm per codec, ratio, selector and scope."""
    for codec in recipe.codecs:
        for ratio in recipe.keep:
            if ratio == 1:
                yield _cached(recipe, codec)
                continue
            for selector in recipe.selectors:
                for scope in recipe.scopes:
                    yield _cached(recipe, codec, ratio, selector, scope)


def _cached(recipe: Recipe, codec: str, keep: float = 1.0, selector: str = "", scope: str = "") -> Arm:
    arm = Arm("", Method(recipe.method), codec=codec, keep=keep, selector=selector, scope=scope)
    return _named(arm, f"{recipe.method} {arm.spec.replace(',scope=layer', '')}")


def _named(arm: Arm, name: str, *, wrong_context: bool = False, reference: bool = False) -> Arm:
    return Arm(**{**asdict(arm), "name": name, "wrong_context": wrong_context, "reference": reference})


def reference_arm(recipe: Recipe) -> Arm:
    """The uncompressed cache."""
    arm = _cached(recipe, REFERENCE_CODEC)
    return _named(arm, arm.name, reference=True)


def _prefixed(recipe: Recipe) -> Iterator[Arm]:
    reference = reference_arm(recipe)
    yield reference
    yield from (_BASELINES[name] for name in recipe.baselines)
    yield from (arm for arm in cache_arms(recipe) if arm.name != reference.name)


def _controls(recipe: Recipe, which: WrongContext) -> Iterator[Arm]:
    if which == "none":
        return
    own = _BASELINES["receiver_reads"]
    caches = (reference_arm(recipe), *(arm for arm in cache_arms(recipe) if which == "all" or arm.keep == 1))
    for arm in (own, *caches):
        plain = _named(arm, arm.name)
        yield _named(plain, f"wrong context, {arm.name}", wrong_context=True)
