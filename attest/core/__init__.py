"""Consensus-critical: transactions, headers, Merkle paths and verdicts, from bytes alone."""
