"""Facts about this machine: what works here, and versions for a run's manifest."""
