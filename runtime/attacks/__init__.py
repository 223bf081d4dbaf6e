"""The program that tries to get out of the sandbox; see `runtime.selftest`."""
