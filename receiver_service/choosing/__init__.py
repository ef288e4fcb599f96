"""Chooses how a question with a target is answered: reading again, or the sharer's cache and as which codec.

May import: codec, fuser.layers, kvwire; of the services nothing. target.py reads what is wanted. pace.py learns what a
sharer and the way to it take (curve.py: by tokens; contexts.py: what was asked of it lately), own.py what the
receiver's own passes do; forecast.py tells what each way would take, choose.py takes the best that will do.
"""
