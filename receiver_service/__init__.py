"""The receiver: answers, alone or with what a sharer sends.

May import: kvwire, codec, fuser, grpc. methods.py picks the way and falls back, prefix.py, fuse.py and text.py are the
ways, receive.py takes a cache in and intake.py verifies its streams. Towards the sharer: replicas.py knows its
addresses, tries.py calls them, sharers.py is the link to one.
inspect.py shows the inside to tests, server.py puts them together.
"""
