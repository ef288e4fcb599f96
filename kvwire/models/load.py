"""Load a stored model as plain torch modules."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from safetensors import SafetensorError
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from kvwire.errors import StartError, StoreError
from kvwire.models.manifest import StoredModel
from kvwire.models.quiet import quiet


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A model in memory: evaluation mode, no gradients, on one device."""

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    stored: StoredModel


def load(
    stored: StoredModel, *, dtype: torch.dtype, device: str = "cpu", attn_implementation: str = "sdpa"
) -> LoadedModel:
    """Read weights and tokenizer into memory, without network and without running code of the model folder.

    ``dtype``: float32, bfloat16 or float16; weights stored otherwise are cast. ``device``: as torch names it.
    ``attn_implementation``: as transformers names it.

    Raises:
        StartError: The device is not there.
        StoreError: The folder does not load, or lacks weights.
    """
    target = device_named(device)
    try:
        with quiet():
            loaded: Any = AutoModelForCausalLM.from_pretrained(
                stored.path,
                dtype=dtype,
                attn_implementation=attn_implementation,
                local_files_only=True,
                use_safetensors=True,
                output_loading_info=True,
            )
    except (OSError, SafetensorError) as error:
        raise _damaged(stored, error) from error
    except (RuntimeError, ValueError) as error:
        raise StoreError(f"{stored.path} holds no model that this transformers loads: {error}") from error
    model, report = loaded
    check_whole(stored.path.name, report)
    return LoadedModel(model.to(target).eval().requires_grad_(False), load_tokenizer(stored), stored)


def load_tokenizer(stored: StoredModel) -> PreTrainedTokenizerBase:
    """Read a model's tokenizer alone.

    Raises:
        StoreError: The folder does not load.
    """
    try:
        with quiet():
            tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(stored.path, local_files_only=True)
    except OSError as error:
        raise _damaged(stored, error) from error
    return tokenizer


def check_whole(name: str, report: Mapping[str, Collection[Any]]) -> None:
    """Refuse a model by what transformers reports of its loading: it fills what is lacking with random numbers.

    Raises:
        StoreError: It lacks weights.
    """
    lacking = sorted(str(key) for kind in ("missing_keys", "mismatched_keys") for key in report[kind])
    if lacking:
        raise StoreError(
            f"{name} lacks {len(lacking)} weights of its own model, first {lacking[0]}; fetch it again as a whole"
        )


def device_named(name: str) -> torch.device:
    """The device that torch calls so.

    Raises:
        StartError: It is not there.
    """
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise StartError(f"{name!r} is no device torch knows; use cpu, cuda or cuda:<number>") from error
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise StartError(f"{name!r} is not there: torch sees {torch.cuda.device_count()} CUDA devices; use cpu")
    return device


def _damaged(stored: StoredModel, error: Exception) -> StoreError:
    return StoreError(f"{stored.path} does not load: {error}; delete it and fetch it again")
