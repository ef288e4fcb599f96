"""What is loaded and saved, and when: the half beside an engine's scheduler."""

from pathlib import Path

import pytest

from kvwire.errors import LocalError, NotFoundError
from serving.frames import FrameFolder, prefix_keys
from serving.planning import Kept, Planner, Prompt, Scheduled, Step

SIZE = 4
TOKENS = tuple(range(100, 111))  # two whole blocks, and three tokens to read
LAYERS = (0, 1, 2)


@pytest.fixture
def frames(tmp_path):
    """An empty folder."""
    return FrameFolder(tmp_path / "frames")


@pytest.fixture
def planner(frames):
    """Of an engine that loads and saves caches of one model."""
    return Planner(frames, Kept("model", LAYERS), Kept("model", LAYERS), SIZE)


def keep(frames, tokens, blocks, seed="model", owner="", layers=LAYERS):
    """Put frames of a prefix into the folder."""
    key = prefix_keys(f"{seed}\n{owner}", tokens, SIZE)[blocks - 1]
    for layer in layers:
        frames.put(key, layer, b"frame")
    return key


def test_the_longest_prefix_that_is_held_is_found(planner, frames):
    """In whole blocks."""
    assert planner.held(Prompt("a", TOKENS), 0) == 0
    keep(frames, TOKENS, 1)
    assert planner.held(Prompt("a", TOKENS), 0) == 4
    keep(frames, TOKENS, 2)
    assert planner.held(Prompt("a", TOKENS), 0) == 8
    assert planner.held(Prompt("a", (*TOKENS[:4], 7, *TOKENS[5:])), 0) == 4


def test_only_what_the_engine_has_not_computed_counts(planner, frames):
    """Its own cache of prefixes comes first."""
    keep(frames, TOKENS, 2)
    assert planner.held(Prompt("a", TOKENS), 4) == 4
    assert planner.held(Prompt("a", TOKENS), 8) == 0


@pytest.mark.parametrize(("length", "expected"), [(8, 4), (9, 8), (4, 0), (5, 4)])
def test_a_token_is_always_left_to_read(planner, frames, length, expected):
    """Without it there would be no logits to go on from."""
    for blocks in (1, 2):
        keep(frames, TOKENS, blocks)
    assert planner.held(Prompt("a", TOKENS[:length]), 0) == expected


def test_a_prefix_with_a_layer_missing_is_not_held(planner, frames):
    """Somebody is still saving it."""
    keep(frames, TOKENS, 2, layers=LAYERS[:2])
    assert planner.held(Prompt("a", TOKENS), 0) == 0


@pytest.mark.parametrize("other", [{"owner": "mia"}, {"seed": "another model"}])
def test_caches_of_others_are_not_found(planner, frames, other):
    """Of another owner, model or codec: the tokens alone are no key."""
    keep(frames, TOKENS, 2, **other)
    assert planner.held(Prompt("a", TOKENS), 0) == 0
    assert planner.held(Prompt("b", TOKENS, "mia"), 0) == (8 if "owner" in other else 0)


def test_what_is_held_is_loaded_into_the_blocks_that_the_request_gets(planner, frames):
    """Once, in the step in which the request is computed, and it is not saved again."""
    key = keep(frames, TOKENS, 2)
    prompt = Prompt("a", TOKENS)
    planner.begins(prompt, planner.held(prompt, 4))
    step = planner.step([Scheduled("a", [9, 3, 5], True, 11)])
    assert step.saves == ()
    [load] = step.loads
    assert (load.key, load.framed, load.first, load.end, load.blocks) == (key, 8, 4, 8, (9, 3, 5))
    assert planner.step([Scheduled("a", [], False, 12)]) == Step()


def test_an_engine_may_take_less_than_is_held(planner, frames):
    """It has the last word on how many tokens come from outside."""
    keep(frames, TOKENS, 2)
    prompt = Prompt("a", TOKENS)
    planner.held(prompt, 0)
    planner.begins(prompt, 4)
    [load] = planner.step([Scheduled("a", [9, 3, 5], True, 11)]).loads
    assert (load.framed, load.first, load.end) == (8, 0, 4)


def test_what_nobody_holds_is_saved_once_it_is_computed(planner):
    """In pieces, as prefill comes: in the step that computes the last of it, with all the blocks so far."""
    prompt = Prompt("a", TOKENS)
    planner.begins(prompt, planner.held(prompt, 0))
    assert planner.step([Scheduled("a", [9], True, 4)]) == Step()
    step = planner.step([Scheduled("a", [3], False, 8)])
    [save] = step.saves
    assert (save.first, save.end, save.blocks) == (0, 8, (9, 3))
    assert step.loads == ()
    assert planner.step([Scheduled("a", [5], False, 11)]) == Step()


def test_a_request_that_lost_its_blocks_is_saved_from_its_new_ones(planner):
    """The engine preempts, and computes anew elsewhere."""
    planner.begins(Prompt("a", TOKENS), 0)
    planner.step([Scheduled("a", [9], True, 4)])
    planner.begins(Prompt("a", TOKENS), 0)
    [save] = planner.step([Scheduled("a", [2, 6, 1], True, 11)]).saves
    assert save.blocks == (2, 6, 1)


def test_a_request_that_ended_is_forgotten(planner, frames):
    """Whatever was planned for it."""
    keep(frames, TOKENS, 1)
    prompt = Prompt("a", TOKENS)
    planner.begins(prompt, planner.held(prompt, 0))
    planner.ends(["a", "unheard"])
    assert planner.step([Scheduled("a", [9, 3, 5], True, 11)]) == Step()


def test_a_key_is_of_all_tokens_up_to_it():
    """Two prompts with one beginning share its keys, and no others."""
    one, two = prefix_keys("m", range(12), SIZE), prefix_keys("m", [*range(4), 9, 9, 9, 9, *range(8, 12)], SIZE)
    assert one[0] == two[0]
    assert one[1] != two[1]
    assert len(set(one) | set(two)) == 3


def test_no_owner_s_name_reads_on_as_tokens():
    """Who may name an owner could otherwise take the keys of another's prompt, and put frames of their own there."""
    tokens = (1, 2, 3, 4, 7, 7, 7, 7, 9)
    owner = "".join(f"{chr(token)}\0\0\0" for token in tokens[:4])
    assert set(prefix_keys("m\n", tokens, SIZE)).isdisjoint(prefix_keys(f"m\n{owner}", tokens[4:], SIZE))


def test_two_engines_may_save_one_prefix_at_once(frames, monkeypatch):
    """Neither writes into what the other is about to put there, nor takes it away."""
    write = Path.write_bytes

    def beside_another(path, frame):
        write(path, frame)
        if frame == b"one":
            frames.put("key", 0, b"another's")

    monkeypatch.setattr("pathlib.Path.write_bytes", beside_another)
    frames.put("key", 0, b"one")
    assert frames.get("key", 0) == b"one"


def test_a_frame_is_there_whole_or_not_at_all(frames, tmp_path, monkeypatch):
    """A writer that fails half-way leaves nothing behind; a reader that finds none says where it looked."""

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.replace", full)
    with pytest.raises(LocalError, match="No space left"):
        frames.put("key", 0, b"frame")
    assert not frames.holds("key", [0])
    assert list((tmp_path / "frames" / "key").iterdir()) == []
    with pytest.raises(NotFoundError, match=r"key/0\.kvf"):
        frames.get("key", 0)
