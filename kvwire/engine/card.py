"""Reads a model card off a loaded model: geometry, windows and RoPE parameters per layer."""

from typing import Any

from torch import Tensor, nn
from transformers import PreTrainedModel

from kvwire.errors import UnsupportedError
from kvwire.model_card import LayerCard, ModelCard, Rope
from kvwire.models.load import LoadedModel


def model_card(loaded: LoadedModel) -> ModelCard:
    """Describe a loaded model.

    Raises:
        UnsupportedError: The architecture keeps something other than plain keys and values per layer.
    """
    model, stored = loaded.model, loaded.stored
    config = model.config.get_text_config()
    heads = int(getattr(config, "num_key_value_heads", None) or config.num_attention_heads)
    head_dim = int(getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads)
    kinds = list(getattr(config, "layer_types", None) or ["full_attention"] * config.num_hidden_layers)
    if unknown := sorted(set(kinds) - {"full_attention", "sliding_attention"}):
        raise UnsupportedError(
            f"{stored.id}: layers of kind {', '.join(unknown)} keep no plain KV cache; "
            "kvwire carries full and sliding attention"
        )
    ropes = {kind: _rope(model, config, kind) for kind in sorted(set(kinds))}
    distinct = list(dict.fromkeys(ropes.values()))
    window = int(getattr(config, "sliding_window", None) or 0)
    return ModelCard(
        binding=stored.binding,
        family=str(config.model_type),
        weight_format=stored.weight_format,
        compute_dtype=str(model.dtype).removeprefix("torch."),
        device=model.device.type,
        kv_heads=heads,
        head_dim=head_dim,
        vocabulary=int(config.vocab_size),
        max_positions=int(config.max_position_embeddings),
        ropes=tuple(distinct),
        layers=tuple(
            LayerCard(window if kind == "sliding_attention" else 0, distinct.index(ropes[kind])) for kind in kinds
        ),
    )


def _rope(model: PreTrainedModel, config: Any, kind: str) -> Rope:
    rotary = _rotary(model)
    prefix = f"{kind}_" if hasattr(rotary, f"{kind}_inv_freq") else ""
    inv_freq: Tensor = getattr(rotary, f"{prefix}inv_freq")
    parameters = config.rope_parameters
    named = parameters.get(kind, parameters) if prefix else parameters
    return Rope(
        kind=str(named.get("rope_type", "default")),
        inv_freq=tuple(inv_freq.float().tolist()),
        attention_scaling=float(getattr(rotary, f"{prefix}attention_scaling")),
    )


def _rotary(model: PreTrainedModel) -> nn.Module:
    rotary = getattr(model.get_decoder(), "rotary_emb", None)
    if not isinstance(rotary, nn.Module):
        raise UnsupportedError(f"{type(model).__name__} has no rotary position embedding; kvwire needs one")
    return rotary
