"""kvpress: pruning by scores; the caches are those that were saved, the scores are given by kvpress' presses.

The library keeps floats and saves no bytes by coding, so what is left counts, and travels, as bfloat16.
"""

import functools
from pathlib import Path
from typing import Any

import torch
from kvpress import ExpectedAttentionPress, KnormPress, ScorerPress, SnapKVPress
from torch import Tensor
from transformers import AutoModelForCausalLM

_PRESSES: dict[str, type[ScorerPress]] = {
    "expected_attention": ExpectedAttentionPress,
    "snapkv": SnapKVPress,
    "knorm": KnormPress,
}


class Prefill:
    """A model, and what kvpress' hooks see of its layers while it reads."""

    def __init__(self, model: Path) -> None:
        self._model = AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32).eval()
        self._last: tuple[list[int], list[dict[str, Any]]] = ([], [])

    def layers(self, ids: Tensor) -> list[dict[str, Any]]:
        """Of the last ``ids`` it is remembered: prefilling is no part of encoding, and has no part in its time."""
        if self._last[0] != ids.tolist():
            self._last = (ids.tolist(), self._read(ids))
        return self._last[1]

    def _read(self, ids: Tensor) -> list[dict[str, Any]]:
        model = self._model
        seen: list[dict[str, Any]] = []

        def see(module: Any, _args: Any, kwargs: dict[str, Any], _output: Any) -> None:
            module.rotary_emb = model.model.rotary_emb  # as BasePress.__call__ does
            seen.append({"module": module, "hidden_states": kwargs["hidden_states"], "kwargs": kwargs})

        hooks = [layer.self_attn.register_forward_hook(see, with_kwargs=True) for layer in model.model.layers]
        try:
            with torch.no_grad():
                model.model(ids[None], use_cache=False)
        finally:
            for hook in hooks:
                hook.remove()
        return seen


class Press:
    """``NAME:ratio=R``: without the share R of each head's tokens."""

    def __init__(self, press: ScorerPress, prefill: Prefill) -> None:
        self._press = press
        self._prefill = prefill

    def encode(self, cache: dict[str, Tensor]) -> list[tuple[Tensor, Tensor]]:
        """Per layer the keys and values that are left, in the press' order."""
        layers = self._prefill.layers(cache["ids"])
        with torch.no_grad():
            left = [
                self._press.compress(
                    layer["module"], layer["hidden_states"], keys[None], values[None], None, layer["kwargs"]
                )
                for layer, keys, values in zip(layers, cache["keys"], cache["values"], strict=True)
            ]
        return [(keys[0].to(torch.bfloat16), values[0].to(torch.bfloat16)) for keys, values in left]

    def size(self, encoded: list[tuple[Tensor, Tensor]]) -> int:
        """Keys and values; no positions, which keys after RoPE bear in themselves."""
        return sum(half.nbytes for layer in encoded for half in layer)

    def decode(self, encoded: list[tuple[Tensor, Tensor]]) -> dict[str, Tensor]:
        """Back to float32."""
        keys, values = zip(*encoded, strict=True)
        return {"keys": torch.stack(keys).float(), "values": torch.stack(values).float()}

    def slots(self, encoded: list[tuple[Tensor, Tensor]], cache: dict[str, Tensor]) -> Tensor:
        """Found again by the keys, which a press passes on as they are, and does not say which."""
        before = cache["keys"].to(torch.bfloat16)
        return torch.stack([_places(left, keys) for (left, _), keys in zip(encoded, before, strict=True)])


def _places(left: Tensor, keys: Tensor) -> Tensor:
    return (left[:, :, None] == keys[:, None]).all(dim=-1).int().argmax(dim=-1)


@functools.cache
def _prefill_of(model: Path) -> Prefill:
    return Prefill(model)


def make(codec: str, model: Path) -> Press:
    """``knorm:ratio=0.5`` and the like."""
    name, _, ratio = codec.partition(":ratio=")
    return Press(_PRESSES[name](compression_ratio=float(ratio)), _prefill_of(model))
