"""The tables of node.toml: what may stand in each, checked; `node.config` reads the file."""
