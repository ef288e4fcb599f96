"""Files of results, and the tables made of them."""

import math
from dataclasses import replace

import pytest

from bench.candidate import Name
from bench.quality import Change
from bench.results import read, text_of
from bench.row import Absent, PeerRow, Row, row
from bench.speed import Times
from bench.tables import absences, by_place, markdown
from kvwire.errors import InvalidRequestError

OWN = Row("int8", "m", 512, 8.25, 1e-4, (5e-5, 2e-4), 0.99, 1.0, 2.0, 6.0, 20)
PEER = PeerRow("cachegen", "m", 512, 4.6, 0.08, (0.07, 0.09), 0.88, 0.01, 0.02, 6.0, 20, "lmcache", "0.5.6")
ABSENT = Absent("snapkv:ratio=0.5", "m", 512, "kvpress", "0.5.5", "too short")


def file(folder, name, *results):
    path = folder / name
    path.write_text(text_of(results))
    return path


def test_results_come_back_as_they_were_written(tmp_path):
    """Rows of our own, of peers, and of those that are absent."""
    assert read([file(tmp_path, "a", OWN, PEER, ABSENT)]) == [OWN, PEER, ABSENT]


def test_of_two_rows_of_one_codec_the_later_files_counts(tmp_path):
    """In the place of the first; another length is another row, and so is a peer's codec of the same name."""
    better, short, other = replace(OWN, kl=5e-5), replace(OWN, tokens=16), replace(PEER, codec="int8")
    found = read([file(tmp_path, "a", OWN, PEER), file(tmp_path, "b", better, short, other)])
    assert found == [better, PEER, short, other]


def test_a_codec_that_is_absent_no_more_replaces_its_absence(tmp_path):
    """And the other way round."""
    came = replace(PEER, codec=ABSENT.codec, peer=ABSENT.peer, version=ABSENT.version)
    assert read([file(tmp_path, "a", ABSENT), file(tmp_path, "b", came)]) == [came]


@pytest.mark.parametrize("text", ["", "{", '[{"codec": "int8"}]', "[1]"])
def test_another_file_is_refused_by_name(tmp_path, text):
    """So is one that is not there."""
    path = tmp_path / "rows.json"
    path.write_text(text)
    with pytest.raises(InvalidRequestError, match=r"rows\.json is no file of"):
        read([path])
    with pytest.raises(InvalidRequestError, match="elsewhere is no file of"):
        read([tmp_path / "elsewhere"])


def test_each_model_and_length_has_a_table_that_names_the_absent():
    """With their reason, once."""
    text = markdown([OWN, PEER, ABSENT, replace(ABSENT, codec="snapkv:ratio=0.75"), replace(OWN, tokens=16)])
    assert "## m, 512 tokens, 20 documents" in text
    assert "## m, 16 tokens, 20 documents" in text
    assert "| `lmcache cachegen` | 4.60 | 0.0800 | 0.0700 to 0.0900 | 88.0 % | 0.01 | 0.02 |" in text
    assert "absent: kvpress snapkv:ratio=0.5, kvpress snapkv:ratio=0.75: too short" in text


def test_nobody_is_absent_where_all_came():
    """No line then."""
    assert absences([OWN, PEER]) == []
    assert list(by_place([OWN, PEER])) == ["m, 512 tokens, 20 documents"]


def test_a_document_on_which_a_codec_gave_no_number_is_not_left_out():
    """Else the mean of the others would be said to be of all."""
    changes = [Change(0.01, 1.0, 8.25), Change(float("nan"), 0.0, 8.25), Change(0.03, 1.0, 8.25)]
    found = row(Name("int8"), "m", 512, changes, Times(1.0, 1.0, 1.0, 1), 1.0)
    assert found.documents == 3
    assert math.isnan(found.kl)
    assert math.isnan(found.kl_ci95[0])
