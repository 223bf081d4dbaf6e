"""The part of the agent that thinks, and that may be patched: a process without keys or network.

Self-contained: the standard library and cbor2, nothing of the host. Started as `main.py` with the
host on file descriptor 0. Read in this order: loop, prompt, memory, process, wire.
"""
