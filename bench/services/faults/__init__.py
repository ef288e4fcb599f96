"""A laboratory for faults: a relay that hurts what passes it, and services that are stopped, starved or killed.

The relay and what it imports know HTTP/2 frames and gRPC's message lengths, nothing else of gRPC; what looks at a pair
meanwhile may import what `bench/services` may. To add a way of hurting a message, write a function in `hurts.py` and
its row in `cases.py`.
"""
