"""Containers without network in which actions run, and what comes out of them."""
