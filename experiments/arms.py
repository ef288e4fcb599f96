"""The arms of a recipe: every way one item is answered, in the order it is."""

import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any

from experiments.questions.base import Shown
from experiments.recipe import Recipe
from experiments.sets import WrongContext
from kvwire.requests import Exchange, Method, RelayMode

REFERENCE_CODEC = "fp32"
#: What the receiver must call its sharers where the receiver's own model is one of them too.
SHARER, SAME_MODEL = "sharer", "self"
#: Behind a fuser's name, its control that is deaf to the sharer.
_ZEROED = ":zeroed"

# What a sharer is told that writes a message; of a context alone, its own instruction is the best one known.
_INSTRUCTIONS = {
    Shown.CONTEXT: "",
    # Source: arXiv 2510.03215, A.3, text 3, whose sharer sees no options.
    Shown.QUESTION: "In one clear sentence, describe the most essential background knowledge needed to answer the "
    "question. Do NOT directly solve or give answer to the question.",
    # A cache carries whatever the sharer makes of the options, so a message may too.
    Shown.OPTIONS: "In one or two sentences, say which of the choices answers the question, and why:",
}


@dataclass(frozen=True)
class Arm:
    """One way of answering.

    ``codec`` is the spec without ``keep``, empty for a baseline; with a ``policy`` the sharer chooses another.
    ``fuser`` and ``sharer`` are the receiver's, by name. ``wrong_context`` marks the control that is given another
    item's context; ``control`` names any other. The reference is the uncompressed cache, which the others are compared
    with. ``curve``: of which curve it is a point, if not of its codec's.
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
    shown: Shown = Shown.CONTEXT
    policy: str = ""
    sharer: str = ""
    control: str = ""
    curve: str = ""

    @property
    def family(self) -> str:
        """Its curve, or the base of its codec: one method, whatever its rate and what is kept."""
        return self.curve or re.split(r"[:+]", self.codec, maxsplit=1)[0]

    @property
    def is_control(self) -> bool:
        """Whether it only says what another arm's answer rests on."""
        return bool(self.wrong_context or self.control)

    @property
    def spec(self) -> str:
        """The whole codec spec."""
        if self.keep == 1:
            return self.codec
        return f"{self.codec}+keep={self.keep!r},by={self.selector},scope={self.scope}"

    @property
    def at_sharer(self) -> bool:
        """Whether it is the sharer that is asked."""
        return self.method is Method.SHARER_ONLY

    def exchange(self, relay_max_tokens: int) -> Exchange:
        """The exchange of a request of this arm."""
        return Exchange(
            method=self.method,
            sharer=self.sharer,
            codec=self.spec or Exchange.codec,
            fuser=self.fuser,
            relay=self.relay,
            relay_max_tokens=relay_max_tokens if self.method is Method.TEXT else 0,
            policy=self.policy,
            relay_instruction=_INSTRUCTIONS[self.shown],
        )

    def to_json(self) -> dict[str, Any]:
        """As plain values."""
        return asdict(self)


_BASELINES = {
    "receiver_only": Arm("receiver_only", Method.RECEIVER_ONLY),
    "receiver_reads": Arm("receiver_reads", Method.RECEIVER_READS),
    "sharer_only": Arm("sharer_only", Method.SHARER_ONLY),
    "text": Arm("text", Method.TEXT),
    "text_question": Arm("text_question", Method.TEXT, shown=Shown.QUESTION),
    "text_options": Arm("text_options", Method.TEXT, shown=Shown.OPTIONS),
    "verbatim": Arm("verbatim", Method.TEXT, RelayMode.VERBATIM),
}


def arms_of(recipe: Recipe, wrong_context: WrongContext) -> tuple[Arm, ...]:
    """The reference, baselines, codecs and controls; and last those that read another context, once for all."""
    return (*_on_their_own_context(recipe), *control_arms(recipe), *_on_another_context(recipe, wrong_context))


def cache_arms(recipe: Recipe) -> Iterator[Arm]:
    """One arm per codec, ratio, selector and scope; then one per codec and policy that never prunes, and fuser."""
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
    for policy in recipe.policies:
        yield policy_arm(recipe, policy)
    for fuser in recipe.other_fusers:
        for codec in (REFERENCE_CODEC, *recipe.codecs):
            yield through(cached_arm(recipe, codec), fuser)


def cached_arm(recipe: Recipe, codec: str, keep: float = 1.0, selector: str = "", scope: str = "") -> Arm:
    """The cache of the context by one codec, through the recipe's fuser."""
    arm = Arm("", Method(recipe.method), codec=codec, keep=keep, selector=selector, scope=scope, fuser=recipe.fuser)
    return replace(arm, name=f"{recipe.method} {arm.spec.replace(',scope=layer', '')}", sharer=_sharer(recipe))


def policy_arm(recipe: Recipe, policy: str) -> Arm:
    """The cache of the context by whatever codec the sharer comes to."""
    return replace(
        cached_arm(recipe, Exchange.codec),
        name=f"{recipe.method} {policy}",
        policy=policy,
        curve=policy.partition("=")[0],
    )


def through(arm: Arm, fuser: str) -> Arm:
    """The same cache through another fuser."""
    return replace(arm, name=f"{arm.name}, fuser {fuser}", fuser=fuser, curve=f"{arm.codec}, fuser {fuser}")


def reference_arm(recipe: Recipe) -> Arm:
    """The uncompressed cache."""
    return replace(cached_arm(recipe, REFERENCE_CODEC), reference=True)


def control_arms(recipe: Recipe) -> Iterator[Arm]:
    """What is left of the uncompressed cache's answer without the sharer's part in it, or with no other model's."""
    controls, whole = recipe.controls, cached_arm(recipe, REFERENCE_CODEC)
    if controls.zeroed:
        yield _control(whole, "zeroed sharer", recipe.fuser + _ZEROED)
    if controls.without_sharer:
        yield _control(whole, "fuser without sharer", controls.without_sharer + _ZEROED)
    if controls.same_model:
        yield replace(_control(whole, "same model", controls.same_model), sharer=SAME_MODEL)


def wrong_name(name: str) -> str:
    """The control of an arm that is given another context."""
    return f"wrong context, {name}"


def _control(arm: Arm, control: str, fuser: str) -> Arm:
    return replace(arm, name=f"{control}, {arm.name}", control=control, fuser=fuser)


def _sharer(recipe: Recipe) -> str:
    """The only one needs no name."""
    return SHARER if recipe.controls.same_model else ""


def _on_their_own_context(recipe: Recipe) -> Iterator[Arm]:
    reference = reference_arm(recipe)
    yield reference
    yield from (replace(_BASELINES[name], sharer=_sharer(recipe)) for name in recipe.baselines)
    yield from (arm for arm in cache_arms(recipe) if arm.name != reference.name)


def _on_another_context(recipe: Recipe, which: WrongContext) -> Iterator[Arm]:
    """The receiver reading another context, and the caches of it; the first says how much any text helps."""
    if which == "none":
        return
    caches = (arm for arm in _on_their_own_context(recipe) if arm.codec)
    for arm in (_BASELINES["receiver_reads"], *caches):
        if which == "all" or arm.keep == 1:
            yield replace(arm, name=wrong_name(arm.name), wrong_context=True, reference=False)
