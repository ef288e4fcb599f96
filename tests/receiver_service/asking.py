"""A receiver that asks scripted sharers over real channels, for the tests of its tries."""

from random import Random

from kvwire.balancing.choice import Balance
from kvwire.balancing.places import system_resolve
from kvwire.security import ClientSecurity
from kvwire.telemetry import Metrics
from receiver_service.replicas import Replicas, Sharers
from receiver_service.sharers import Meter
from receiver_service.tries import Tally, Tries


class Impatient(Random):
    """Waits no time between tries, and writes down from how long to how long it could have been."""

    def __init__(self):
        super().__init__()
        self.bounds_s = []

    def uniform(self, a, b):
        self.bounds_s.append((a, b))
        return 0.0


class Receiver:
    """One that knows sharer ``s`` at some addresses."""

    def __init__(self, addresses, balance=Balance.LEAST_BUSY, resolve=system_resolve):
        self.metrics = Metrics("receiver")
        self.sharers = Sharers({"s": ",".join(addresses)}, ClientSecurity(), self.metrics, balance, resolve)
        self.random = Impatient()
        self.tally = Tally()

    @property
    def replicas(self) -> Replicas:
        return self.sharers.named("s")

    def tries(self, question, until_s=None, random=None):
        """Calls of the sharer for a question."""
        return Tries(self.replicas, question, until_s, self.tally, self.metrics, random or self.random)

    async def ask(self, question, until_s=None, random=None, tally=None):
        """The address that answered; with a ``tally``, further on in the request that it is of."""
        self.tally = tally or Tally()
        tries = self.tries(question, until_s, random)

        async def relayed(link, _description):
            asked = (question.info, question.context, question.exchange, tries.left_s(), Meter())
            answer = await link.relay(*asked, sealed=True)
            self.tally.used(link)
            return answer.text

        return await tries.run(relayed)

    async def __aenter__(self):
        return self

    async def __aexit__(self, *_):
        await self.sharers.close()
