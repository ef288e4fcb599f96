"""Chats by the rule of official checkpoints with aligned tokens: each model's own template, content one to one."""

import pytest
from transformers import AutoTokenizer

from fuser.align_official import first, longest
from fuser.align_official_chat import receiver_chat, sharer_chat
from kvwire.errors import InvalidRequestError

MESSAGES = [
    {"role": "system", "content": "Grant a licence."},
    {"role": "user", "content": "What does the Contributor grant?"},
]


@pytest.fixture
def tokenizers(tiny_llama):
    """One vocabulary, two templates; the sharer's is shorter before and longer behind."""
    receiver, sharer = (AutoTokenizer.from_pretrained(tiny_llama) for _ in range(2))
    sharer.chat_template = (
        "{% for m in messages %}{{ m['content'] }}<|{{ m['role'] }}|>\n\n{% endfor %}"
        "{% if add_generation_prompt %}the answer: {% endif %}"
    )
    return receiver, sharer


@pytest.mark.parametrize("pick", [first, longest])
def test_content_is_one_to_one_and_templates_are_each_models_own(tokenizers, pick):
    """What stands between the contents is what the sharer's template says."""
    receiver, sharer = tokenizers
    ours, theirs = receiver_chat(receiver, MESSAGES), sharer_chat(receiver, sharer, MESSAGES, pick)
    assert len(ours.content) == len(theirs.content)
    for mine, other in zip(ours.content, theirs.content, strict=True):
        assert sharer.decode([theirs.ids[other]]) in receiver.decode([ours.ids[mine]])
    template = [token for at, token in enumerate(theirs.ids) if at not in theirs.content]
    said = sharer.decode(template)
    assert said.replace(" ", "") == "<|system|>\n\n<|user|>\n\ntheanswer:"
    assert theirs.content[0] == 0
    assert ours.content[0] > 0


def test_the_receiver_reads_its_chat_as_a_whole(tokenizers):
    """As its own template gives it, with the prompt for an answer."""
    receiver, _ = tokenizers
    rendered = receiver.apply_chat_template(MESSAGES, tokenize=False, add_generation_prompt=True)
    ours = receiver_chat(receiver, MESSAGES)
    assert list(ours.ids) == receiver(rendered, add_special_tokens=False).input_ids
    content = receiver.decode([ours.ids[at] for at in ours.content])
    assert all(message["content"] in content for message in MESSAGES)


def test_a_chat_without_content_or_template_is_refused(tokenizers):
    """There is nothing to fuse, or no way to say where it is."""
    receiver, sharer = tokenizers
    with pytest.raises(InvalidRequestError, match="no content"):
        receiver_chat(receiver, [{"role": "user", "content": " "}])
    with pytest.raises(InvalidRequestError, match="no content"):
        sharer_chat(receiver, sharer, [{"role": "user", "content": " "}], first)
    sharer.chat_template = None
    with pytest.raises(InvalidRequestError, match="no chat template"):
        sharer_chat(receiver, sharer, MESSAGES, first)


def test_a_chat_that_either_model_s_template_refuses_is_refused(tokenizers):
    """In that template's own words."""
    receiver, sharer = tokenizers
    sharer.chat_template = "{{ raise_exception('no system role') }}"
    with pytest.raises(InvalidRequestError, match="refuses the messages: no system role"):
        sharer_chat(receiver, sharer, MESSAGES, first)
    with pytest.raises(InvalidRequestError, match="refuses the messages: no system role"):
        receiver_chat(sharer, MESSAGES)
