"""A cache of transformers to bytes and back with the codec alone: no service, no gRPC, no model of kvwire's store.

``python examples/cache_to_bytes.py FOLDER_OR_HUB_NAME``; any causal model will do whose keys turn by RoPE.
"""

import sys
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, DynamicCache

from codec import Codec, CodecSpec, LayerKV, Limits, RopePhase

TEXT = "Two language models talk through their caches. What one has read, the other need not read again."


def main(name: str) -> None:
    """For each codec: how many bytes, and how likely the next token is that the model itself would choose."""
    model = AutoModelForCausalLM.from_pretrained(name, dtype=torch.float32)
    ids = AutoTokenizer.from_pretrained(name)(TEXT, return_tensors="pt").input_ids
    context, last = ids[:, :-1], ids[:, -1:]
    codecs = {spec: Codec(CodecSpec.parse(spec)) for spec in ("fp32", "int8", "nf4", "kivi:bits=2")}
    with torch.no_grad():
        cache = model(context, use_cache=True).past_key_values
        frames = {spec: encode(cache, codec) for spec, codec in codecs.items()}
        chosen = model(last, past_key_values=cache).logits[0, -1].argmax()  # makes the cache one token longer
        for spec, codec in codecs.items():
            logits = model(last, past_key_values=decode(frames[spec], codec)).logits[0, -1]
            print(f"{spec:12} {sum(map(len, frames[spec])):8} bytes {100 * logits.softmax(-1)[chosen]:6.2f} %")


def encode(cache: Any, codec: Codec) -> list[bytes]:
    """A frame per layer of a ``DynamicCache``; it says what it was made with, and can be stored or sent as it is."""
    return [
        codec.encode_layer(LayerKV(index, layer.keys[0], layer.values[0], RopePhase.POST, layer.keys.shape[2]))
        for index, layer in enumerate(cache.layers)
    ]


def decode(frames: list[bytes], codec: Codec) -> DynamicCache:
    """A cache that a model can go on from; a damaged frame is a ``kvwire.DataLossError``."""
    layers = [codec.decode_layer(frame, Limits(max_tokens=4096)) for frame in frames]
    return DynamicCache([(layer.keys[None], layer.values[None]) for layer in layers])


if __name__ == "__main__":
    main(sys.argv[1])
