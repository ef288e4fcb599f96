"""What recipes need, as files named after all that they are made from, and the commands that make them."""

from pathlib import Path

import pytest

from experiments.artifacts import Between, artifacts, making_minutes
from experiments.needs import Calibrated, Fresh, Given, Published, Trained

RIDGE = Calibrated(how="calibrate", pieces=100)
BETWEEN = Between("qwen2.5-coder-0.5b", "smollm2-135m", {Path("text.txt"): "ab"})


def made(needs, between=BETWEEN, folder="a"):
    return {each.name: each for each in artifacts(needs, between, Path(folder))}


def test_the_same_need_is_the_same_file_whatever_it_is_called():
    """So that recipes that need one fuser make it once."""
    one, other = made({"ridge": RIDGE})["ridge"], made({"mapped": RIDGE})["mapped"]
    assert one.file == other.file
    assert one.command == other.command


@pytest.mark.parametrize(
    ("need", "between"),
    [
        (RIDGE.model_copy(update={"pieces": 101}), BETWEEN),
        (RIDGE, Between("gemma3-270m", "smollm2-135m", BETWEEN.texts)),
        (RIDGE, Between("smollm2-135m", "qwen2.5-coder-0.5b", BETWEEN.texts)),
        (RIDGE, Between(BETWEEN.sharer, BETWEEN.receiver, {Path("text.txt"): "cd"})),
    ],
)
def test_another_text_model_or_size_is_another_file(need, between):
    """The name of the text does not matter, its content does."""
    assert made({"ridge": need}, between)["ridge"].file != made({"ridge": RIDGE})["ridge"].file


def test_a_fuser_is_made_before_what_is_trained_from_it():
    """In whatever order they are listed; from another start it is another file."""
    trained = Trained(how="train", start="ridge", steps=5, codec="int8")
    found = artifacts({"qat": trained, "ridge": RIDGE}, BETWEEN, Path("a"))
    assert [each.name for each in found] == ["ridge", "qat"]
    assert found[1].command == (
        *("fuser", "train", str(found[0].file), str(found[1].file), "--text", "text.txt", "--pieces", "320"),
        *("--steps", "5", "--no-worth", "--codec", "int8"),
        *("--sharer", "qwen2.5-coder-0.5b", "--receiver", "smollm2-135m"),
    )
    other = artifacts({"qat": trained, "ridge": RIDGE.model_copy(update={"pieces": 99})}, BETWEEN, Path("a"))
    assert other[1].file != found[1].file


def test_every_kind_has_its_command():
    """Of this command line; what must be there already has none."""
    found = made(
        {
            "c": RIDGE,
            "f": Fresh(how="fresh"),
            "t": Trained(how="train", start="f", steps=1, without_sharer=True),
            "h": Published(how="hub", repo="o/n", folder="d", revision="0" * 40),
            "p": Given(how="path", path="x.safetensors"),
        }
    )
    assert {name: each.command[:2] for name, each in found.items()} == {
        "c": ("fuser", "calibrate"),
        "f": ("fuser", "fresh"),
        "t": ("fuser", "train"),
        "h": ("fuser", "convert"),
        "p": (),
    }
    assert "--without-sharer" in found["t"].command
    assert found["h"].command[2] == f"hf:o/n@{'0' * 40}/d"
    assert found["p"].file == Path("x.safetensors")


def test_a_text_that_two_fusers_need_is_read_once(tmp_path):
    """The time of making counts it once, and nothing that is made already."""
    needs = {"one": RIDGE, "two": RIDGE.model_copy(update={"megabytes": 10.0})}
    both = list(made(needs, folder=tmp_path).values())
    alone, together = making_minutes(both[:1]), making_minutes(both)
    assert alone < together < 2 * alone
    assert making_minutes([*both, *both]) == together
    both[0].file.write_bytes(b"made")
    assert making_minutes(both) == pytest.approx(alone)
    both[1].file.write_bytes(b"made")
    assert making_minutes(both) == 0


def test_the_time_of_models_nobody_measured_is_not_known():
    """Not guessed."""
    assert making_minutes(made({"ridge": RIDGE}, Between("hf:o/n", "smollm2-135m", {})).values()) is None
