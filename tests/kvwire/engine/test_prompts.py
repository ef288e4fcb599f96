"""Head, context and prompt as tokens."""

import pytest
from transformers import AutoTokenizer

from kvwire.engine.prompts import PromptReader
from kvwire.errors import InvalidRequestError
from kvwire.requests import ChatMessage, Messages, Text, TokenIds

CHAT = Messages((ChatMessage("system", "Be brief."), ChatMessage("user", "Where is it?")))


def test_text_keeps_the_border_between_context_and_prompt(engine):
    """Both are tokenized apart, so neither changes the other's tokens."""
    tokens = engine.prompts.read(Text("a fact"), Text("ual question"))
    assert tokens.context == engine.prompts.plain("a fact")
    assert tokens.prompt == engine.prompts.plain("ual question")


def test_the_head_of_text_is_the_tokenizers_bos(engine, family):
    """Gemma's tokenizer adds BOS, the others add nothing."""
    assert engine.prompts.read(None, Text("hello")).head == ((0,) if "gemma" in str(family) else ())


def test_a_chat_prompt_opens_with_the_template_up_to_the_first_user_message(engine):
    """The context stands where the first user message begins."""
    tokens = engine.prompts.read(Text("A fact. "), CHAT)
    head, prompt = (
        engine.prompts.plain("<turn>system\nBe brief.<end>\n<turn>user\n"),
        "Where is it?<end>\n<turn>assistant\n",
    )
    assert tokens.head == head
    assert tokens.prompt == engine.prompts.plain(prompt)


def test_context_messages_come_before_the_prompt_messages(engine):
    """Both render to what the whole conversation renders to."""
    context = Messages((ChatMessage("user", "It is here."), ChatMessage("assistant", "Noted.")))
    tokens = engine.prompts.read(context, CHAT)
    assert tokens.head == ()
    assert tokens.context == engine.prompts.plain("<turn>user\nIt is here.<end>\n<turn>assistant\nNoted.<end>\n")
    assert tokens.prompt == engine.prompts.plain(
        "<turn>system\nBe brief.<end>\n<turn>user\nWhere is it?<end>\n<turn>assistant\n"
    )


def test_token_ids_are_taken_as_they_are(engine):
    """No head, no BOS."""
    tokens = engine.prompts.read(TokenIds((7, 8)), TokenIds((9,)))
    assert (tokens.head, tokens.context, tokens.prompt) == ((), (7, 8), (9,))


@pytest.mark.parametrize("prompt", [Text(""), TokenIds(()), Messages(()), TokenIds((512,))])
def test_a_prompt_that_cannot_be_read_is_refused(engine, prompt):
    """Empty in any form, or with a token the vocabulary lacks."""
    with pytest.raises(InvalidRequestError):
        engine.prompts.read(None, prompt)


def test_a_chat_prompt_without_a_user_message_is_refused(engine):
    """There is no place for the context to stand."""
    with pytest.raises(InvalidRequestError, match="no user message"):
        engine.prompts.read(None, Messages((ChatMessage("system", "Be brief."),)))


def reader(folder, template):
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.chat_template = template
    return PromptReader(tokenizer, 512)


@pytest.mark.parametrize("asked", [(None, CHAT), (CHAT, Text("Where?")), (CHAT, CHAT)])
def test_messages_that_the_template_refuses_are_a_wrong_request(tiny_llama, asked):
    """In the template's own words, and with what to send."""
    prompts = reader(tiny_llama, "{{ raise_exception('System role not supported') }}")
    with pytest.raises(InvalidRequestError, match="refuses the messages: System role not supported; send roles"):
        prompts.read(*asked)


def test_a_context_whose_template_writes_bos_has_no_other_one_before_it(tiny_gemma):
    """Its tokenizer would put one there; where the template writes none it does."""
    context, prompt = Messages((ChatMessage("user", "It is here."),)), Text("Where is it?")
    turns = "{% for message in messages %}<turn>{{ message['content'] }}{% endfor %}"
    for template, head in (("{{ bos_token }}" + turns, ()), (turns, (0,))):
        tokens = reader(tiny_gemma, template).read(context, prompt)
        assert (tokens.head, (tokens.head + tokens.context).count(0)) == (head, 1)
