"""Entropy coders: integers <-> bytes under given tables.

May import: numpy, numba, ``kvwire.errors``; nothing else of the project. A new coder is one file here.
"""
