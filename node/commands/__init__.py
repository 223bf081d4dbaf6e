"""One module a command: `add_arguments(parser)` and `run(arguments) -> exit status`.

All arguments are checked before anything is done. Heavy modules are imported inside `run`.
"""
