"""Models that hold given caches: reading token ``i`` at any position gives exactly the keys and values of row ``i``.

So expected outputs that come with bare tensors, and no models, can be checked through real services. Embeddings are
scaled unit vectors, attention and MLP write nothing, so that every layer projects the same vector; RoPE turns by
angles of 1e-30 and thereby not at all.
"""

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM

_EPSILON = 1e-6


def save_model_holding(keys: Mapping[int, Tensor], values: Mapping[int, Tensor], folder: Path) -> int:
    """Save a Llama; return its token that stands for nothing, behind those of the rows.

    keys, values: by layer, ``(kv_heads, rows, head_dim)`` each, float32.
    """
    kv_heads, rows, head_dim = keys[0].shape
    hidden = kv_heads * (rows // kv_heads + 1)
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=rows + 1,
            hidden_size=hidden,
            intermediate_size=1,
            num_hidden_layers=len(keys),
            num_attention_heads=kv_heads,
            num_key_value_heads=kv_heads,
            head_dim=head_dim,
            max_position_embeddings=2 * hidden,
            rms_norm_eps=_EPSILON,
            rope_parameters={"rope_type": "linear", "factor": 1e30, "rope_theta": 10_000.0},
            tie_word_embeddings=False,
            bos_token_id=None,
            eos_token_id=None,
        )
    )
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.fill_(1.0 if "norm" in name else 0.0)
        # RMSNorm makes sqrt(hidden / (1 + epsilon)) of a row's single number sqrt(hidden).
        model.model.embed_tokens.weight.copy_(torch.eye(rows + 1, hidden) * hidden**0.5)
        scale = ((1 + _EPSILON) / hidden) ** 0.5
        for index, layer in enumerate(model.model.layers):
            layer.self_attn.k_proj.weight[:, :rows] = _columns(keys[index]) * scale
            layer.self_attn.v_proj.weight[:, :rows] = _columns(values[index]) * scale
    model.save_pretrained(folder)
    return rows


def _columns(x: Tensor) -> Tensor:
    return x.transpose(1, 2).reshape(-1, x.shape[1]).double()
