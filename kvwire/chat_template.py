"""Renders chat messages with a tokenizer's own template; what the template refuses is a wrong request."""

from collections.abc import Mapping, Sequence
from typing import Any

from jinja2 import TemplateError

from kvwire.errors import InvalidRequestError

#: ``role`` and ``content``, as chat templates take them.
Message = Mapping[str, str]


def render(tokenizer: Any, messages: Sequence[Message], *, answer: bool) -> str:
    """The chat as text, with ``answer`` up to where that begins; ``tokenizer`` is one of transformers with a template.

    Raises:
        InvalidRequestError: The template takes no such messages; its own words are in the error.
    """
    try:
        text: str = tokenizer.apply_chat_template(
            list(messages), tokenize=False, add_generation_prompt=answer, enable_thinking=False
        )
    except TemplateError as refusal:
        raise InvalidRequestError(
            f"this model's chat template refuses the messages: {refusal}; send roles in the order it takes, or text"
        ) from refusal
    return text
