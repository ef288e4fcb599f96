"""The official alignment rules, and chats by message sections."""

import pytest

from fuser.align_official import first, longest, sharer_tokens
from fuser.sections import sections
from kvwire.errors import InvalidRequestError


class Words:
    """A tokenizer of whole pieces: encodes a text as the pieces it is told."""

    bos_token_id = unk_token_id = pad_token_id = None
    eos_token_id = 0

    def __init__(self, pieces, special=()):
        self.pieces = ["<eos>", *pieces]
        self.all_special_ids = [0, *(self.pieces.index(each) for each in special)]

    def decode(self, ids, **_):
        return "".join(self.pieces[each] for each in ids)

    def encode(self, text, **_):
        found, rest = [], text
        while rest:
            piece = max((each for each in self.pieces if each and rest.startswith(each)), key=len)
            found.append(self.pieces.index(piece))
            rest = rest[len(piece) :]
        return found

    def convert_tokens_to_ids(self, text):
        return self.pieces.index(text) if text in self.pieces else None


RECEIVER = Words(["unforgettable", " pot", "<only here>", "<both>"], special=["<only here>", "<both>"])
SHARER = Words(["un", "forget", "table", " pot", "<both>"], special=["<both>"])


def read(pick, text):
    return SHARER.decode(sharer_tokens(RECEIVER, SHARER, RECEIVER.encode(text), pick))


def test_of_several_tokens_the_rule_picks_one():
    """The first, or the longest; a token that is one on both sides stays."""
    assert read(first, "unforgettable pot") == "un pot"
    assert read(longest, "unforgettable pot") == "forget pot"


def test_the_earliest_of_equally_long_tokens_is_taken():
    """As the official code's strict comparison does."""
    assert longest(Words(["ab", "cd"]), [2, 1]) == 2


def test_special_tokens_go_by_role_then_by_text():
    """End of sequence to end of sequence; what the sharer does not have is its unknown token, here 0."""
    assert sharer_tokens(RECEIVER, SHARER, [0], first) == (SHARER.eos_token_id,)
    assert read(first, "<both>") == "<both>"
    assert read(first, "<only here>") == "<eos>"


def test_a_rendered_chat_is_template_and_content_in_turn():
    """A content that repeats is found behind the one before; a message without content has no section."""
    rendered = "[u]hi[/][a]hi[/][u][/]"
    assert [(rendered[s.start : s.end], s.message) for s in sections(rendered, ["hi", " hi\n", ""])] == [
        ("[u]", None),
        ("hi", 0),
        ("[/][a]", None),
        ("hi", 1),
        ("[/][u][/]", None),
    ]


def test_a_template_that_changes_a_message_is_refused():
    """Its tokens would align to something else."""
    with pytest.raises(InvalidRequestError, match="message 1"):
        sections("[u]hi[/][a]HO[/]", ["hi", "ho"])
