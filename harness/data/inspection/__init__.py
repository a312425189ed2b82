"""Inspect a store of ``harness.convert``: figures, samples, and checks of its rows."""
