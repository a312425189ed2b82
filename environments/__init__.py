"""Where actions run and who judges."""
