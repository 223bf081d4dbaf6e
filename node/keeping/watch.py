"""The node's own slow look at its whole ledger, while it runs (docs/adr/0016).

A start checks what it is about to trust: the guard, the state, what no head covers yet. That leaves
what only a reading of everything finds: an event filed under another stream, an idempotency key
that leads elsewhere, a tile or an old event that was edited, content that was dropped. This finds
it within a day, in a process of its own (`node.keeping.checker`).

A failure is believed when a second reading says the same. Then it is loud: a line in the log, an
event in the ledger (verdict, question and size, nothing else), status, doctor, a metric. The node
goes on: what it says is signed as before, and whether to stop it is for a person to decide.
"""

import asyncio
import json
import os
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Any, Final

import structlog

from attest.verify.report import GOOD
from ledger.core.errors import TimmyError
from ledger.core.event import Draft
from ledger.core.types import NODE_CHECKED, NODE_STREAM
from node.config import NodeSection
from node.home import Home

_KEPT: Final = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "LD_LIBRARY_PATH")
"""Of the environment; neither the passphrase nor a model's key is the checker's business."""
_LINE_BYTES_MAX: Final = 64 * 1024
_HOUR_SECONDS: Final = 3600

Append = Callable[[Draft], Awaitable[Any]]

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Looked:
    """What the last whole reading found. `text` is the failing link, "" if there is none."""

    verdict: str
    question: str
    size: int
    text: str
    ended_ms: int

    @property
    def good(self) -> bool:
        """Whether everything held."""
        return self.verdict in GOOD


class Watch:
    """Reads the whole home now and then; `run` it, and ask `value`."""

    def __init__(
        self, home: Home, section: NodeSection, append: Append, clock: Callable[[], int]
    ) -> None:
        self._home = home
        self._section = section
        self._append = append
        self._clock = clock
        self._progress: tuple[int, int] | None = None
        self.last: Looked | None = None

    def value(self) -> dict[str, Any]:
        """What status tells: how far a reading is, and what the last one found."""
        done = self._progress
        running = None if done is None else {"done": done[0], "of": done[1]}
        last = None if self.last is None else asdict(self.last) | {"good": self.last.good}
        return {"running": running, "last": last}

    async def run(self) -> None:
        """Look soon after the start, and then once in a while; until cancelled."""
        if not self._section.selfcheck_hours:
            return
        await asyncio.sleep(self._section.selfcheck_after_s)
        while True:
            await self.look()
            await asyncio.sleep(self._section.selfcheck_hours * _HOUR_SECONDS)

    async def look(self) -> None:
        """Read everything once, and if it fails once more; be loud if it fails again."""
        found = await self._read()
        if found is not None and not found.good:
            found = await self._read() or found
        if found is None:
            _log.warning("the self check could not be carried out")
            return
        self.last = found
        if found.good:
            _log.info("self check", verdict=found.verdict, size=found.size)
        else:
            await self._alarm(found)

    async def _alarm(self, found: Looked) -> None:
        facts = {"verdict": found.verdict, "question": found.question, "size": found.size}
        _log.error("THE SELF CHECK FAILED: run timmy doctor", **facts)
        try:
            await self._append(Draft(type=NODE_CHECKED.name, stream=NODE_STREAM, payload=facts))
        except TimmyError as error:  # a damaged ledger may take no event: the rest was told
            _log.warning("the failed self check is not in the ledger", why=type(error).__name__)

    async def _read(self) -> Looked | None:
        """Return what one reading found; None if it came to no end."""
        places = [str(self._home.path), str(self._home.state)]
        argv = [sys.executable, "-P", "-m", "node.keeping.checker", *places]
        try:
            child = await asyncio.create_subprocess_exec(
                *argv, stdin=DEVNULL, stdout=PIPE, stderr=DEVNULL, env=_environment(),
                limit=_LINE_BYTES_MAX,
            )  # fmt: skip
        except OSError:  # no memory, no process: tomorrow is another day
            return None
        assert child.stdout is not None
        found, ended = None, False
        self._progress = (0, 0)
        try:
            async for line in child.stdout:
                value = json.loads(line)
                if "verdict" in value:
                    found = Looked(**value, ended_ms=self._clock())
                else:
                    self._progress = (int(value["done"]), int(value["of"]))
            ended = True
        except (ValueError, KeyError, TypeError):
            found = None
        finally:
            self._progress = None
            if not ended:
                # Not the transport's kill: it polls first, reaps, and the watcher reports 255.
                with suppress(ProcessLookupError):
                    os.kill(child.pid, signal.SIGKILL)
            # Read to the end first: while what it said waits unread, its end is never noticed.
            while await child.stdout.read(_LINE_BYTES_MAX):
                pass
            await child.wait()
        return found if child.returncode == 0 else None


def _environment() -> dict[str, str]:
    kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
    return kept | {"PYTHONPATH": os.pathsep.join(place for place in sys.path if place)}
