"""Sealed messages: opened as they come, wrapped as they go, each dealt with once."""
