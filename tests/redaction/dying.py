"""Redacts again and again from one prepared home, killed one step later each time.

    python -m tests.redaction.dying SEED FOLDER

A step is one statement of SQLite, its beginning or its end (those that commit, move the log into
the database or empty it among them), or one file made or removed. Each try is a process of its own
in FOLDER/<number>, a copy of SEED, ended by SIGKILL; the first that lives to the end is the last.
"""

import os
import shutil
import signal
import sys
from pathlib import Path

import apsw

from ledger.sqlite import SqliteStore
from ledger.views import Views
from tests.ledger.makers import open_log, ticking

STEPS_MAX = 2000


class Countdown:
    """Kills this process at a step."""

    def __init__(self, steps: int) -> None:
        self.left = steps
        self.armed = False

    def step(self, *_: object) -> None:
        self.left -= self.armed
        if self.armed and self.left <= 0:
            os.kill(os.getpid(), signal.SIGKILL)

    def watch(self, connection: apsw.Connection) -> None:
        connection.trace_v2(apsw.SQLITE_TRACE_STMT | apsw.SQLITE_TRACE_PROFILE, self.step)

    def audit(self, event: str, arguments: tuple) -> None:
        if event in {"open", "os.remove"} and ".erasing" in str(arguments[0]):
            self.step()


def redact(folder: Path, countdown: Countdown) -> None:
    apsw.connection_hooks.append(countdown.watch)
    sys.addaudithook(countdown.audit)
    with open_log(SqliteStore.open(folder / "ledger.db"), ticking(1_800_000_000_000)) as log:
        views = Views(folder / "views.db", log)
        views.catch_up()
        countdown.armed = True
        log.append_now(log.redaction([2, 3], reason="asked", actor="operator"))
        views.catch_up()
        views.purge()
        countdown.armed = False
        views.close()


def main(seed: Path, folder: Path) -> None:
    for number in range(1, STEPS_MAX):
        place = folder / f"{number:04d}"
        shutil.copytree(seed, place)
        pid = os.fork()
        if not pid:
            try:
                redact(place, Countdown(number))
            finally:
                os._exit(0)
        _, status = os.waitpid(pid, 0)
        if not os.WIFSIGNALED(status):
            print(number)
            return


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
