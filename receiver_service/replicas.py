"""Sharers by name. Each runs one model, at one address or at several."""

import asyncio
from collections import Counter
from collections.abc import Collection, Mapping
from contextlib import suppress

from kvwire.balancing.breaker import State
from kvwire.balancing.choice import CHOICES, Balance, affinity_key
from kvwire.balancing.places import Name, Place, Resolve, parse, port_of, system_resolve
from kvwire.balancing.pool import Pool
from kvwire.balancing.retry_budget import RetryBudget
from kvwire.engine.question import Question
from kvwire.errors import BindingError, NotFoundError, StartError, UnavailableError
from kvwire.model_card import Description
from kvwire.security import ClientSecurity
from kvwire.telemetry import Metrics
from receiver_service.choosing.pace import Pace
from receiver_service.sharers import SharerLink


class StrangerError(BindingError):
    """An address that runs another model than the first of its name."""


class Replicas:
    """One sharer: its addresses, what is known of all of them together, and how often they may be tried again."""

    def __init__(self, name: str, pool: Pool[SharerLink]) -> None:
        self.name = name
        self.pace = Pace()
        self.budget = RetryBudget()
        self._pool = pool

    @property
    def links(self) -> tuple[SharerLink, ...]:
        """The addresses that are known now."""
        return self._pool.members

    @property
    def known(self) -> Description | None:
        """What an address that may be asked was found to run, without a call."""
        return next((link.description for link in self.links if link.breaker.admits and link.description), None)

    async def refresh(self) -> None:
        """See that addresses that are looked up are not old.

        Raises:
            UnavailableError: There are none.
        """
        await self._pool.refresh()

    def next(self, question: Question, tried: Collection[SharerLink]) -> SharerLink | None:
        """Whom to ask, one that was not tried before those that were; None if all are left alone."""
        return self._pool.next(affinity_key(question.info.caller, question.context, question.prompt), tried)

    async def describe(self, link: SharerLink, timeout_s: float | None) -> Description:
        """What an address runs.

        Raises:
            StrangerError: Another model than the first address was last seen to run.
            UnavailableError: It cannot be reached.
        """
        description = await link.describe(timeout_s)
        found, first = description.card.binding, next((each for each in self.links if each.binding is not None), link)
        if found != first.binding and first.binding is not None:
            link.forget()
            raise StrangerError(
                f"sharer {self.name} at {link.address} runs {found.id} ({found.weights_fingerprint.hex()[:12]}), at "
                f"{first.address} {first.binding.id} ({first.binding.weights_fingerprint.hex()[:12]}); all addresses "
                "of a name must run one model with one tokenizer: restart it, or give it a name of its own"
            )
        return description

    def forget(self) -> None:
        """Describe all addresses anew."""
        for link in self.links:
            link.forget()

    async def close(self) -> None:
        """Close all channels."""
        await self._pool.close()

    def alone(self) -> str:
        """Why nobody can be asked."""
        each = "; ".join(
            f"{link.address} for {link.breaker.left_s:.1f} s more, because {link.breaker.why}" for link in self.links
        )
        return f"sharer {self.name} is left alone after failures in a row, no call was made: {each}"


class Sharers:
    """All sharers of a receiver."""

    def __init__(
        self,
        addresses: Mapping[str, str],
        security: ClientSecurity,
        metrics: Metrics,
        balance: Balance = Balance.AFFINITY,
        resolve: Resolve = system_resolve,
    ) -> None:
        """``addresses``: of each name, as :func:`~kvwire.balancing.places.parse` reads them.

        Raises:
            StartError: An address without a port, or one twice under a name.
        """
        entries = {name: _parsed(name, text) for name, text in addresses.items()}
        ports = Counter(port_of(each) for found in entries.values() for each in found)
        # Of a name's addresses all have one port, and there may be several.
        several = {port_of(each) for found in entries.values() for each in found if isinstance(each, Name)}

        def pool(name: str) -> Pool[SharerLink]:
            def link(place: Place) -> SharerLink:
                at = port_of(place)
                return SharerLink(name, place, security, metrics, port_shared=ports[at] > 1 or at in several)

            return Pool(entries[name], link, CHOICES[balance](), resolve)

        self._replicas = {name: Replicas(name, pool(name)) for name in entries}

    @property
    def names(self) -> tuple[str, ...]:
        """Names a request may use."""
        return tuple(self._replicas)

    def named(self, name: str) -> Replicas:
        """A sharer by name; the empty name means the only one.

        Raises:
            NotFoundError: There is no such sharer, or the name is needed and missing.
        """
        if not name and len(self._replicas) == 1:
            return next(iter(self._replicas.values()))
        if name not in self._replicas:
            known = ", ".join(self._replicas) or "none; start the receiver with --sharers NAME=HOST:PORT"
            raise NotFoundError(f"no sharer is named {name!r} here; known: {known}")
        return self._replicas[name]

    async def models(self, timeout_s: float) -> dict[str, str]:
        """The model each sharer runs, by the sharer's name; empty for one that does not answer."""

        async def model(sharer: Replicas) -> str:
            with suppress(UnavailableError):
                await sharer.refresh()
            described = await asyncio.gather(
                *(link.describe(timeout_s) for link in sharer.links), return_exceptions=True
            )
            return next((each.card.binding.id for each in described if isinstance(each, Description)), "")

        found = await asyncio.gather(*map(model, self._replicas.values()))
        return dict(zip(self._replicas, found, strict=True))

    def states(self) -> dict[str, dict[str, State]]:
        """Of each sharer, whether its addresses are called."""
        return {
            name: {link.address: link.breaker.state for link in sharer.links} for name, sharer in self._replicas.items()
        }

    async def close(self) -> None:
        """Close all channels."""
        for sharer in self._replicas.values():
            await sharer.close()


def _parsed(name: str, text: str) -> tuple[Place | Name, ...]:
    try:
        return parse(text)
    except StartError as error:
        raise StartError(f"sharer {name} at {text!r}: {error}") from error
