"""Fuzzing of every parser of untrusted or stored bytes: accept, or a documented error, nothing else.

`python -m tests.fuzz --target NAME --seconds N` searches; what it finds is kept in `corpus/` under
the name of what went wrong, and `test_fuzz_parsers.py` runs all of it, and a seeded sample, in
every test run.
"""
