"""Training recipes of the official C2C code as the commands of ours that correspond to them.

Source of the keys: thu-nics/C2C at 022800a, ``recipe/train_recipe`` and ``script/train/SFT_train.py``.
"""

import math
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fuser.mapping import MAPPINGS
from fuser.train.gates import FIRST, LAST
from fuser.train.loop import LARGEST_NORM, STEPS_PER_CHECKPOINT, WARM_UP_STEPS
from kvwire.official import LeftOut, OfficialRecipe, reference

_PROJECTOR = "C2CProjector"
_PARAMS = "model.projector.params"
#: What the official code does that ours does not.
_NO_COUNTERPART = {
    "training.max_length": "texts are pieces of about 380 tokens (--pieces)",
    "training.pad_to_multiple_of": "nothing is padded",
    "training.device": "CUDA is taken where there is one",
    "model.attn_implementation": "the engine's own",
    "training.num_epochs": "--steps counts them all",
    "model.alignment_strategy": "no tokens are aligned, there as here",
    "output.save_steps": f"a checkpoint is kept every {STEPS_PER_CHECKPOINT} steps",
    "output.eval_steps": "24 pieces are held out; the report has the loss on them before and after",
    "output.wandb_config": "losses stand in losses.csv beside the checkpoints; --plot draws them",
    "data": "what is read is UTF-8 text, given with --text: write that data set out as text first",
}


@dataclass(frozen=True)
class ImportedTraining:
    """The two commands, and what of the official recipe is not in them."""

    fresh: str
    train: str
    left_out: tuple[LeftOut, ...]


def import_training(path: Path) -> ImportedTraining:
    """Read an official training recipe.

    Raises:
        NotFoundError: There is no such file.
        InvalidRequestError: It asks for what cannot be trained here.
    """
    official = OfficialRecipe(path)
    _check(official)
    sharer, receiver = (reference(official.take(f"model.{side}_model", str)) for side in ("teacher", "base"))
    seed = official.take("training.seed", int, 0)
    name = Path(official.take("output.output_dir", str, path.stem)).name
    begun, trained = f"{name}.fresh.safetensors", f"{name}.safetensors"
    models = {"sharer": sharer, "receiver": receiver}
    widths = {
        "hidden": official.take(f"{_PARAMS}.hidden_dim", int),
        "inner": official.take(f"{_PARAMS}.intermediate_dim", int),
        "layers": official.take(f"{_PARAMS}.num_layers", int),
    }
    mapping = official.take("model.mapping", str, "last_aligned")
    if mapping not in MAPPINGS:
        raise official.refuse("model.mapping", f"is no mapping of ours; there are {', '.join(MAPPINGS)}")
    batch = _batch(official)
    schedule = {
        "steps": _steps(official, batch),
        "batch": batch,
        "rate": official.take("training.learning_rate", (int, float)),
        "loss": "likelihood",
    }
    _leave(official)
    fresh = _command(["fresh", begun], models | widths | {"mapping": mapping, "seed": seed})
    train = _command(["train", begun, trained], models | {"text": "TEXT"} | schedule | {"seed": seed})
    return ImportedTraining(fresh, train, official.left_out())


def _check(official: OfficialRecipe) -> None:
    if official.take("model.projector.type", str) != _PROJECTOR:
        raise official.refuse("model.projector.type", f"cannot be trained here; {_PROJECTOR} can")
    if official.take("model.is_do_alignment", bool, default=False):
        raise official.refuse("model.is_do_alignment", "cannot be trained here: both models must read the same tokens")
    frozen = official.take("training.freeze", list)
    if "teacher" not in frozen or "base" not in frozen or "projector" in frozen:
        raise official.refuse("training.freeze", "should name teacher and base: here only fusers learn")


def _batch(official: OfficialRecipe) -> int:
    keys = ("per_device_train_batch_size", "gradient_accumulation_steps", "num_processes")
    return math.prod(official.take(f"training.{key}", int, 1) for key in keys)


def _steps(official: OfficialRecipe, batch: int) -> int:
    """As many as its texts make; where it does not count them, as many as its gates take to harden."""
    hardening, texts = f"{_PARAMS}.anneal_steps", official.take("data.kwargs.num_samples", int, 0)
    if not texts:
        return int(official.take(hardening, int))
    share, epochs = official.take("data.train_ratio", (int, float), 1), official.take("training.num_epochs", int, 1)
    steps = math.ceil(int(texts * share) / batch) * int(epochs)
    official.leave(hardening, f"gates harden over all {steps} steps", unless=steps)
    return steps


def _leave(official: OfficialRecipe) -> None:
    official.leave(f"{_PARAMS}.dropout", "there is none", unless=0)
    official.leave(f"{_PARAMS}.initial_temperature", f"it begins at {FIRST}", unless=FIRST)
    official.leave(f"{_PARAMS}.final_temperature", f"it ends at {LAST}", unless=LAST)
    official.leave("training.weight_decay", "Adam without it", unless=0)
    official.leave("training.scheduler_type", "the rate falls by half a cosine")
    official.leave("training.warmup_ratio", f"the rate rises for {WARM_UP_STEPS} steps")
    official.leave("training.max_grad_norm", f"gradients are cut to {LARGEST_NORM}", unless=LARGEST_NORM)
    official.leave("model.include_response", "the receiver writes alone", unless=False)
    official.leave("model.multi_source_fusion_mode", "one sharer is trained at a time")
    for key, why in _NO_COUNTERPART.items():
        official.leave(key, why)


def _command(words: list[str], options: dict[str, Any]) -> str:
    said = [part for name, value in options.items() for part in (f"--{name}", str(value))]
    return shlex.join(["kvwire", "fuser", *words, *said])
