"""Drives evaluation sets through a sharer and a receiver and reports accuracy against bytes and latency.

May import: the client, the values in ``kvwire.requests`` and ``kvwire.report``, ``kvwire.errors``, numpy; never
services, codecs or models. A new dataset is one file in ``datasets/`` and one line in ``datasets/__init__.py``.

Others drive a set of their own with what ``__init__.pyi`` lists, imported when it is first named.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
