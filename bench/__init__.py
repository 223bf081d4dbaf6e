"""Measurements: `make bench`. The disk's own rate stands beside them; no test fails on a clock."""
