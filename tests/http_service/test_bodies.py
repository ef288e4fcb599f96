"""Bodies of OpenAI's clients become requests of kvwire, or are refused by the name of what is wrong."""

import json

import pytest

from http_service.bodies import read_chat, read_completion
from http_service.unsupported import ParameterError
from kvwire.errors import InvalidRequestError
from kvwire.requests import (
    ChatMessage,
    Exchange,
    FaultPolicy,
    FurtherSharer,
    GenerateRequest,
    Messages,
    Method,
    RequestInfo,
    Text,
    TokenIds,
)

HELLO = [{"role": "user", "content": "hello"}]
SECRET = "Bartholomew"  # noqa: S105  # a name


def completion(**body):
    return read_completion(json.dumps({"prompt": "hello"} | body).encode(), "id")


def chat(**body):
    return read_chat(json.dumps({"messages": HELLO} | body).encode(), "id")


def test_a_plain_completion_is_answered_by_the_receiver_alone():
    """With OpenAI's own default length."""
    alone = Exchange(Method.RECEIVER_ONLY)
    assert completion().generate == GenerateRequest(Text("hello"), None, alone, 16, info=RequestInfo("id"))


def test_every_option_of_kvwire_reaches_the_request():
    """By the names of the values."""
    options = {
        "context": "Mia hid the key.",
        "deadline_ms": 500,
        "method": "fuse",
        "sharer": "one",
        "codec": "int8",
        "fuser": "c2c",
        "on_fault": "partial",
        "further": [{"sharer": "two", "fuser": "ridge"}],
    }
    asked = completion(kvwire=options, user="mia", ignore_eos=True, max_tokens=3, stop="x").generate
    exchange = Exchange(
        Method.FUSE, "one", "int8", "c2c", FaultPolicy.PARTIAL, further=(FurtherSharer("two", "ridge"),)
    )
    info = RequestInfo("id", "mia", 500)
    assert asked == GenerateRequest(
        Text("hello"), Text("Mia hid the key."), exchange, 3, ignore_eos=True, info=info, stop=("x",)
    )


@pytest.mark.parametrize(
    ("context", "value"),
    [
        ("Mia.", Text("Mia.")),
        ([5, 6], TokenIds((5, 6))),
        ([{"role": "user", "content": "Mia."}], Messages((ChatMessage("user", "Mia."),))),
    ],
)
def test_a_context_is_the_sharer_s_unless_a_method_says_otherwise(context, value):
    """In each of its forms."""
    asked = chat(kvwire={"context": context}).generate
    assert (asked.context, asked.exchange) == (value, Exchange(Method.PREFIX))


@pytest.mark.parametrize(
    ("prompt", "value"), [("hi", Text("hi")), ([1, 2], TokenIds((1, 2))), (["hi"], Text("hi")), ([[1]], TokenIds((1,)))]
)
def test_a_prompt_comes_as_text_or_tokens(prompt, value):
    """Also as a list of one."""
    assert completion(prompt=prompt).generate.prompt == value


def test_chat_messages_are_left_for_the_receiver_s_template():
    """Parts of text become one, a developer speaks as the system, and what clients leave empty is nothing."""
    messages = [
        {"role": "developer", "content": "Be brief."},
        {"role": "user", "content": [{"type": "text", "text": "Where "}, {"type": "text", "text": "is it?"}]},
        {"role": "assistant", "content": "There.", "refusal": None, "tool_calls": [], "audio": None},
    ]
    said = (("system", "Be brief."), ("user", "Where is it?"), ("assistant", "There."))
    asked = chat(messages=messages).generate
    assert asked.prompt == Messages(tuple(ChatMessage(*one) for one in said))
    assert asked.max_new_tokens == 256


def test_the_newer_name_of_the_longest_answer_counts():
    """Clients may send both."""
    assert chat(max_tokens=5, max_completion_tokens=7).generate.max_new_tokens == 7
    assert chat(max_tokens=5).generate.max_new_tokens == 5


@pytest.mark.parametrize(
    ("read", "body", "shown"),
    [
        (completion, {}, None),
        (completion, {"logprobs": 0}, 0),
        (completion, {"logprobs": 1}, 1),
        (chat, {"logprobs": False}, None),
        (chat, {"logprobs": True}, 0),
        (chat, {"logprobs": True, "top_logprobs": 1}, 1),
    ],
)
def test_log_probabilities_are_those_of_the_tokens_taken(read, body, shown):
    """Beside each at most itself, the most likely one."""
    assert read(**body).logprobs == shown


def test_what_asks_for_nothing_is_taken():
    """Null is the same as left out, and a default that is spelled out too."""
    neutral = {"temperature": 0, "top_p": 0.5, "seed": 3, "n": 1, "tools": [], "response_format": {"type": "text"}}
    empty = dict.fromkeys(("stop", "stream", "stream_options", "user", "logit_bias", "max_tokens", "kvwire"))
    assert chat(**neutral, **empty) == chat()
    assert completion(echo=False, best_of=1, suffix=None) == completion()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("temperature", 0.7),
        ("n", 2),
        ("presence_penalty", 0.5),
        ("logit_bias", {"5": 1}),
        ("tools", [{"type": "function"}]),
        ("response_format", {"type": "json_object"}),
        ("store", True),
        ("no_such_thing", 1),
        ("max_tokens", 0),
        ("top_logprobs", 2),
        ("messages", []),
        ("messages.0.role", [{"role": "tool", "content": SECRET}]),
        ("messages.0.content.0.type", [{"role": "user", "content": [{"type": "image_url", "text": SECRET}]}]),
        ("stream_options.news", {"news": 1}),
        ("kvwire.method", {"method": SECRET}),
        ("kvwire.news", {"news": SECRET}),
        ("stop", 3),
    ],
)
def test_what_is_not_offered_is_refused_by_name(name, value):
    """And nothing of what was said is repeated."""
    with pytest.raises(ParameterError) as caught:
        chat(**{name.partition(".")[0]: value})
    assert caught.value.param == name
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("prompt", [["one", "two"], [[1], [2]]])
def test_several_prompts_are_several_requests(prompt):
    """Whoever sends them is told."""
    with pytest.raises(ParameterError, match="a request for each"):
        completion(prompt=prompt)


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'"hello"', b"\xff", b"[" * 100_000, b'{"prompt": "\\ud800"}'])
def test_a_body_that_is_no_object_is_refused(body):
    """Whatever it is."""
    with pytest.raises(InvalidRequestError, match="send one object"):
        read_completion(body, "id")
