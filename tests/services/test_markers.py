"""Marked prompts, contexts, instructions, answers and tokens, through every call: none of them is told anywhere."""

import asyncio
import json

import grpc
import pytest

pytest.importorskip("opentelemetry.sdk", reason="the extra kvwire[otel] is not installed")

from bench.services.collector import running_collector
from kvwire.client import Client
from kvwire.errors import KvwireError
from kvwire.processes import Pair, running_pair
from kvwire.requests import (
    ChatMessage,
    Exchange,
    FaultPolicy,
    GenerateRequest,
    Messages,
    Method,
    RelayMode,
    RequestInfo,
    ScoreRequest,
    Text,
    TokenIds,
)
from kvwire.rpc import serde
from kvwire.security import ClientSecurity
from kvwire.v1 import receiver_service_pb2, receiver_service_pb2_grpc
from tests.over_http import fetch

pytestmark = pytest.mark.slow  # a pair of its own for each form of log

PROMPT, CONTEXT, INSTRUCTION, CONTINUATION = "Bartholomew", "Ravenscroft", "Quillfeather", "Zanzibarian"
ROLE = "Ogbomosho"
TOKEN, WRONG_TOKEN = "sesame-Tamerlane", "barley-Nebuchadnezzar"  # of this test alone
IDS = (411, 37, 298, 173, 402)
MARKERS = [PROMPT, CONTEXT, INSTRUCTION, CONTINUATION, ROLE, TOKEN, WRONG_TOKEN, str(IDS)[1:-1]]
CHAT = Messages((ChatMessage("user", f"{PROMPT}?"), ChatMessage(ROLE, PROMPT)))


def generate(prompt=Text(PROMPT), context=Text(f"{CONTEXT} "), deadline_ms=0, **exchange):  # noqa: B008  # frozen
    made = Exchange(**{"codec": "int8"} | exchange)
    return GenerateRequest(prompt, context, made, 24, ignore_eos=True, info=RequestInfo(deadline_ms=deadline_ms))


def score(*continuations, **more):
    continuations = continuations or (Text(CONTINUATION),)
    return ScoreRequest(Text(PROMPT), continuations, Text(f"{CONTEXT} "), Exchange(codec="int8"), **more)


ANSWERED = [
    *(generate(method=method) for method in (Method.RECEIVER_ONLY, Method.RECEIVER_READS, Method.PREFIX)),
    generate(context=None, method=Method.FUSE, codec="fp16"),
    generate(method=Method.TEXT, relay_instruction=INSTRUCTION),
    generate(method=Method.TEXT, relay=RelayMode.VERBATIM),
    generate(TokenIds(IDS), TokenIds(IDS)),
    generate(Messages((ChatMessage("user", PROMPT),)), method=Method.RECEIVER_ONLY, context=None),
    generate(codec="int8+keep=0.5", policy=""),
    generate(policy="bytes=100000", codec="int8"),
]
REFUSED = [
    generate(codec="no-such-codec"),
    generate(codec="int8:per="),
    generate(sharer="nobody"),
    generate(fuser="magic"),
    generate(on_fault=FaultPolicy.PARTIAL),
    generate(on_fault=FaultPolicy.RECEIVER_ONLY, sharer="nobody"),
    generate(context=None),
    generate(Text(f"{PROMPT} " * 1000)),
    generate(Text("")),
    generate(TokenIds((*IDS, 99_999))),
    generate(context=TokenIds((*IDS, 99_999))),
    generate(CHAT, method=Method.FUSE),
    generate(Messages(())),
    generate(method=Method.SHARER_ONLY),
    generate(policy="budget=1"),
    generate(deadline_ms=1),
    generate(Text(PROMPT * 500_000)),
]
SCORED = [
    score(info=RequestInfo("kept"), keep_distributions=True),
    score(info=RequestInfo("compared"), compare_with="kept"),
    score(compare_with="never"),
    score(Text(CONTINUATION), Text("")),
    score(Text(f"{CONTINUATION} " * 1000)),
]


def read(*asked, **headers):
    """What one HTTP request is answered."""
    return fetch(*asked, **headers)[2].decode()


async def inspect(address):
    """Look inside, which is off."""
    async with grpc.aio.insecure_channel(address) as channel:
        stub = receiver_service_pb2_grpc.ReceiverServiceStub(channel)
        asked = receiver_service_pb2.InspectRequest(generate=serde.generate_to_proto(generate()))
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await anext(aiter(stub.Inspect(asked, metadata=[("authorization", f"Bearer {TOKEN}")])))
        return caught.value.details()


async def ask_everything(sharer, receiver, folder):
    """Every call; the answers' texts, and the words of every refusal."""
    words = [await inspect(receiver)]
    security = ClientSecurity(token_file=folder / "token")
    async with Client(receiver, security) as client, Client(sharer, security) as at_sharer:
        answers = [(await client.generate_all(request)).text for request in ANSWERED]
        for request in REFUSED:
            try:
                words.append((await client.generate_all(request)).report.reason)
            except KvwireError as error:
                words.append(str(error))
        for request in SCORED:
            try:
                await client.score(request)
            except KvwireError as error:
                words.append(str(error))
        words += [str(each) async for each in client.score_together(SCORED) if isinstance(each, KvwireError)]
        hung_up_on = client.generate(generate())
        await anext(hung_up_on)
        await hung_up_on.aclose()
        answers.append((await at_sharer.generate_all(generate(method=Method.SHARER_ONLY))).text)
    async with Client(receiver, ClientSecurity(token_file=folder / "wrong")) as client:
        with pytest.raises(KvwireError) as caught:
            await client.generate_all(generate())
        words.append(str(caught.value))
    return answers, words


def ask_page(metrics):
    """What the live page's port answers: the box rightly and wrongly asked, and what it shows."""
    said = {"Content_Type": "application/json", "Authorization": f"Bearer {TOKEN}"}
    question = {"prompt": PROMPT, "context": f"{CONTEXT} ", "codec": "int8", "max_new_tokens": 8}
    answered = read(metrics, "/ask", "POST", json.dumps(question), **said).splitlines()
    assert "report" in json.loads(answered[-1])
    for body in (json.dumps(question | {"codec": "no-such-codec"}), json.dumps(question | {"more": 1}), PROMPT):
        yield read(metrics, "/ask", "POST", body, **said)
    yield read(metrics, "/ask", "POST", json.dumps(question), **said | {"Authorization": f"Bearer {WRONG_TOKEN}"})
    yield read(metrics, f"/ask?prompt={PROMPT}")
    yield read(metrics, f"/{PROMPT}")
    yield read(metrics, f"/live.json?after={PROMPT}")
    yield read(metrics, "/live.json")
    yield read(metrics, "/")


@pytest.fixture(scope="module", params=["json", "text"])
def told(request, tiny_llama, tmp_path_factory):
    """All that a pair told of it, by where, and the answers it gave."""
    folder = tmp_path_factory.mktemp("told")
    (folder / "token").write_text(f"{TOKEN}\n")
    (folder / "wrong").write_text(f"{WRONG_TOKEN}\n")
    told, model = {}, f"path:{tiny_llama}"
    with running_collector() as collector:
        both = ["--threads", "1", "--max-tokens", "1024", "--log-level", "debug", "--log-format", request.param]
        both += ["--reuse-bytes", "100000000", "--token-file", str(folder / "token")]
        both += ["--otlp-endpoint", collector.address]
        to_sharer = ["--sharer-token-file", str(folder / "token")]
        with running_pair(Pair(model, model), both, folder, (), to_sharer) as (sharer, receiver):
            answers, words = asyncio.run(ask_everything(sharer.address, receiver.address, folder))
            told["error messages"] = "\n".join(words)
            told["live page"] = "\n".join(ask_page(receiver.metrics))
            told["sharer's metrics"] = read(sharer.metrics, "/metrics")
            told["receiver's metrics"] = read(receiver.metrics, "/metrics")
    told["traces"] = "\n".join(map(repr, collector.spans))
    told |= {f"{side}'s log": (folder / f"{side}.log").read_text() for side in ("sharer", "receiver")}
    return told, answers


# What shows that a place was looked at after something was told there.
TOLD = {
    "sharer's log": "SharerService/Share: OK",
    "receiver's log": "no-such-codec",
    "sharer's metrics": 'grpc_method="Relay"',
    "receiver's metrics": 'code="INVALID_ARGUMENT"',
    "error messages": "takes 1024",
    "live page": "no-such-codec",
    "traces": "SharerService/Relay",
}


@pytest.mark.parametrize("place", TOLD)
def test_no_prompt_and_no_token_is_told(told, place):
    """Of answered, refused, cancelled and failed requests, at the level debug."""
    said = told[0][place]
    assert TOLD[place] in said
    assert [marker for marker in MARKERS if marker in said] == []


@pytest.mark.parametrize("place", TOLD)
def test_no_answer_is_told(told, place):
    """Neither as text nor as JSON writes it."""
    said, answers = told[0][place], [each for each in told[1] if len(each) > 8]
    assert len(answers) > 5
    assert not [each for each in answers if each in said or json.dumps(each)[1:-1] in said]
