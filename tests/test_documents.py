"""What README and docs tell to type can be typed: commands, options, modules, files, make targets, imports exist."""

import ast
import importlib
import importlib.util
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import typer
from typer._click.exceptions import UsageError
from typer.main import get_command

from kvwire.cli.main import app

ROOT = Path(__file__).parents[1]
OWN = [ROOT / name for name in ("README.md", "SECURITY.md", "tests/fuzz/README.md", "tests/golden/codec/README.md")]
PAGES = [*OWN, *sorted((ROOT / "docs").glob("*.md"))]
FENCE = re.compile(r"^```(\w*)[^\n]*\n(.*?)^```", re.DOTALL | re.MULTILINE)
#: Commands in running text, between backticks.
INLINE = re.compile(r"(?<!`)`((?:kvwire|python|pytest|make) [^`]+)`(?!`)")
#: A file or a folder of this tree, as commands name it.
PLACE = re.compile(r"(?:\.ci|bench|deploy|docs|examples|proto|tests)/[\w./-]+")
TARGETS = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))


@dataclass(frozen=True)
class Said:
    """A command, and where it stands."""

    page: str
    words: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.page}: {' '.join(self.words)}"


def commands(page: Path) -> Iterator[Said]:
    text = page.read_text(encoding="utf-8")
    shell = [block for language, block in FENCE.findall(text) if language in {"sh", ""}]
    lines = [line for block in shell for line in block.replace("\\\n", " ").splitlines()]
    lines += [found.replace("\n", " ") for found in INLINE.findall(FENCE.sub("", text))]
    for line in lines:
        yield from (Said(page.name, tuple(words)) for words in simple(line))


def simple(line: str) -> Iterator[list[str]]:
    """The commands of a line, without variables, redirections and what runs them."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars="&|;<>()")
    lexer.commenters, lexer.whitespace_split = "#", True
    try:
        words = list(lexer)
    except ValueError:  # a quotation that goes on in the next line
        return
    command: list[str] = []
    for word in [*words, ";"]:
        if set(word) <= set("&|;()"):
            if command:
                yield command
            command = []
        elif command or not re.fullmatch(r"\w+=.*|\$|sudo|exec|time|nohup", word):
            command.append(word)


SAID = [said for page in PAGES for said in commands(page)]


def of(program: str) -> list[Said]:
    return [said for said in SAID if Path(said.words[0]).name == program]


def parse(command, words) -> None:
    """Hold words against a command's options, and a group's against those of the one that they name."""
    context = command.make_context(command.name, [], resilient_parsing=True)  # which options that must be given ends
    context.resilient_parsing = False
    if "--help" in words:
        words = words[: words.index("--help")]
    if hasattr(command, "commands") and words:
        assert words[0] in command.commands, f"{command.name} has no {words[0]}, but {sorted(command.commands)}"
        parse(command.commands[words[0]], words[1:])
    elif not hasattr(command, "commands"):
        command.make_parser(context).parse_args(list(words))


def until_redirected(words):
    """Without what follows a redirection, and without ``...`` where that stands for more options."""
    end = next((at for at, word in enumerate(words) if set(word) <= set("<>")), len(words))
    return [
        word for word, before in zip(words[:end], ("", *words), strict=False) if word != "..." or before[:2] == "--"
    ]


@pytest.mark.parametrize("said", of("kvwire"), ids=str)
def test_a_command_exists_with_these_options(said):
    """As its own parser sees it; values may be placeholders."""
    parse(get_command(app), until_redirected(said.words[1:]))


MODULES = [said for said in of("python") if len(said.words) > 2 and said.words[1] == "-m"]


@pytest.mark.parametrize("said", MODULES, ids=str)
def test_a_module_can_be_run_with_these_options(said):
    """Ours have a main; of Typer's the options are looked at."""
    name, words = said.words[2], until_redirected(said.words[3:])
    found = importlib.util.find_spec(name)
    assert found is not None, name
    if found.submodule_search_locations:
        found = importlib.util.find_spec(f"{name}.__main__")
    assert found is not None, f"{name} is a package without a __main__"
    source = Path(found.origin).read_text(encoding="utf-8")
    if found.origin.startswith(str(ROOT)):
        assert "__main__" in source
    if "typer.run(main)" in source:
        single = typer.Typer(add_completion=False)
        single.command()(importlib.import_module(name).main)
        parse(get_command(single), words)


@pytest.mark.parametrize("said", of("make"), ids=str)
def test_a_make_target_exists(said):
    """Of this Makefile."""
    wanted = [word for word in until_redirected(said.words[1:]) if "=" not in word]
    assert set(wanted) <= TARGETS


PLACES = sorted({(said.page, word) for said in SAID for word in said.words if PLACE.fullmatch(word)})


@pytest.mark.parametrize(("page", "place"), PLACES, ids=map(": ".join, PLACES))
def test_what_a_command_names_of_this_tree_is_there(page, place):
    """Tests that show what a page says, scripts, manifests, configurations."""
    assert (ROOT / place).exists(), f"{page} names {place}"


SNIPPETS = [
    (page.name, block)
    for page in PAGES
    for language, block in FENCE.findall(page.read_text(encoding="utf-8"))
    if language == "python"
]


@pytest.mark.parametrize(("page", "block"), SNIPPETS, ids=[f"{page} {at}" for at, (page, _) in enumerate(SNIPPETS)])
def test_what_python_imports_is_there(page, block):
    """A snippet parses, and the names that it takes from our packages exist."""
    for node in ast.walk(ast.parse(block)):
        if isinstance(node, ast.ImportFrom) and importlib.util.find_spec(node.module.partition(".")[0]):
            module = importlib.import_module(node.module)
            assert all(hasattr(module, each.name) for each in node.names), f"{page}: {node.module}"


def test_most_of_what_is_told_is_looked_at():
    """The patterns above find what there is to be found."""
    assert len(of("kvwire")) > 100
    assert len(MODULES) > 15
    assert len(PLACES) > 15
    assert len(SNIPPETS) > 5


@pytest.mark.parametrize("wrong", ["kvwire ask --contxt x", "kvwire asks", "kvwire codec bench --tokens"])
def test_what_cannot_be_typed_is_found(wrong):
    """An option or a command that does not exist, an option without its value."""
    with pytest.raises((AssertionError, UsageError)):
        parse(get_command(app), wrong.split()[1:])
