"""Consensus-critical: a change in this package can make two nodes disagree about validity."""
