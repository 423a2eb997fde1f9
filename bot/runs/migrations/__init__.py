"""The migrations that run at start."""
