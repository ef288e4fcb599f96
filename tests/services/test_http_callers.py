"""Who asks through the front door is known to the receiver, both hops can be encrypted, and either end may go away."""

import asyncio
import signal
import ssl

import openai
import pytest

from kvwire.processes import FREE_PORTS, running_service

pytestmark = pytest.mark.slow

CALLERS = """
[mia]
token = "the token of mia"

[ann]
token = "the token of ann"
calls = ["Describe"]

[hasty]
token = "the token of hasty"
requests_per_second = 0.001
burst = 1
"""
ASKED = {"model": "", "prompt": "hello", "max_tokens": 2}


@pytest.fixture(scope="module")
def secured(tiny_llama, new_authority, tmp_path_factory):
    """A front door and its receiver, which knows its callers by token; TLS on both hops."""
    folder, authority = tmp_path_factory.mktemp("secrets"), new_authority()
    certificate, key = authority.issue("127.0.0.1")
    (folder / "callers.toml").write_text(CALLERS)
    tls = ["--tls-cert", str(certificate), "--tls-key", str(key)]
    own = ["--model", f"path:{tiny_llama}", "--threads", "1", *FREE_PORTS, *tls]
    own += ["--token-file", str(folder / "callers.toml")]
    with running_service("receiver_service", own, folder / "receiver.log") as receiver:
        to_receiver = ["--receiver", receiver.address, "--receiver-ca", str(authority.certificate)]
        with running_service("http_service", [*FREE_PORTS, *tls, *to_receiver], folder / "http.log") as door:
            yield door, ssl.create_default_context(cafile=str(authority.certificate)), folder


def client_of(secured, token):
    door, trusted, _ = secured
    transport = openai.DefaultAsyncHttpxClient(verify=trusted)
    return openai.AsyncOpenAI(
        base_url=f"https://{door.address}/v1", api_key=token, max_retries=0, http_client=transport
    )


async def test_a_caller_s_token_opens_the_receiver(secured):
    """And is in no log."""
    async with client_of(secured, "the token of mia") as mia:
        assert (await mia.completions.create(**ASKED)).usage.completion_tokens == 2
        assert "caller mia" in (secured[2] / "receiver.log").read_text()
    assert not any("the token of" in (secured[2] / f"{side}.log").read_text() for side in ("http", "receiver"))


@pytest.mark.parametrize(
    ("token", "calls", "error"),
    [
        ("nobody's", 1, openai.AuthenticationError),
        ("the token of ann", 1, openai.PermissionDeniedError),
        ("the token of hasty", 2, openai.RateLimitError),
    ],
)
async def test_the_receiver_s_refusal_is_openai_s_error(secured, token, calls, error):
    """Of nobody, of somebody who may not, of somebody who had enough."""
    async with client_of(secured, "the token of mia") as mia, client_of(secured, token) as other:
        await mia.models.list()
        for _ in range(calls - 1):
            await other.completions.create(**ASKED)
        with pytest.raises(error):
            await other.completions.create(**ASKED)


async def test_without_its_receiver_a_front_door_says_so(tmp_path):
    """By its health, and to who asks; it runs on."""
    arguments = [*FREE_PORTS, "--receiver", "127.0.0.1:9"]
    with running_service("http_service", arguments, tmp_path / "log") as door:
        async with openai.AsyncOpenAI(base_url=f"http://{door.address}", api_key="any", max_retries=0) as client:
            for call in (client.get("/health", cast_to=object), client.get("/v1/models", cast_to=object)):
                with pytest.raises(openai.InternalServerError) as caught:
                    await call
                assert caught.value.status_code == 503


async def test_an_answer_in_flight_is_finished_before_the_end(pair, tmp_path):
    """And the status is 0."""
    arguments = [*FREE_PORTS, "--receiver", pair.receiver.address]
    with running_service("http_service", arguments, tmp_path / "log") as door:
        async with openai.AsyncOpenAI(base_url=f"http://{door.address}/v1", api_key="any", max_retries=0) as client:
            long = ASKED | {"max_tokens": 600, "extra_body": {"ignore_eos": True}}
            stream = await client.completions.create(**long, stream=True)
            first = await anext(aiter(stream))
            door.process.send_signal(signal.SIGTERM)
            chunks = [first, *[chunk async for chunk in stream]]
        assert chunks[-1].model_extra["kvwire"]["tokens"]["generated"] == 600
        assert await asyncio.to_thread(door.process.wait, 10) == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--tls-cert", "no-such-file", "--tls-key", "no-such-file"], "cannot use no-such-file"),
        (["--tls-cert", "no-such-file"], "one of them is missing"),
        (["--listen", "nowhere:8000"], "cannot listen on nowhere:8000"),
        (["--listen", "127.0.0.1:99999"], "cannot listen on 127.0.0.1:99999"),
        (["--max-message-bytes", "many"], "max_message_bytes"),
    ],
)
def test_what_cannot_be_started_is_told(capfd, arguments, words):
    """Before anything listens."""
    from http_service.__main__ import serve  # noqa: PLC0415  # sets up logging, in this test alone

    assert serve(arguments) in (1, 2)
    assert words in capfd.readouterr().err
