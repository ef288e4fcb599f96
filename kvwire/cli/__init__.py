"""The command line: one file per command; main.py lists them.

The roof of the house: may import everything. torch, grpc and the like are imported inside the commands, so that
``kvwire --help`` answers at once.
"""
