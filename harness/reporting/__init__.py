"""The parts of the report: read a run, count, pick examples, draw, render."""
