"""Checks of a recipe before anything is trained: each yields its findings, and all of them run."""
