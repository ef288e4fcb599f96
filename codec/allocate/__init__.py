"""Chooses a spec by what it costs and what it changes: policies such as ``budget=65536`` resolve to a ``mix=`` here.

May import: codec, kvwire.errors. policy.py reads a policy, profile.py holds what was measured of a model, profiles.py
finds it, sizes.py tells bytes without encoding, allocate.py chooses. No header on the wire has a policy, only the spec
that it resolved to.
"""
