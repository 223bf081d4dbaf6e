"""A node as parent of other agents, and as child of one (docs/LINEAGE.md)."""
