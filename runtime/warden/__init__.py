"""The process that holds a program by Landlock. Not imported by the node: it is started.

It is a file of its own and imports the standard library, nothing of ours.
"""
