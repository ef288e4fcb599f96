"""OpenAI's parameters that kvwire takes only with the values that ask for nothing it lacks."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from kvwire.errors import InvalidRequestError


class ParameterError(InvalidRequestError):
    """One parameter of a body is wrong; ``param`` is its name."""

    def __init__(self, param: str, why: str) -> None:
        super().__init__(f"{param}: {why}")
        self.param = param


@dataclass(frozen=True)
class _Only:
    """The values that are taken, and why there are no others."""

    values: tuple[Any, ...]
    why: str


_GREEDY = "decoding is greedy, the most likely token is always taken"
_ONE = "one answer is written for a request"
_TOOLS = "tools are not offered"
_TEXT = "answers are plain text"

_LIMITED = {
    "temperature": _Only((0,), _GREEDY),
    "frequency_penalty": _Only((0,), _GREEDY),
    "presence_penalty": _Only((0,), _GREEDY),
    "logit_bias": _Only(({},), _GREEDY),
    "n": _Only((1,), _ONE),
    "best_of": _Only((1,), _ONE),
    "echo": _Only((False,), "the prompt is not repeated"),
    "suffix": _Only(("",), "nothing is written before a suffix"),
    "tools": _Only(([],), _TOOLS),
    "functions": _Only(([],), _TOOLS),
    "tool_choice": _Only(("none",), _TOOLS),
    "function_call": _Only(("none",), _TOOLS),
    "parallel_tool_calls": _Only((False,), _TOOLS),
    "response_format": _Only(({"type": "text"},), _TEXT),
    "modalities": _Only((["text"],), _TEXT),
    "store": _Only((False,), "nothing is stored"),
}

# Without effect on greedy decoding: the most likely token is in every nucleus, and nothing is drawn.
_WITHOUT_EFFECT = frozenset({"top_p", "seed"})


def supported(body: Mapping[str, Any]) -> dict[str, Any]:
    """What is left of a body without the parameters that ask for nothing; null is the same as left out.

    Raises:
        ParameterError: One asks for what there is not.
    """
    left = {}
    for name, value in body.items():
        only = _LIMITED.get(name)
        if value is None or name in _WITHOUT_EFFECT:
            continue
        if only is None:
            left[name] = value
        elif value not in only.values:
            taken = " or ".join(map(repr, only.values))
            raise ParameterError(name, f"{only.why}; leave it out, or send {taken}")
    return left
