"""Images: a small base of our own, and instance images made from files."""
