"""Tries the fuser and every codec spec of a recipe on the running services, before the first item.

Only the services know what they offer, so they are asked, with a request of a few tokens each. It also opens
the connections, so that no item pays for that.
"""

from experiments.arms import Arm, cache_arms, cached_arm, reference_arm
from experiments.recipe import NamedRecipe
from experiments.yaml_source import Place
from kvwire.client import Client
from kvwire.errors import InvalidRequestError, UnsupportedError
from kvwire.requests import RequestInfo, ScoreRequest, Text

# One caller for the whole run: a sharer reuses what it read only for the same caller.
CALLER = "experiment"

# Forty tokens: the lowest rates of rd need some thirty (2026-11-23), and four are kept at a ratio of 0.1.
_CONTEXT = Text(" ".join(["The quick brown fox jumps over the lazy dog."] * 4))
_PROMPT = Text("The fox")
_CONTINUATION = Text(" jumps")


async def preflight(client: Client, named: NamedRecipe) -> None:
    """Look for the fuser, and score a few tokens by every spec.

    Raises:
        InvalidRequestError: A fuser the receiver does not have, or a spec the services refuse, by file and line of the
            recipe, with their words.
        KvwireError: The services cannot be reached, or do not offer the recipe's method.
    """
    recipe = named.recipe
    offered = (await client.describe()).fusers
    if recipe.fuser not in offered:
        known = ", ".join(offered)
        raise named.source.refuse(
            ("fuser",), f"the receiver has no fuser {recipe.fuser!r}, only {known}; give it one by --fusers NAME=PATH"
        )
    await _try(client, reference_arm(recipe))
    for key, codecs in (("codecs", recipe.codecs), ("unpruned", recipe.unpruned)):
        for index, codec in enumerate(codecs):
            await _try_at(client, named, (key, index), cached_arm(recipe, codec))
    for arm in cache_arms(recipe):
        if arm.keep < 1:
            await _try_at(client, named, ("selectors", recipe.selectors.index(arm.selector)), arm)


async def _try_at(client: Client, named: NamedRecipe, place: Place, arm: Arm) -> None:
    try:
        await _try(client, arm)
    except (InvalidRequestError, UnsupportedError) as refused:
        raise named.source.refuse(place, f"{arm.spec} by method {arm.method}: {refused}") from refused


async def _try(client: Client, arm: Arm) -> None:
    await client.score(
        ScoreRequest(
            prompt=_PROMPT,
            continuations=(_CONTINUATION,),
            context=_CONTEXT,
            exchange=arm.exchange(0),
            info=RequestInfo(caller=CALLER),
        )
    )
