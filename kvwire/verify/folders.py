"""What is expected of a fuser: folders of two kinds, made ready to be served.

With models: ``receiver/``, ``sharer/``, ``fuser/`` and cases of prompts with logits, caches and greedy tokens. Without:
the fuser's own folder and cases of bare tensors, for which models that hold them are made. Either has its cases in
``cases.safetensors``; the READMEs of the official goldens say what the tensors are.
"""

import json
import re
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor
from transformers import Qwen2Tokenizer

from kvwire.errors import DataLossError, NotFoundError
from kvwire.verify.held import save_model_holding

KeysValues = tuple[Tensor, Tensor]


@dataclass(frozen=True, eq=False)
class Expected:
    """One prompt and what should come of it; what is not known is empty.

    ``cache``: by receiver layer, ``(kv_heads, tokens, head_dim)``, the prompt's first tokens. ``logits``: ``(steps,
    vocabulary)``. ``fused``: by method fuse, else by the receiver alone.
    """

    name: str
    prompt: tuple[int, ...]
    fused: bool
    cache: dict[int, KeysValues]
    logits: Tensor | None
    tokens: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Folder:
    """Models and a fuser to serve, and what should come of them."""

    sharer: Path
    receiver: Path
    fuser: Path
    cases: tuple[Expected, ...]


def read_folder(folder: Path, scratch: Path) -> Folder:
    """Make a folder ready; ``scratch`` takes the models.

    Raises:
        NotFoundError: It holds no cases.
        DataLossError: Its cases are damaged, or are not those of any known kind.
    """
    try:
        tensors = load_file(folder / "cases.safetensors")
    except FileNotFoundError:
        raise NotFoundError(f"{folder} has no cases.safetensors; there is nothing to hold the fuser against") from None
    except SafetensorError as error:
        raise DataLossError(f"{folder / 'cases.safetensors'} is damaged ({error}); fetch it again") from None
    try:
        made = _with_models if (folder / "receiver").is_dir() else _without_models
        ready = made(folder, tensors, scratch)
    except (KeyError, IndexError) as error:
        raise DataLossError(f"{folder / 'cases.safetensors'} has no tensor {error}; it is of another kind") from None
    if not ready.cases:
        raise NotFoundError(f"{folder / 'cases.safetensors'} holds no case; there is nothing to hold the fuser against")
    return ready


def _with_models(folder: Path, tensors: dict[str, Tensor], scratch: Path) -> Folder:
    names = sorted({name.partition(".")[0] for name in tensors if name.endswith(".input_ids")})
    layers = _numbers(tensors, r".*\.fused_key\.(\d+)")
    cases = []
    for name in names:
        prompt = tuple(tensors[f"{name}.input_ids"].reshape(-1).tolist())
        cache = {t: (tensors[f"{name}.fused_key.{t}"][0], tensors[f"{name}.fused_value.{t}"][0]) for t in layers}
        for kind in ("fused", "plain"):
            tokens = tuple(tensors[f"{name}.greedy_{kind}"].tolist())
            logits = tensors[f"{name}.step_logits_{kind}"]
            fused = kind == "fused"
            cases.append(Expected(f"{name}.{kind}", prompt, fused, cache if fused else {}, logits, tokens))
    sharer, receiver = (_servable(folder / side, scratch / side) for side in ("sharer", "receiver"))
    return Folder(sharer, receiver, folder / "fuser", tuple(cases))


def _without_models(folder: Path, tensors: dict[str, Tensor], scratch: Path) -> Folder:
    sharer, _ = _holding(tensors, "source", scratch / "sharer")
    receiver, blank = _holding(tensors, "target", scratch / "receiver")
    layers = _numbers(tensors, r"output_key\.(\d+)")
    entries, _, tokens, _ = tensors["output_key.0"].shape
    cases = []
    for entry in range(entries):
        prompt = (*range(entry * tokens, (entry + 1) * tokens), blank)
        cache = {t: (tensors[f"output_key.{t}"][entry], tensors[f"output_value.{t}"][entry]) for t in layers}
        cases.append(Expected(f"entry {entry}", prompt, True, cache, None, ()))
    return Folder(sharer, receiver, folder, tuple(cases))


def _holding(tensors: dict[str, Tensor], side: str, folder: Path) -> tuple[Path, int]:
    def rows(half: str, layer: int) -> Tensor:
        return torch.cat(list(tensors[f"{side}_{half}.{layer}"]), dim=1)  # batch entries side by side, as tokens

    layers = _numbers(tensors, rf"{side}_key\.(\d+)")
    blank = save_model_holding(
        {each: rows("key", each) for each in layers}, {each: rows("value", each) for each in layers}, folder
    )
    _add_tokenizer(folder, blank + 1)
    return folder, blank


def _servable(folder: Path, copy: Path) -> Path:
    """A model's folder with a tokenizer that both sides share, since cases are token ids of both models alike."""
    copy.mkdir(parents=True)
    for file in folder.iterdir():
        if "token" not in file.name:
            (copy / file.name).symlink_to(file.resolve())
    _add_tokenizer(copy, int(json.loads((folder / "config.json").read_text(encoding="utf-8"))["vocab_size"]))
    return copy


def _add_tokenizer(folder: Path, vocabulary: int) -> None:
    """Services want one, cases give token ids: a word per id. transformers gives Qwen2 no tokenizer but its own."""
    Qwen2Tokenizer(vocab={f"token{index}": index for index in range(vocabulary)}, merges=[]).save_pretrained(folder)


def _numbers(tensors: dict[str, Tensor], pattern: str) -> list[int]:
    return sorted({int(found[1]) for name in tensors if (found := re.fullmatch(pattern, name))})
