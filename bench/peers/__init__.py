"""Other projects' codecs on the same caches, scored by the same code; each in an environment of its own.

``catalog.py`` names them, ``requirements/`` pins what their environments hold (all of it: nothing else is installed),
``drivers/`` call them there by way of ``exchange.py``, ``process.py`` talks to that. A peer is added with one file in
each of these folders and one line in the catalog. Whatever cannot be had or run becomes a row that says why.
"""
