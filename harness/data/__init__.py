"""From a trajectory file to training rows: split, selection, scoring, inspection, contamination."""
