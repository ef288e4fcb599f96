"""Files that commands read and write: what cannot be is refused before anything is done for it."""

import pytest
from typer.testing import CliRunner

from kvwire.cli.files import read_texts, writable, write_whole
from kvwire.cli.main import app, main
from kvwire.errors import InvalidRequestError


@pytest.mark.parametrize(
    "arguments",
    [
        # Each would be refused for something else, but later.
        ("ask", "--prompt", "x", "--pair", "one", "--json"),
        ("loadtest", "--pair", "one", "--json"),
        ("loadtest", "--pair", "one", "--arrivals", "poisson", "--requests"),
        ("loadtest", "--pair", "one", "--arrivals", "poisson", "--html"),
        ("demo", "--pair", "one", "--json"),
        ("up", "--pair", "one", "--json"),
        ("bench", "--part", "none", "--json"),
        ("simulate", "/nowhere.yaml", "--json"),
        ("simulate", "/nowhere.yaml", "--plot"),
        ("codec", "bench", "--codec", "none", "--json"),
        ("codec", "bench", "--codec", "none", "--plot"),
        ("codec", "report", "/nowhere.json", "--markdown"),
        ("codec", "profile", "--text", "/nowhere.txt", "--json"),
        ("codec", "profile", "--text", "/nowhere.txt", "--plot"),
        ("experiment", "matrix", "--json"),
        ("experiment", "import", "/nowhere.yaml"),
        ("fuser", "align", "--text", "x", "--rule", "none", "--json"),
        ("fuser", "convert", "--sharer", "none", "--receiver", "none", "/nowhere"),
        ("fuser", "fresh", "--sharer", "none", "--receiver", "none"),
        ("fuser", "calibrate", "--text", "/nowhere.txt", "--sharer", "none", "--receiver", "none"),
        ("fuser", "train", "--text", "/nowhere.txt", "--sharer", "none", "--receiver", "none", "/nowhere.safetensors"),
    ],
    ids=lambda arguments: " ".join(arguments[:2]) + arguments[-1],
)
def test_a_file_in_a_folder_that_is_not_there_is_refused_first(arguments, tmp_path):
    """Not after an hour of measuring, when there is a result to be written."""
    refused = CliRunner().invoke(app, [*arguments, str(tmp_path / "nowhere" / "out")]).exception
    assert isinstance(refused, InvalidRequestError)
    assert f"there is no folder {tmp_path / 'nowhere'}" in str(refused)


def test_a_file_can_be_new_or_there_but_no_folder(tmp_path):
    """None is an option that was not given."""
    old = tmp_path / "old"
    old.touch()
    assert [writable(path) for path in (None, old, tmp_path / "new")] == [None, old, tmp_path / "new"]
    with pytest.raises(InvalidRequestError, match="it is a folder"):
        writable(tmp_path)


def test_a_full_disk_is_one_line(monkeypatch, capsys):
    """Nobody can know it beforehand."""
    monkeypatch.setattr("sys.argv", ["kvwire", "experiment", "matrix", "--json", "/dev/full"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 1
    assert capsys.readouterr().err == (
        "error: [Errno 28] No space left on device; check paths, permissions and the room on the disk\n"
    )


def test_texts_are_read_one_after_the_other(tmp_path):
    """In the order they were named."""
    for name in ("b", "a"):
        (tmp_path / name).write_text(f"tëxt {name}", encoding="utf-8")
    assert read_texts([tmp_path / "b", tmp_path / "a"]) == "tëxt b\ntëxt a"


@pytest.mark.parametrize("command", [("calibrate", "none"), ("profile", "--model", "none")], ids=lambda words: words[0])
@pytest.mark.parametrize("content", [None, "naïve".encode("latin-1")], ids=["absent", "latin-1"])
def test_a_text_that_does_not_read_is_named(command, content, tmp_path):
    """Before a model is fetched or loaded for it."""
    if content is not None:
        (tmp_path / "text").write_bytes(content)
    refused = CliRunner().invoke(app, ["codec", *command, "--text", str(tmp_path / "text")]).exception
    assert isinstance(refused, InvalidRequestError)
    assert f"{tmp_path / 'text'} cannot be read as UTF-8 text" in str(refused)


def test_a_file_others_look_for_comes_whole_and_in_its_folder(tmp_path):
    """Nothing is left beside it."""
    path = tmp_path / "new" / "tables"
    write_whole(path, b"old")
    write_whole(path, b"tables")
    assert path.read_bytes() == b"tables"
    assert list(path.parent.iterdir()) == [path]
