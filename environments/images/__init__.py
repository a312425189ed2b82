"""Images: our small base image, and instance images made from files."""
