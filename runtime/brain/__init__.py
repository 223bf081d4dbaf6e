"""The process in which a model of this machine runs. Not imported by the node: it is started.

It is a file of its own and imports llama-cpp-python and the standard library, nothing of ours.
"""
