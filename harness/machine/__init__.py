"""This machine: checks of what works, versions for a run's manifest, images that are built here."""
