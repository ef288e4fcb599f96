# What others may use; docs/api.md.

from .datasets import Item, load
from .driver import Driver, Outcome, Plan
from .report import summarize
from .scoring import ItemResult

__all__ = ["Driver", "Item", "ItemResult", "Outcome", "Plan", "load", "summarize"]
