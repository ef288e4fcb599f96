"""A C2C fuser that has learned nothing: as the official code begins, with gates at 0, so that it changes no cache yet.

Linear maps and their biases are uniform within 1 / sqrt(inputs), torch's own beginning; norms are 1, gate logits 0.
Source: thu-nics/C2C at 69eb705, ``rosetta/model/projector.py``.
"""

import torch
from torch import Tensor

from fuser.binding import Pairing, Side
from fuser.mapping import MAPPINGS
from fuser.projectors.c2c import DEEPEST, SHALLOWEST, WIDEST, C2CFuser, Projector, Widths
from kvwire.errors import BindingError, InvalidRequestError
from kvwire.model_card import ModelBinding, ModelCard


def check_one_tokenizer(sharer: ModelBinding, receiver: ModelBinding) -> None:
    """Both models must read the same tokens.

    Raises:
        BindingError: They do not.
    """
    if sharer.tokenizer_fingerprint != receiver.tokenizer_fingerprint:
        raise BindingError(
            f"{sharer.id} and {receiver.id} have tokenizers of their own; a C2C fuser is trained on tokens that both "
            "read: name two models of one tokenizer, or make a ridge fuser with: kvwire fuser calibrate"
        )


def fresh(
    sharer: ModelCard, receiver: ModelCard, hidden: int, inner: int, layers: int, mapping: str, seed: int
) -> C2CFuser:
    """An untrained fuser of exactly these models, one projector per receiver layer, float32; the same one for a seed.

    hidden, inner, layers: ``hidden_dim``, ``intermediate_dim`` and ``num_layers`` of every projector.

    Raises:
        BindingError: The models have tokenizers of their own.
        InvalidRequestError: No such mapping, or sizes that no projector can have.
    """
    check_one_tokenizer(sharer.binding, receiver.binding)
    if mapping not in MAPPINGS:
        raise InvalidRequestError(f"mapping {mapping!r}: use {', '.join(MAPPINGS)}")
    if not (0 < hidden <= WIDEST and 0 < inner <= WIDEST and SHALLOWEST <= layers <= DEEPEST):
        raise InvalidRequestError(
            f"hidden {hidden}, inner {inner}, layers {layers}: a projector is up to {WIDEST} wide and {SHALLOWEST} to "
            f"{DEEPEST} layers deep"
        )
    widths = Widths(
        source_dim=sharer.head_dim,
        target_dim=receiver.head_dim,
        source_num_heads=sharer.kv_heads,
        target_num_heads=receiver.kv_heads,
        hidden_dim=hidden,
        intermediate_dim=inner,
        num_layers=layers,
    )
    generator = torch.Generator().manual_seed(seed)
    sources = MAPPINGS[mapping](len(receiver.layers), len(sharer.layers))
    projectors = {
        target: Projector(source, widths, _weights(widths, generator)) for target, source in enumerate(sources)
    }
    return C2CFuser(projectors, Pairing(Side.of(sharer), Side.of(receiver)), b"", mapping)


def _weights(widths: Widths, generator: torch.Generator) -> dict[str, Tensor]:
    shapes = widths.shapes()
    found = {}
    for name, shape in shapes.items():
        if name == "gate_temperature" or ".norm." in name:
            found[name] = torch.ones(shape)
        elif name.endswith("gate_logit"):
            found[name] = torch.zeros(shape)
        else:
            inputs = shapes[f"{name.rpartition('.')[0]}.weight"][1]
            found[name] = (torch.rand(shape, generator=generator) * 2 - 1) / inputs**0.5
    return found
