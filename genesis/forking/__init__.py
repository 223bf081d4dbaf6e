"""Successors: a session exported, forked, tried with a patch, and compared with its parent."""
