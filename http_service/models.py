"""The receiver's model in the form of ``/v1/models``."""

from typing import Any

from kvwire.model_card import Description


def model_object(described: Description) -> dict[str, Any]:
    """The model, and in ``kvwire`` what a request may ask of its receiver. Nobody knows when it was made: 0."""
    offered = {
        "methods": described.methods,
        "codecs": described.codecs,
        "fusers": described.fusers,
        "sharers": described.sharers,
        "limits": vars(described.limits),
        "weight_format": described.card.weight_format,
        "software": described.software,
    }
    return {
        "id": described.card.binding.id,
        "object": "model",
        "created": 0,
        "owned_by": "kvwire",
        "kvwire": offered,
    }
