"""Consensus-critical: what the judge decides without running anything. Pure."""
