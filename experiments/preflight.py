"""Tries the fusers, controls and every codec spec of a recipe on the running services, before the first item.

Only the services know what they offer, so they are asked, with a request of a few tokens each. It also opens
the connections, so that no item pays for that.
"""

from collections.abc import Iterator
from dataclasses import replace

from experiments.arms import (
    SAME_MODEL,
    SHARER,
    Arm,
    cache_arms,
    cached_arm,
    control_arms,
    policy_arm,
    reference_arm,
    through,
)
from experiments.recipe import NamedRecipe, Recipe
from experiments.sets import ChoiceSet
from experiments.yaml_source import Place
from kvwire.client import Client
from kvwire.errors import InvalidRequestError, UnsupportedError
from kvwire.requests import ChatMessage, Messages, Method, RequestInfo, ScoreRequest, Text

# One caller for the whole run: a sharer reuses what it read only for the same caller.
CALLER = "experiment"

# Forty tokens: the lowest rates of rd need some thirty (2026-11-23), and four are kept at a ratio of 0.1.
_CONTEXT = Text(" ".join(["The quick brown fox jumps over the lazy dog."] * 4))
_PROMPT = Text("The fox")
_CONTINUATION = Text(" jumps")


async def preflight(client: Client, named: NamedRecipe) -> None:
    """Look for the fusers, and score a few tokens by every spec and control.

    Raises:
        InvalidRequestError: A fuser or a sharer the receiver does not have, or a spec the services refuse, by file and
            line of the recipe, with their words.
        KvwireError: The services cannot be reached, or do not offer the recipe's method.
    """
    await _check_names(client, named)
    probe = _probe(named.recipe)
    await _try(client, probe, reference_arm(named.recipe))
    for place, arm in _specs(named.recipe):
        try:
            await _try(client, probe, arm)
        except (InvalidRequestError, UnsupportedError) as refused:
            raise named.source.refuse(place, f"{arm.spec} by method {arm.method}: {refused}") from refused


def _probe(recipe: Recipe) -> ScoreRequest:
    """A few tokens; as a chat where nothing else is asked, for fusers that align chats take nothing else."""
    letters = [isinstance(dataset, ChoiceSet) and dataset.scoring == "letter" for dataset in recipe.datasets]
    info = RequestInfo(caller=CALLER)
    if recipe.method is Method.FUSE and all(letters):
        chat = Messages((ChatMessage("user", f"{_CONTEXT.text} {_PROMPT.text}"),))
        return ScoreRequest(chat, (_CONTINUATION,), info=info)
    return ScoreRequest(_PROMPT, (_CONTINUATION,), _CONTEXT, info=info)


async def _check_names(client: Client, named: NamedRecipe) -> None:
    """Whether the receiver has every fuser and sharer that is named."""
    offered = await client.describe()
    for place, fuser in _fusers(named.recipe):
        if fuser not in offered.fusers:
            known = ", ".join(offered.fusers)
            raise named.source.refuse(
                place, f"the receiver has no fuser {fuser!r}, only {known}; give it one by --fusers NAME=PATH"
            )
    if named.recipe.controls.same_model and SAME_MODEL not in offered.sharers:
        raise named.source.refuse(
            ("controls", "same_model"),
            f"the receiver knows the sharers {', '.join(offered.sharers)}, and none of its own model by the name of "
            f"{SAME_MODEL}; start it with --sharers {SHARER}=HOST:PORT --sharers {SAME_MODEL}=HOST:PORT",
        )


def _fusers(recipe: Recipe) -> Iterator[tuple[Place, str]]:
    """Every fuser that is named, and where."""
    yield ("fuser",), recipe.fuser
    yield from ((("other_fusers", index), fuser) for index, fuser in enumerate(recipe.other_fusers))
    for key in ("without_sharer", "same_model"):
        if fuser := getattr(recipe.controls, key):
            yield ("controls", key), fuser


def _specs(recipe: Recipe) -> Iterator[tuple[Place, Arm]]:
    """Every way of sending a cache, and where it is named."""
    for key, codecs in (("codecs", recipe.codecs), ("unpruned", recipe.unpruned)):
        yield from (((key, index), cached_arm(recipe, codec)) for index, codec in enumerate(codecs))
    yield from ((("policies", index), policy_arm(recipe, policy)) for index, policy in enumerate(recipe.policies))
    yield from ((("controls",), arm) for arm in control_arms(recipe))
    for index, fuser in enumerate(recipe.other_fusers):
        yield ("other_fusers", index), through(reference_arm(recipe), fuser)
    for arm in cache_arms(recipe):
        if arm.keep < 1:
            yield ("selectors", recipe.selectors.index(arm.selector)), arm


async def _try(client: Client, probe: ScoreRequest, arm: Arm) -> None:
    await client.score(replace(probe, exchange=arm.exchange(0)))
