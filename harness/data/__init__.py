"""From a file of trajectories to training rows: splits, selection, scoring, inspection, contamination."""
