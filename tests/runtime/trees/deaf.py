"""Never says ready, or never obeys stop: `plan` says which."""

import time
from pathlib import Path

from . import process


def spoil(folder: Path) -> None:
    real_take = process.Agent._take

    def take(self, frame):
        if frame["t"] != "hello":
            real_take(self, frame)

    def serve(self):
        while True:
            frame = self._channel.read()
            if frame["t"] == "stop":
                time.sleep(3600)
            real_take(self, frame)

    if (folder / "plan").read_text() == "never_ready":
        process.Agent._take = take
    else:
        process.Agent.serve = serve
