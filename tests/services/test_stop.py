"""Stop texts end an answer in the receiver, and it reports as always."""

from dataclasses import replace

import pytest

from kvwire.requests import Exchange, GenerateRequest, Method, Text

ASKED = GenerateRequest(Text("hello"), None, Exchange(Method.RECEIVER_ONLY), 24, ignore_eos=True)


@pytest.mark.parametrize("across", [False, True], ids=["in one token", "across two"])
async def test_the_token_that_completes_a_stop_text_is_the_last(pair, across):
    """Those before it are as without; the report counts what was made."""
    async with pair.receiver_client() as client:
        whole = await client.generate_all(ASKED)
        shown = [index for index, token in enumerate(whole.tokens) if len(token.text) > 1]
        last = next(i for i in shown if i - 1 in shown and i > 3)
        stop = whole.tokens[last - 1].text[-1] + whole.tokens[last].text[0] if across else whole.tokens[last].text
        ends = [i for i in range(24) if stop in "".join(token.text for token in whole.tokens[: i + 1])]
        stopped = await client.generate_all(replace(ASKED, stop=("no such text", stop)))
    assert stopped.tokens == whole.tokens[: ends[0] + 1]
    assert stopped.report.tokens.generated == ends[0] + 1 < 24
