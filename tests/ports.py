"""A port that nobody listens on, for a server that is to be found there again.

It lies below those that a kernel gives to outgoing connections (32768 and up on Linux), or one of
the thousands of connections of a test run may sit on it while the server is away.
"""

import os
import socket
from contextlib import suppress
from itertools import count

LOWEST, HIGHEST = 12_000, 32_000
_tries = count(os.getpid() * 97)  # processes of one run begin at places of their own


def free_port() -> int:
    """Return a port of 127.0.0.1 that is free now, and another one each time."""
    for number in _tries:
        port = LOWEST + number * 7 % (HIGHEST - LOWEST)
        with suppress(OSError), socket.socket() as probe:
            probe.bind(("127.0.0.1", port))
            return port
    raise AssertionError
