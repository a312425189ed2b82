"""The report of a run: read it, compute figures, pick examples, draw, render."""
