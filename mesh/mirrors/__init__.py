"""Mirrors: copying the logs of others, and offering what one has."""
