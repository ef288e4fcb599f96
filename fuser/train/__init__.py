"""Trains fusers by gradient through a frozen receiver, on one CPU or many GPUs alike.

May import: what ``fuser`` may, and accelerate. What a step's loss is comes from outside; see ``calibration/learn.py``.
"""
