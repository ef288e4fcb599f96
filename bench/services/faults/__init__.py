"""A laboratory for faults: a relay that hurts what passes it, and services that are stopped, starved or killed.

May import `kvwire.processes` and the standard library; knows HTTP/2 frames and gRPC's message lengths, nothing else of
gRPC. To add a way of hurting a message, write a function in `hurts.py` and its row in `cases.py`.
"""
