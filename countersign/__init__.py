"""Countersign: joint initiatives carried from proposal to closure by every side that signed for them."""

__version__ = "0.1.0"
