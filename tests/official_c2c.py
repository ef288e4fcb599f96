"""Random checkpoints in the official layout, and C2C's formula in float64, written from the paper and nothing else."""

import json
import math

import torch
from transformers import DynamicCache

HIDDEN, INNER, DEPTH = 24, 20, 4


def linear(outputs, inputs, generator):
    return torch.randn(outputs, inputs, generator=generator) / math.sqrt(inputs)


def state_dict(source, target, heads, gates, generator):
    """A projector's tensors; ``source`` and ``target`` are heads times head_dim."""
    tensors = {"gate_temperature": torch.tensor(1.0)}
    for half, gate in gates.items():

        def block(name, inner, half=half):
            at = f"{half}_{name}"
            tensors[f"{at}.norm.weight"] = 1 + 0.1 * torch.randn(HIDDEN, generator=generator)
            tensors[f"{at}.w1.weight"] = linear(inner, HIDDEN, generator)
            tensors[f"{at}.w2.weight"] = linear(HIDDEN, inner, generator)

        def dense(name, outputs, inputs, half=half):
            tensors[f"{half}_{name}.weight"] = linear(outputs, inputs, generator)
            tensors[f"{half}_{name}.bias"] = torch.randn(outputs, generator=generator)

        tensors[f"{half}_gate_logit"] = torch.tensor(gate)
        dense("in", HIDDEN, source + target)
        block("mlp1.blocks.0", INNER)
        block("scalar_mlp2.blocks.0", HIDDEN)
        dense("scalar_head", heads, HIDDEN)
        for index in range(DEPTH - 2):
            block(f"proj_mlp2.blocks.{index}", INNER)
        dense("proj_out", target, HIDDEN)
    return tensors


def write_checkpoint(folder, sharer, receiver, gates, seed=0, source_of=None):
    """Write one; ``sharer`` and ``receiver``: layers, kv heads, head_dim; ``gates``: a dict per receiver layer."""
    generator = torch.Generator().manual_seed(seed)
    final = folder / "final"
    final.mkdir(parents=True)
    recipe = {"base_model": "receiver", "teacher_model": "sharer", "is_do_alignment": False, "mapping": "last_aligned"}
    (folder / "config.json").write_text(json.dumps({"model": recipe}))
    layers = {}
    for target, gate in enumerate(gates):
        source = min(max(sharer[0] - receiver[0] + target, 0), sharer[0] - 1)
        layers[str(target)] = [[source if source_of is None else source_of[target], target]]
        tensors = state_dict(sharer[1] * sharer[2], receiver[1] * receiver[2], receiver[1], gate, generator)
        torch.save(tensors, final / f"projector_{target}.pt")
        arguments = {
            "source_dim": sharer[2],
            "target_dim": receiver[2],
            "source_num_heads": sharer[1],
            "target_num_heads": receiver[1],
            "hidden_dim": HIDDEN,
            "intermediate_dim": INNER,
            "num_layers": DEPTH,
            "dropout": 0.1,
            "dtype": {"__type__": "torch.dtype", "value": "float32"},
        }
        (final / f"projector_{target}.json").write_text(json.dumps({"class": "C2CProjector", "init_args": arguments}))
    (final / "projector_config.json").write_text(json.dumps({"0": {"1": layers}}))
    return folder


def reference(tensors, half, source, own):
    """C2C in float64, token by token; source and own: (heads, tokens, head_dim)."""
    w = {name.removeprefix(f"{half}_"): tensor.double() for name, tensor in tensors.items()}
    result = own.double().clone()
    if not w["gate_logit"] > 0:
        return result
    heads, tokens, head_dim = own.shape
    for token in range(tokens):
        h = w["in.weight"] @ torch.cat([source[:, token].reshape(-1), own[:, token].reshape(-1)]).double()
        h = block(w, "mlp1.blocks.0", h + w["in.bias"])
        p = h
        for index in range(DEPTH - 2):
            p = block(w, f"proj_mlp2.blocks.{index}", p)
        p = (w["proj_out.weight"] @ p + w["proj_out.bias"]).reshape(heads, head_dim)
        logit = w["scalar_head.weight"] @ block(w, "scalar_mlp2.blocks.0", h) + w["scalar_head.bias"]
        result[:, token] += p / (1 + torch.exp(-logit))[:, None]
    return result


def block(w, name, x):
    normal = x / torch.sqrt((x * x).mean() + 1e-6) * w[f"{name}.norm.weight"]
    inner = w[f"{name}.w1.weight"] @ normal
    return x + w[f"{name}.w2.weight"] @ (inner * 0.5 * (1 + torch.erf(inner / math.sqrt(2))))


def caches(model, ids):
    """A float64 model's own keys and values of ``ids``, layer by layer, ``(heads, tokens, head_dim)``."""
    with torch.inference_mode():
        cache = model(torch.tensor([ids]), use_cache=True).past_key_values
    return [(layer.keys[0], layer.values[0]) for layer in cache.layers]


def layer_tensors(folder, target):
    return torch.load(folder / "final" / f"projector_{target}.pt", weights_only=True)


def fused(folder, sharer, own):
    """All layers of a receiver's cache with a sharer's fused in; both as :func:`caches` gives them."""
    layers = json.loads((folder / "final" / "projector_config.json").read_text())["0"]["1"]
    result = list(own)
    for target, ((source, _),) in layers.items():
        tensors, at = layer_tensors(folder, target), int(target)
        halves = zip(("key", "value"), sharer[source], own[at], strict=True)
        result[at] = tuple(reference(tensors, half, theirs, ours) for half, theirs, ours in halves)
    return result


def decoded(model, ids, cache, steps):
    """Greedy decoding over a cache of all ``ids`` but the last: tokens, logits ``(steps, vocabulary)``, final cache."""
    past = DynamicCache()
    for index, (keys, values) in enumerate(cache):
        past.update(keys[None].double(), values[None].double(), index)
    token, tokens, logits, after = ids[-1], [], [], []
    for step in range(steps):
        with torch.inference_mode():
            logits.append(model(torch.tensor([[token]]), past_key_values=past, use_cache=True).logits[0, -1])
        after = after if step else [(layer.keys[0].clone(), layer.values[0].clone()) for layer in past.layers]
        token = int(logits[-1].argmax())
        tokens.append(token)
    return tokens, torch.stack(logits), after
