"""What can be said of paired answers to the same items, one method per file.

May import: numpy, ``loadtest.intervals``. Everything here works on plain arrays with one entry per item, NaN where an
item has no number.
"""
