"""Model ``kvwire`` of lm-evaluation-harness: any of its tasks, answered over the wire."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict
from functools import partial
from typing import Any, TypeVar

from lm_eval.api.instance import Instance
from lm_eval.api.model import TemplateLM
from lm_eval.api.registry import register_model
from lm_eval.models.utils import postprocess_generated_text
from lm_eval.utils import get_rolling_token_windows, make_disjoint_window
from tqdm import tqdm

from experiments.harness.arguments import check, exchange_of, security_of
from experiments.harness.asking import Traffic, ask_all, likelihoods, written
from experiments.harness.division import Division
from experiments.harness.jobs import Generation, Scoring, Tokenized, generation, scorings
from experiments.harness.tokenizer import tokenizer_of
from kvwire.client import Client
from kvwire.model_card import Description

Job = TypeVar("Job")
Answer = TypeVar("Answer")


@register_model("kvwire")
class KvwireLM(TemplateLM):  # type: ignore[misc]  # lm_eval has no types
    """A receiver, and how it is asked.

    receiver: its address. prompt_tokens, separator: where requests are divided (``division``). tokenizer: a model that
    has the receiver's, where the store does not have it. max_length: tokens that lm-eval may use, 0 for the receiver's
    limit. num_concurrent: requests in flight. exchange_and_security: fields of ``Exchange`` and of
    ``ClientSecurity`` that ``arguments`` lists.

    Raises:
        KvwireError: Arguments that cannot be used, or whatever the receiver answered.
    """

    def __init__(
        self,
        receiver: str = "",
        prompt_tokens: int = 0,
        separator: str = "",
        tokenizer: str = "",
        max_length: int = 0,
        num_concurrent: int = 4,
        **exchange_and_security: Any,
    ) -> None:
        super().__init__()
        check(receiver, num_concurrent, exchange_and_security)
        self._exchange = exchange_of(exchange_and_security)
        self._client = partial(Client, receiver, security_of(exchange_and_security))
        self._at_once = num_concurrent
        self._served = asyncio.run(self._describe())
        self.tokenizer = tokenizer_of(self._served.card.binding, tokenizer)
        self._division = Division(self._exchange, self.tokenizer, prompt_tokens, separator)
        limit = min(self._served.card.max_positions, self._served.limits.max_tokens)
        self._max_tokens = min(max_length + 1, limit) if max_length else limit
        self.traffic = Traffic()

    @property
    def max_length(self) -> int:
        """Of a sequence, without its last token, which lm-eval does not count."""
        return self._max_tokens - 1

    @property
    def eot_token_id(self) -> int:
        """End of text."""
        return int(self.tokenizer.eos_token_id)

    @property
    def prefix_token_id(self) -> int:
        """What stands before a text with nothing before it."""
        bos = self.tokenizer.bos_token_id
        return self.eot_token_id if bos is None else int(bos)

    @property
    def tokenizer_name(self) -> str:
        """Names the caches of requests that lm-eval keeps."""
        return self._served.card.binding.tokenizer_fingerprint.hex()

    def get_model_info(self) -> dict[str, Any]:
        """What stands in lm-eval's results beside its own: who answered, and what was sent."""
        card = self._served.card
        model = {"id": card.binding.id, "weights_sha256": card.binding.weights_fingerprint.hex()}
        return {
            "receiver_model": model | {"compute_dtype": card.compute_dtype},
            "exchange": asdict(self._exchange),
            "traffic": self.traffic.to_json(),
        }

    def tok_encode(self, string: str, add_special_tokens: bool | None = None, **_: Any) -> list[int]:
        """Tokens as lm-eval's model ``hf`` makes them: BOS where the tokenizer adds one, but not twice."""
        if add_special_tokens is None and string.startswith(self.tokenizer.decode(self.prefix_token_id)):
            add_special_tokens = False
        special = {} if add_special_tokens is None else {"add_special_tokens": add_special_tokens}
        return list(self.tokenizer.encode(string, **special))

    def apply_chat_template(self, chat_history: list[dict[str, str]], add_generation_prompt: bool = True) -> str:
        """A chat as text."""
        rendered: str = self.tokenizer.apply_chat_template(
            chat_history,
            tokenize=False,
            add_generation_prompt=add_generation_prompt,
            continue_final_message=not add_generation_prompt,
        )
        return rendered

    def loglikelihood_rolling(self, requests: list[Instance], disable_tqdm: bool = False) -> list[float]:
        """Log-likelihoods of whole texts.

        Nothing stands before a text, so a sharer would have nothing to read: of each window the receiver predicts the
        first half alone, and the second behind the first.
        """
        pieces: list[tuple[int, Tokenized]] = []
        for index, request in enumerate(requests):
            ids = self.tok_encode(request.args[0])
            for window in get_rolling_token_windows(ids, self.prefix_token_id, self.max_length, 1):
                pieces += [(index, piece) for piece in self._halves(*make_disjoint_window(window))]
        totals = [0.0] * len(requests)
        found = self._loglikelihood_tokens([piece for _, piece in pieces], disable_tqdm=disable_tqdm)
        for (index, _), (total, _) in zip(pieces, found, strict=True):
            totals[index] += total
        for request, total in zip(requests, totals, strict=True):
            self.cache_hook.add_partial("loglikelihood_rolling", request.args, total)
        return totals

    def generate_until(self, requests: list[Instance], disable_tqdm: bool = False) -> list[str]:
        """What greedy decoding writes behind each text."""
        eos = self.tokenizer.decode(self.eot_token_id)
        jobs = [
            generation(text, self.tok_encode(text), said, self._division, self.max_length, eos)
            for text, said in (request.args for request in requests)
        ]

        async def ask(client: Client, job: Generation) -> str:
            said = await written(client, job.request, job.until, self._text, self.traffic)
            return str(postprocess_generated_text(said, list(job.until), None))

        with tqdm(total=len(jobs), desc="Running generate_until requests", disable=disable_tqdm) as bar:

            def told(job: Generation, said: str) -> None:
                self.cache_hook.add_partial("generate_until", job.arguments, said)
                bar.update()

            return self._asked(jobs, ask, told)

    def _loglikelihood_tokens(
        self, requests: Sequence[Tokenized], disable_tqdm: bool = False, **_: Any
    ) -> list[tuple[float, bool]]:
        jobs = list(scorings(requests, self._division, self._max_tokens))

        async def ask(client: Client, job: Scoring) -> list[tuple[float, bool]]:
            return await likelihoods(client, job.request, self.traffic)

        with tqdm(total=len(requests), desc="Running loglikelihood requests", disable=disable_tqdm) as bar:

            def told(job: Scoring, answers: list[tuple[float, bool]]) -> None:
                for (called, _, _), answer in zip(job.members, answers, strict=True):
                    if called is not None:
                        self.cache_hook.add_partial("loglikelihood", called, answer)
                bar.update(len(answers))

            return [answer for answers in self._asked(jobs, ask, told) for answer in answers]

    def _halves(self, before: list[int], tokens: list[int]) -> list[Tokenized]:
        middle = len(tokens) // 2
        if not (self._division.divides and middle):
            return [(None, before, tokens)]
        return [(None, before, tokens[:middle]), (None, [*before, *tokens[:middle]], tokens[middle:])]

    def _text(self, ids: Sequence[int]) -> str:
        return str(self.tokenizer.decode(ids, skip_special_tokens=True))

    def _asked(
        self,
        jobs: Sequence[Job],
        ask: Callable[[Client, Job], Awaitable[Answer]],
        told: Callable[[Job, Answer], None],
    ) -> list[Answer]:
        async def connected() -> list[Answer]:
            async with self._client() as client:
                return await ask_all(client, jobs, ask, told, self._at_once)

        return asyncio.run(connected())

    async def _describe(self) -> Description:
        async with self._client() as client:
            return await client.describe()
