"""Harbor's jobs, and ATIF, the format of their trajectories."""
