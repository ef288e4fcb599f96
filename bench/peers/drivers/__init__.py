"""One program per peer, run with the python of that peer's environment by ``bench/peers/exchange.py``.

May import: the peer, what the peer needs, and nothing of this project. Each has ``make(codec, model)``: a codec of the
peer's by its name in the bench, for the model in a folder. It returns an object with these methods:

``encode(cache)``
    ``cache`` has ``keys`` (after RoPE) and ``values``, both ``(layers, kv_heads, tokens, head_dim)`` float32, and
    ``ids`` ``(tokens,)`` int64; returns what the peer would store or send.
``size(encoded)``
    Bytes of everything that ``decode`` reads, in the types the peer keeps it in.
``decode(encoded)``
    ``keys`` and ``values`` as above, of the tokens that are left.
``slots(encoded, cache)``
    Only of a codec that leaves tokens out: which these are, in its order, ``(layers, kv_heads, kept)`` int64.
"""
