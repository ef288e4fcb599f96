"""Sharers by name. Each runs one model, at one address or at several."""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

from kvwire.balancing.breaker import State
from kvwire.balancing.retry_budget import RetryBudget
from kvwire.engine.question import Question
from kvwire.errors import BindingError, NotFoundError, StartError
from kvwire.model_card import Description
from kvwire.security import ClientSecurity
from kvwire.telemetry import Metrics
from receiver_service.choosing.pace import Pace
from receiver_service.sharers import SharerLink, port


class StrangerError(BindingError):
    """An address that runs another model than the first of its name."""


class Choice(Protocol):
    """Chooses which of several addresses is asked a question; all of them may be, and there is at least one."""

    def __call__(self, links: Sequence[SharerLink], question: Question) -> SharerLink:
        """One of them."""
        ...


def least_busy(links: Sequence[SharerLink], question: Question) -> SharerLink:
    """The one with the fewest of this receiver's calls in flight; of equals the first."""
    del question
    return min(links, key=lambda link: link.in_flight)


class Replicas:
    """One sharer: its addresses, what is known of all of them together, and how often they may be tried again."""

    def __init__(self, name: str, links: Sequence[SharerLink], choice: Choice = least_busy) -> None:
        self.name = name
        self.links = tuple(links)
        self.pace = Pace()
        self.budget = RetryBudget()
        self._choice = choice

    @property
    def known(self) -> Description | None:
        """What an address that may be asked was found to run, without a call."""
        return next((link.description for link in self.links if link.breaker.admits and link.description), None)

    def next(self, question: Question, tried: Collection[SharerLink]) -> SharerLink | None:
        """Whom to ask, one that was not tried before those that were; None if all are left alone."""
        admitted = [link for link in self.links if link.breaker.admits]
        untried = [link for link in admitted if link not in tried]
        return self._choice(untried or admitted, question) if admitted else None

    async def describe(self, link: SharerLink, timeout_s: float | None) -> Description:
        """What an address runs.

        Raises:
            StrangerError: Another model than the first address was last seen to run.
            UnavailableError: It cannot be reached.
        """
        description = await link.describe(timeout_s)
        found, first = description.card.binding, next(each for each in self.links if each.binding is not None)
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

    def alone(self) -> str:
        """Why nobody can be asked."""
        each = "; ".join(
            f"{link.address} for {link.breaker.left_s:.1f} s more, because {link.breaker.why}" for link in self.links
        )
        return f"sharer {self.name} is left alone after failures in a row, no call was made: {each}"


class Sharers:
    """All sharers of a receiver."""

    def __init__(self, addresses: Mapping[str, str], security: ClientSecurity, metrics: Metrics) -> None:
        """``addresses``: of each name, one or several with commas between.

        Raises:
            StartError: An address without a port, or one twice under a name.
        """
        split = {name: _split(name, text) for name, text in addresses.items()}
        ports = [port(name, address) for name, found in split.items() for address in found]

        def link(name: str, address: str) -> SharerLink:
            made = SharerLink(name, address, security, port_shared=ports.count(port(name, address)) > 1)
            metrics.sharer_breaker.labels(name, address).set_function(lambda: made.breaker.state)
            return made

        self._replicas = {name: Replicas(name, [link(name, each) for each in found]) for name, found in split.items()}

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
            for link in sharer.links:
                await link.close()


def _split(name: str, text: str) -> list[str]:
    found = [address.strip() for address in text.split(",")]
    if len(set(found)) < len(found):
        raise StartError(f"sharer {name} has an address twice: {text!r}; name each once")
    return found
