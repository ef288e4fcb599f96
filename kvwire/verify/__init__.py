"""Holds a fuser's expected outputs against what two services make of it over the wire.

May import kvwire alone, with torch and transformers. folders.py reads what is expected, held.py makes models that hold
given caches, run.py starts the services and compares.
"""
