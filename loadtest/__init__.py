"""Drives evaluation sets through a sharer and a receiver and reports accuracy against bytes and latency.

May import: the client, the values in ``kvwire.requests`` and ``kvwire.report``, ``kvwire.errors``, numpy; never
services, codecs or models. A new dataset is one file in ``datasets/`` and one line in ``datasets/__init__.py``.
"""
