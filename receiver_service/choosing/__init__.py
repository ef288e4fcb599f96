"""Chooses how a question with a target is answered: reading again, or the sharer's cache and as which codec.

May import: codec.spec, codec.calibrations, fuser.base, kvwire; nothing of the services but held.py and sharers.py.
target.py reads what is wanted, pace.py learns what a sharer and the way to it take (curve.py: by tokens; contexts.py:
what was asked of it lately), forecast.py tells what each way would take, choose.py takes the best that will do.
"""
