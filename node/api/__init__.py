"""The HTTP API: thin handlers over the parts of a node, a module for each part."""
