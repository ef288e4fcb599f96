"""The live page on the receiver's metrics port: what runs, the latest requests, and a box to ask from.

May import what the receiver may. ``pages.py`` lists the routes, a file for each besides those that lie in ``files/``.
"""
