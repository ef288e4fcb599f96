"""Runs a model over text once and writes what codecs want to know of it.

May import: ``codec``, ``fuser``, ``kvwire.models``, ``kvwire.engine``; never gRPC. A new kind of table is a tensor that
``calibrate.py`` adds and ``codec/calibration.py`` documents.
"""
