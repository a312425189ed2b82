"""A look into a store of ``harness.convert``: figures, samples, and whether its rows are what training expects."""
