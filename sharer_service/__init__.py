"""The sharer: reads contexts and streams their compressed caches, or writes a text message from them.

May import: kvwire, codec, fuser, grpc. plan.py says what is sent, prefill.py computes layers, outgoing.py encodes
them, relay.py writes text, servicer.py speaks gRPC, server.py puts them together.
"""
