"""The tools a node has of its own, one module each; node/agent/tools.py puts them into its toolbox.

Each module has a `SPEC` (or a function that makes specs, where one depends on the node) and a class
that acts. A tool bounds what it reads and says what it left out; its time, the size of its result
and what runs beside it are the toolbox's. Read in this order: arguments, reading, confined, shell.
"""
