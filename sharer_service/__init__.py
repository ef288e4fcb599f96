"""The sharer: reads contexts and streams their compressed caches, or writes a text message from them.

May import: kvwire, codec, fuser, grpc. prefill.py computes layers, stream.py says what is sent, relay.py writes text,
servicer.py speaks gRPC, server.py puts them together.
"""
