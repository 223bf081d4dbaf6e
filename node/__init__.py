"""Composition root: command line, node.toml, supervisor, HTTP API, logs, metrics."""
