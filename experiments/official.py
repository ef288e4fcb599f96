"""Evaluation recipes of the official C2C code as recipes of ours.

Source of the keys: thu-nics/C2C at 04b1d50, ``recipe/eval_recipe`` and ``script/evaluation/unified_evaluator.py``.
"""

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from experiments.recipe import Recipe
from kvwire.official import LeftOut, OfficialRecipe, reference
from kvwire.requests import Method
from loadtest.scoring import LETTER_MAX_NEW_TOKENS

_DATASETS = {"openbookqa": "openbookqa", "ai2-arc": "arc_challenge", "mmlu-redux": "mmlu_redux"}
# Theirs limits each subject; of ours they take turns.
_SUBJECTS = {"openbookqa": 1, "arc_challenge": 1, "mmlu_redux": 57}
# Which tokens of the prompt are fused when not all are.
_SELECTORS = {"front": "front", "back": "recency"}
_FUSER = "c2c"

#: How a letter is written, there if the keys say so, and here whenever one is.
_WRITTEN = {
    "eval.answer_method": "generate",
    "eval.use_template": True,
    "eval.use_cot": False,
    "model.generation_config": {"do_sample": False, "max_new_tokens": LETTER_MAX_NEW_TOKENS},
}
_AS_WRITTEN = f"a letter is written here in reply to one chat turn, greedily, in {LETTER_MAX_NEW_TOKENS} tokens at most"
_AS_SCORED = "choices are scored here by the likelihood of their text unless answer_method is generate"
#: What the official code does that an experiment of ours does not.
_NO_COUNTERPART = {
    "eval.response_text": "nothing is put before an answer",
    "eval.math_grading_method": "there is no mathematics in these datasets",
    "eval.subjects": "all subjects are asked",
    "eval.gpu_ids": "what computes is what the services run on; --workers starts several pairs",
    "eval.dataset_cache_dir": "files come from --data, else from the hub's own cache",
    "model.rosetta_config.multi_source_fusion_mode": "there is one sharer",
    "model.rosetta_config.alignment_strategy": "tokens are aligned as the checkpoint was trained",
}


@dataclass(frozen=True)
class ImportedRecipe:
    """A recipe as YAML, the command that runs it, and what of the official one is not in it."""

    text: str
    command: str
    left_out: tuple[LeftOut, ...]


def import_evaluation(path: Path, out: Path) -> ImportedRecipe:
    """Read an official evaluation recipe; ours will stand in ``out``.

    Raises:
        NotFoundError: There is no such file.
        InvalidRequestError: It asks for what cannot be done here at all.
    """
    official = OfficialRecipe(path)
    letters = official.take("eval.answer_method", str, "generate") == "generate"
    _check_model(official, letters=letters)
    sharer, receiver = (official.take(f"model.rosetta_config.{side}_model", str) for side in ("teacher", "base"))
    checkpoint = _checkpoint(official)
    results = official.take("output.output_dir", str, "results")
    said: dict[str, Any] = {
        "title": f"{path.stem}, official C2C evaluation",
        "method": Method.FUSE.value,
        "fuser": _FUSER,
        "datasets": [{**_dataset(official), **({"scoring": "letter"} if letters else {})}],
        "codecs": ["fp16"],
        **_kept(official),
        "baselines": ["receiver_only"],
    }
    Recipe.model_validate(said)
    official.leave("model.rosetta_config.include_response", "the receiver writes alone", unless=False)
    official.leave("eval.sample_interval", "items are asked in file order, none left out", unless=1)
    for key, value in _WRITTEN.items():
        official.leave(key, _AS_WRITTEN if letters else _AS_SCORED, unless=value if letters else None)
    for key, why in _NO_COUNTERPART.items():
        official.leave(key, why)
    command = ["kvwire", "experiment", "run", str(out), "--pair", f"{reference(sharer)}:{reference(receiver)}"]
    command += ["--fusers", f"{_FUSER}={checkpoint}", "--out", results]
    return ImportedRecipe(_yaml(path, said), shlex.join(command), official.left_out())


def _check_model(official: OfficialRecipe, *, letters: bool) -> None:
    """Whether it is of one sharer whose tokens are the receiver's, or aligned with them in a chat."""
    if official.take("model.model_name", str) != "Rosetta":
        raise official.refuse(
            "model.model_name",
            "is no fused pair; a model alone and a text relay are baselines of any recipe here "
            "(receiver_only, text): import a recipe with model_name Rosetta and add them",
        )
    if official.take("model.rosetta_config.is_do_alignment", bool, default=False) and not letters:
        raise official.refuse(
            "model.rosetta_config.is_do_alignment",
            "needs chats, and choices that are scored are asked in plain text; have answer_method generate",
        )


def _checkpoint(official: OfficialRecipe) -> Path:
    """The folder around ``final/``."""
    key = "model.rosetta_config.checkpoints_dir"
    named = Path(official.take(key, str, official.take("eval.checkpoints_dir", str, "-")))
    if named == Path("-"):
        raise official.refuse(key, "is missing: name the checkpoint of the fuser")
    return named.parent if named.name == "final" else named


def _dataset(official: OfficialRecipe) -> Mapping[str, Any]:
    asked = official.take("eval.dataset", str, "mmlu-redux")
    if asked not in _DATASETS:
        raise official.refuse("eval.dataset", f"is no dataset of ours; there are {', '.join(_DATASETS)}")
    name, limit = _DATASETS[asked], official.take("eval.limit", (int, list), 0)
    if isinstance(limit, list):
        if len(limit) != 2 or limit[0]:  # noqa: PLR2004  # a range
            raise official.refuse(
                "eval.limit", "should be a number, or a range from 0: items are taken from the first on"
            )
        limit = limit[1] or 0
    if not isinstance(limit, int) or limit < 0:
        raise official.refuse("eval.limit", "should be a number above 0, or left out")
    return {"name": name} | ({"limit": limit * _SUBJECTS[name]} if limit else {})


def _kept(official: OfficialRecipe) -> Mapping[str, Any]:
    ratio = official.take("eval.kv_cache_proportion", (int, float), 1.0)
    order = official.take("eval.kv_cache_order_mode", str, "front")
    if order not in _SELECTORS or not 0 < ratio <= 1:
        raise official.refuse("eval.kv_cache_proportion", f"with order {order!r}: give above 0 to 1, front or back")
    return {} if ratio == 1 else {"keep": [float(ratio)], "selectors": [_SELECTORS[order]]}


def _yaml(path: Path, said: Mapping[str, Any]) -> str:
    return f"# From {path.name}, a recipe of thu-nics/C2C.\n" + yaml.safe_dump(dict(said), sort_keys=False)
