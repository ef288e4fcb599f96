"""Checkpoints as the official C2C training code writes them: config.json, and a final/ with one projector per layer.

weights.py reads one pickled state dict without trusting it, layout.py the folder around it, training.py the recipe that
it was trained by. Nothing here writes.
"""
