"""Model cards and service descriptions: protobuf to values and back."""

from kvwire.errors import DataLossError
from kvwire.model_card import Description, LayerCard, Limits, ModelBinding, ModelCard, Rope
from kvwire.requests import PROTOCOL_VERSION
from kvwire.rpc.enums import METHOD_NUMBERS, METHODS
from kvwire.stream import FRAME_VERSION
from kvwire.v1 import model_pb2, model_service_pb2


def binding_from_proto(message: model_pb2.ModelBinding) -> ModelBinding:
    """Which weights and tokenizer."""
    return ModelBinding(message.id, message.revision, message.weights_fingerprint, message.tokenizer_fingerprint)


def binding_to_proto(binding: ModelBinding) -> model_pb2.ModelBinding:
    """Which weights and tokenizer."""
    return model_pb2.ModelBinding(**vars(binding))


def rope_from_proto(message: model_pb2.RopeParameters) -> Rope:
    """Rotary parameters."""
    return Rope(message.kind, tuple(message.inv_freq), message.attention_scaling)


def rope_to_proto(rope: Rope) -> model_pb2.RopeParameters:
    """Rotary parameters."""
    return model_pb2.RopeParameters(**vars(rope))


def card_from_proto(message: model_pb2.ModelCard) -> ModelCard:
    """A model card.

    Raises:
        DataLossError: A layer refers to RoPE parameters that are not there.
    """
    if any(layer.rope >= len(message.ropes) for layer in message.layers):
        raise DataLossError(f"the card of {message.binding.id} refers to RoPE parameters it does not have")
    return ModelCard(
        binding=binding_from_proto(message.binding),
        family=message.family,
        weight_format=message.weight_format,
        compute_dtype=message.compute_dtype,
        device=message.device,
        kv_heads=message.kv_heads,
        head_dim=message.head_dim,
        vocabulary=message.vocabulary,
        max_positions=message.max_positions,
        ropes=tuple(rope_from_proto(r) for r in message.ropes),
        layers=tuple(LayerCard(layer.window_tokens, layer.rope) for layer in message.layers),
    )


def card_to_proto(card: ModelCard) -> model_pb2.ModelCard:
    """A model card."""
    return model_pb2.ModelCard(
        binding=binding_to_proto(card.binding),
        family=card.family,
        weight_format=card.weight_format,
        compute_dtype=card.compute_dtype,
        device=card.device,
        kv_heads=card.kv_heads,
        head_dim=card.head_dim,
        vocabulary=card.vocabulary,
        max_positions=card.max_positions,
        ropes=[rope_to_proto(r) for r in card.ropes],
        layers=[
            model_pb2.LayerCard(
                attention=model_pb2.ATTENTION_KIND_SLIDING if layer.window_tokens else model_pb2.ATTENTION_KIND_FULL,
                window_tokens=layer.window_tokens,
                rope=layer.rope,
            )
            for layer in card.layers
        ],
    )


def description_from_proto(message: model_service_pb2.DescribeResponse) -> Description:
    """A service's description; methods from a newer protocol are left out."""
    return Description(
        card=card_from_proto(message.card),
        codecs=tuple(message.codecs),
        fusers=tuple(message.fusers),
        methods=tuple(METHODS[m] for m in message.methods if m in METHODS),
        limits=Limits(message.limits.max_tokens, message.limits.max_in_flight, message.limits.max_message_bytes),
        sharers=tuple(message.sharers),
        software=message.software,
        minor_version=message.minor_version,
    )


def description_to_proto(description: Description) -> model_service_pb2.DescribeResponse:
    """A service's description."""
    return model_service_pb2.DescribeResponse(
        card=card_to_proto(description.card),
        codecs=description.codecs,
        fusers=description.fusers,
        methods=[METHOD_NUMBERS[m] for m in description.methods],
        limits=model_pb2.Limits(**vars(description.limits)),
        protocol_versions=[PROTOCOL_VERSION],
        frame_versions=[FRAME_VERSION],
        sharers=description.sharers,
        software=description.software,
        minor_version=description.minor_version,
    )
