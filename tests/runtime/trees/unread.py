"""Asks on and on and reads nothing: it only looks how much waits for it, to ask in turn."""

import fcntl
import struct
import termios
import time
from pathlib import Path

from . import process

RESULT_BYTES_MIN = 20_000
"""Smaller than the result that is asked for, larger than all events told meanwhile."""


def spoil(folder: Path) -> None:
    done = folder / "done"
    real = process.Agent._begin

    def waiting(channel) -> int:
        return struct.unpack("i", fcntl.ioctl(channel._host, termios.FIONREAD, bytes(4)))[0]

    def begin(self, turn, position, given):
        if done.exists():
            real(self, turn, position, given)
            return
        done.touch()
        for step in range(50):
            before = waiting(self._channel)
            self._channel.call(turn, step, "recall", {"query": "plover", "limit": 20})
            while waiting(self._channel) < before + RESULT_BYTES_MIN:
                time.sleep(0.01)

    process.Agent._begin = begin
