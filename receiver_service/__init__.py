"""The receiver: answers, alone or with what a sharer sends.

May import: kvwire, codec, fuser, grpc. methods.py picks the way and falls back, prefix.py, fuse.py and text.py are the
ways, intake.py verifies a cache stream, sharers.py talks to sharers, inspect.py shows the inside to tests, server.py
puts them together.
"""
