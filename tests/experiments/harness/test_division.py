"""Where a request is divided, and in what form its two parts are sent."""

import pytest
from transformers import AutoTokenizer

from experiments.harness.division import Division
from kvwire.requests import Exchange, Method, Text, TokenIds

TEXT = "Shots before.\n\nQuestion: naïve ☕☕?\nAnswer:"


@pytest.fixture(params=["tiny_llama", "tiny_gemma"])
def tokenizer(request):
    """Without BOS, and with."""
    return AutoTokenizer.from_pretrained(request.getfixturevalue(request.param))


def divided(tokenizer, text=TEXT, *, fuser="ridge", method=Method.PREFIX, prompt_tokens=0, separator=""):
    division = Division(Exchange(method=method, fuser=fuser), tokenizer, prompt_tokens, separator)
    return division.divided(text, tokenizer.encode(text))


@pytest.mark.parametrize("prompt_tokens", range(1, 20))
def test_text_is_whole_wherever_it_is_divided(tokenizer, prompt_tokens):
    """No character of several tokens is broken, and BOS is left to each model."""
    context, prompt, _ = divided(tokenizer, prompt_tokens=prompt_tokens)
    assert context.text + prompt.text == TEXT


def test_tokens_are_those_of_the_whole_text(tokenizer):
    """With BOS at their beginning, where there is one."""
    context, prompt, exchange = divided(tokenizer, fuser="identity", prompt_tokens=4)
    assert (*context.ids, *prompt.ids) == tuple(tokenizer.encode(TEXT))
    assert len(prompt.ids) == 4
    assert exchange.method is Method.PREFIX


def test_the_last_separator_counts(tokenizer):
    """What stands up to it, with it, is the context."""
    context, prompt, _ = divided(tokenizer, separator="\n\n")
    assert context == Text("Shots before.\n\n")
    assert prompt == Text("Question: naïve ☕☕?\nAnswer:")


def test_a_token_across_the_border_is_of_the_prompt(tokenizer):
    """It stays one token."""
    ends = [end for _, end in tokenizer(TEXT, return_offsets_mapping=True)["offset_mapping"]]
    across = next(i for i in range(3, len(ends)) if ends[i] - ends[i - 1] > 1)
    context, prompt, _ = divided(tokenizer, fuser="identity", separator=TEXT[: ends[across] - 1])
    assert len(context.ids) == across
    assert (*context.ids, *prompt.ids) == tuple(tokenizer.encode(TEXT))


@pytest.mark.parametrize("method", [Method.RECEIVER_ONLY, Method.RECEIVER_READS, Method.FUSE])
def test_where_the_sharer_alone_reads_nothing_all_is_prompt(tokenizer, method):
    """As one model by itself would be asked."""
    context, prompt, _ = divided(tokenizer, method=method)
    assert context is None
    assert prompt == TokenIds(tuple(tokenizer.encode(TEXT)))


def test_without_anything_to_share_the_receiver_answers_alone(tokenizer):
    """BOS is nothing to share."""
    text = "a"
    context, prompt, exchange = divided(tokenizer, text)
    assert context is None
    assert prompt == TokenIds(tuple(tokenizer.encode(text)))
    assert exchange.method is Method.RECEIVER_ONLY
