"""Articles are cut into context, prompt word and continuation, and nothing of the text is lost at the cuts."""

import gzip

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvwire.errors import InvalidRequestError, NotFoundError
from loadtest.datasets import load_continuations, training_text
from loadtest.datasets.rows import read_rows

TEXT = "".join(
    f" {line} \n"
    for line in (
        "= First =",
        "",
        "The bells of the old tower ring at noon , and nobody knows why .",
        "",
        "= = Section = =",
        "",
        "It has been so since the great fire .",
        "= Short =",
        "Too little .",
        "= Second =",
        "Rain fell on the harbour for nine days and nine nights that year .",
    )
)


def load(tmp_path, text=TEXT, context=30, continuation=20, **options):
    (tmp_path / "wikitext2").mkdir(exist_ok=True)
    (tmp_path / "wikitext2" / "wikitext-2-raw_test.txt").write_text(text, encoding="utf-8")
    return load_continuations(
        "wikitext2",
        data_dir=tmp_path,
        context_characters=context,
        continuation_characters=continuation,
        **options,
    )


def test_an_article_is_cut_at_word_ends_and_a_short_one_gives_no_item(tmp_path):
    first, second = load(tmp_path)
    assert (first.id, second.id) == ("0-First", "2-Second")
    assert first.context == " = First = \n The bells of the old"
    assert (first.prompt, first.continuation) == (" tower", " ring at noon , and nobody")
    assert [first.cluster, second.cluster] == [first.id, second.id]


def test_a_formula_that_looks_like_a_title_stays_in_its_article(tmp_path):
    formula = (
        " with a cut @-@ off frequency of ωc \n = 1 rad / s and an impedance k = \n 1 Ω . It is made of halves .\n"
    )
    (item,) = load(tmp_path, f" = Filters = \n A filter{formula}", context=50)
    assert item.context == f" = Filters = \n A filter{formula}"[: len(item.context)]


def test_copies_with_and_without_blank_lines_give_the_same_items(tmp_path):
    without = "".join(line for line in TEXT.splitlines(keepends=True) if line.strip())
    assert load(tmp_path, without) == load(tmp_path, TEXT)


@given(context=st.integers(1, 60), continuation=st.integers(1, 60))
def test_the_parts_joined_are_the_articles_beginning(tmp_path_factory, context, continuation):
    folder = tmp_path_factory.mktemp("texts")
    whole = "".join(line for line in TEXT.splitlines(keepends=True) if line.strip())
    for item in load(folder, context=context, continuation=continuation):
        joined = item.context + item.prompt + item.continuation
        start = whole.index(joined)
        assert len(item.context) >= context
        assert len(item.continuation) >= continuation
        assert whole[start + len(joined)].isspace()


def test_a_limit_takes_the_first_articles(tmp_path):
    assert [item.id for item in load(tmp_path, limit=1)] == ["0-First"]


def test_lengths_that_no_article_has_are_refused(tmp_path):
    with pytest.raises(InvalidRequestError, match="no article has 1020 characters; ask for less"):
        load(tmp_path, context=1000)
    with pytest.raises(InvalidRequestError, match="give at least 1"):
        load(tmp_path, context=0)


def test_a_file_that_is_no_text_is_refused(tmp_path):
    load(tmp_path)
    (tmp_path / "wikitext2" / "wikitext-2-raw_test.txt").write_bytes(b"\xff\xfe")
    with pytest.raises(InvalidRequestError, match="not UTF-8"):
        load_continuations("wikitext2", data_dir=tmp_path)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("wikitext2/wikitext-2-raw_train_first5k_rows.txt.gz", gzip.compress(TEXT.encode())[:-20]),
        ("wikitext2/wikitext-2-raw_train_first5k_rows.txt.gz", TEXT.encode()),
    ],
    ids=["cut short", "not packed"],
)
def test_training_text_that_did_not_come_whole_is_refused(tmp_path, name, content):
    (tmp_path / "wikitext2").mkdir()
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InvalidRequestError, match="not whole"):
        training_text(tmp_path)


def test_a_table_that_did_not_come_whole_is_refused(tmp_path):
    pytest.importorskip("pyarrow")
    (tmp_path / "rows.parquet").write_bytes(b"PAR1")
    with pytest.raises(InvalidRequestError, match="does not read as parquet"):
        list(read_rows(tmp_path / "rows.parquet"))


def test_an_unknown_name_is_refused():
    with pytest.raises(
        NotFoundError, match="no continuation dataset 'c4'; there is wikitext2, wikitext2_ends, xquad_contexts"
    ):
        load_continuations("c4")
