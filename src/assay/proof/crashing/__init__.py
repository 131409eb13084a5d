"""Runs that are killed at each of their commit points, and what must hold after each kill."""
