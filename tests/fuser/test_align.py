"""Alignment by character offsets."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Regex, Tokenizer, models, pre_tokenizers
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from fuser.align import align, by_characters, tokenized


def splitting(pattern):
    """A tokenizer whose tokens are the pattern's matches; all of them are unknown to it, only offsets count."""
    tokenizer = Tokenizer(models.WordLevel({"?": 0}, "?"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(pattern), "isolated")
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer)


def test_a_token_takes_the_first_that_ends_at_or_after_its_last_character():
    """Words over syllables and back: `hello world` as hello| world and as hel|lo| wor|ld."""
    words, syllables = splitting("hello| world"), splitting("hel|lo| wor|ld")
    assert align(words, syllables, "hello world").sources == (1, 3)
    assert align(syllables, words, "hello world").sources == (0, 0, 1, 1)


def test_borders_that_never_meet_still_align():
    """The sharer's token that covers the last character."""
    assert by_characters((2, 5, 6), (3, 4, 6)) == (0, 2, 2)


def test_what_no_sharer_token_reaches_takes_the_last_one():
    """A sharer's tokenizer may drop the end of a text."""
    assert by_characters((2, 5), (1, 3)) == (1, 1)


def test_a_character_spread_over_tokens_ends_with_the_last_of_them(tiny_llama):
    """An emoji is four byte tokens; its one receiver token takes the fourth."""
    characters, spread = splitting("."), AutoTokenizer.from_pretrained(tiny_llama)
    assert len(tokenized(spread, "🙂").ids) == 4
    assert align(characters, spread, "🙂").sources == (3,)


def test_an_empty_text_has_no_tokens_to_align(tiny_llama):
    """Neither side."""
    tokenizer = AutoTokenizer.from_pretrained(tiny_llama)
    assert align(tokenizer, tokenizer, "").sources == ()


@given(st.lists(st.integers(0, 30), max_size=12), st.lists(st.integers(0, 30), min_size=1, max_size=12))
def test_sources_are_what_a_plain_search_finds(receiver, sharer):
    """Token by token, from the left; within a character spread over tokens the last one."""
    receiver, sharer = sorted(receiver), sorted(sharer)
    for end, source in zip(receiver, by_characters(receiver, sharer), strict=True):
        reached = [each for each in sharer if each >= end]
        wanted = reached[0] if reached else sharer[-1]
        assert sharer[source] == wanted
        assert source == max(i for i, each in enumerate(sharer) if each == wanted)


@given(text=st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=60))
def test_one_tokenizer_on_both_sides_aligns_by_characters_to_itself(tiny_llama, text):
    """A token's source ends where it does."""
    tokenizer = AutoTokenizer.from_pretrained(tiny_llama)
    aligned = align(tokenizer, tokenizer, text)
    ends = aligned.receiver.ends
    assert [ends[source] for source in aligned.sources] == list(ends)
    assert list(aligned.sources) == sorted(aligned.sources)


@pytest.mark.model
def test_real_tokens_of_one_text_align_to_the_same_words(smollm2, tiny_llama):
    """Every receiver token's text ends within its source's."""
    ours, theirs = (AutoTokenizer.from_pretrained(path) for path in (smollm2.path, tiny_llama))
    text = "Mia hid the key under the blue pot.\n\nNobody knew; naïve 🙂 visitors looked everywhere."
    aligned = align(ours, theirs, text)
    for end, source in zip(aligned.receiver.ends, aligned.sources, strict=True):
        before = aligned.sharer.ends[source - 1] if source else 0
        assert before <= end <= aligned.sharer.ends[source]
    assert tuple(ours(text, add_special_tokens=False).input_ids) == aligned.receiver.ids
