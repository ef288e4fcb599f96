"""The receiver behind the front door, asked on behalf of each caller over one connection."""

from http_service.answer import Asked
from kvwire.client import Client
from kvwire.errors import DeadlineError, KvwireError, NotFoundError, UnavailableError
from kvwire.model_card import Description


class Receiver:
    """What its clients ask by; the model it runs is remembered until it goes away."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._model = ""

    def on_behalf_of(self, token: str) -> Client:
        """A client that shows a caller's token, or nothing for callers without one."""
        return self._client.showing(token)

    async def describe(self, token: str) -> Description:
        """Its model card and all it offers.

        Raises:
            KvwireError: Whatever it answered.
        """
        described = await self.on_behalf_of(token).describe()
        self._model = described.card.binding.id
        return described

    async def model_for(self, asked: Asked, token: str) -> str:
        """The model that will answer.

        Raises:
            NotFoundError: It is not the one that was asked for.
            KvwireError: Whatever the receiver answered.
        """
        if not self._model:
            await self.describe(token)
        if asked.model not in ("", self._model):
            raise NotFoundError("the model asked for is not here; GET /v1/models tells which one is")
        return self._model

    def failed(self, error: KvwireError) -> None:
        """Another model may run where one went away."""
        if isinstance(error, UnavailableError):
            self._model = ""

    async def wait_ready(self, timeout_s: float) -> None:
        """See that it serves, at one of its addresses at least.

        Raises:
            UnavailableError: It does not, or not in time.
        """
        try:
            await self._client.wait_any_ready(timeout_s)
        except DeadlineError as error:
            raise UnavailableError(f"the receiver did not answer within {timeout_s:g} s; check that it runs") from error
