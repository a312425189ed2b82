"""Compute what prompts have in common once: key-value caches, prefix trees, packed attention."""
