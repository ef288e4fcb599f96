"""A text of any length, the facts of the pocket set one after the other, and a question behind it."""

from kvwire.requests import Text
from loadtest.datasets import load
from loadtest.scoring import context_text

PROMPT = Text("Question: Where is the key?\nAnswer:")


def facts(characters: int) -> str:
    """So many characters of them, again from the first after the last."""
    told = " ".join(filter(None, map(context_text, load("pocket"))))
    return (told * (1 + characters // len(told)))[:characters]
