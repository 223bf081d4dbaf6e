"""A session: an agent's ledger with what it is made of, which can be exported at any turn.

`export` reads a few numbers and pauses nobody: a ledger only grows, so what it held at a size it
holds for ever, and the export is a view of the events below that size. With it go the state's
digest there and the architecture; a snapshot that the ledger itself attests saves folding from
event 0. `Exported.rebuild` folds snapshot and tail again, and whatever is tried is tried on a state
that agrees with the parent's, or not at all.

Not covered: words that the parent erases after the export. A view has them no more; a copy in a
file (`genesis.forking.copies`) has them until it is removed.
"""

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from genesis.core import limits
from genesis.core.architecture import Architecture
from genesis.core.constitution import Software
from genesis.core.errors import ForkError, StateDiffers
from genesis.core.exported import About
from ledger.core import types
from ledger.core.errors import TimmyError
from ledger.core.state import BASIC_REDUCERS, Reducer, State
from ledger.log import Log
from ledger.replay import reducers_hash
from ledger.snapshot import read_attested
from ledger.upcasting import UpcastLog
from runtime.asking import Completes
from runtime.core import agenda, jobs
from runtime.core.chat import Reach, ToolOffer
from runtime.core.privacy import Privacy
from runtime.core.reducers import REDUCERS as RUNTIME_REDUCERS
from runtime.fork import Fork
from runtime.recall import Search

REDUCERS: Final[tuple[Reducer, ...]] = (*BASIC_REDUCERS, *RUNTIME_REDUCERS)
"""What a node of this version folds."""
AT_HOME: Final = Privacy(default=Reach.LOCAL)
"""Of a session that does not say how far its words may travel: to models on this hardware alone."""
_ROOTS: Final[tuple[tuple[bytes, Mapping[str, str]], ...]] = (
    (types.NODE_STREAM, {types.NODE_STARTED.name: "architecture"}),
    (
        types.ADOPTION_STREAM,
        {types.PATCH_ADOPTED.name: "root", types.PATCH_ROLLED_BACK.name: "root"},
    ),
)
"""Streams whose events name what the agent is made of, and where in them."""
_NEEDED: Final = agenda.INTERPRETED | jobs.INTERPRETED


def now_ms() -> int:
    """Unix time in milliseconds."""
    return time.time_ns() // 1_000_000


async def no_search(_query: str, _limit: int, _before: int) -> list[int]:
    """Find nothing: raises, so that the agent is told that no index answers."""
    raise ForkError("a fork from a file has no search index")


@dataclass(frozen=True, slots=True, kw_only=True)
class Exported:
    """A session at one head. Nothing of it changes; it is good as long as the log is open.

    `snapshot`: a file that may hold an attested state; `trials`: where it is kept that the sandbox
    was tried (`runtime.selftest`), if anywhere.
    """

    about: About
    log: Log
    snapshot: Path | None = None
    trials: Path | None = None
    digest_key: bytes = field(default_factory=lambda: os.urandom(32), repr=False)
    search: Search = no_search
    chain: Completes | None = None
    """The host's models, for a fork that is let ask them."""
    privacy: Privacy = AT_HOME
    """How far words may travel to them: what the host itself keeps to."""
    software: Callable[[], Software] | None = None
    """Reads the software that runs here, for a fork by changed reducers; None: none is made."""

    def reading(self) -> UpcastLog:
        """The log as this version reads it, newer events included."""
        return UpcastLog(self.log, needed=_NEEDED)

    def fork(self, clock: Callable[[], int] = now_ms) -> Fork:
        """Return a log that begins with these events and goes on in memory."""
        return Fork(self.reading(), self.about.size, clock)

    def snapshot_state(self) -> State | None:
        """Return the newest state that the ledger attests, below the head, if it was kept."""
        if self.snapshot is None:
            return None
        return read_attested(self.snapshot, self.log, REDUCERS, self.about.size - 1)

    def recorded_root(self) -> bytes | None:
        """Return the root that the record named last below the head: at a start, at an adoption.

        None if it named none. Files that were edited since make another one. Not for an event loop.
        """
        found: list[tuple[int, bytes]] = []
        for stream, kinds in _ROOTS:
            for at in reversed(self.log.positions(stream, 0)):
                root = self._root_at(at, kinds) if at < self.about.size else None
                if root is not None:
                    found.append((at, root))
                    break
        return max(found)[1] if found else None

    def _root_at(self, at: int, kinds: Mapping[str, str]) -> bytes | None:
        event = self.log.read(at)
        root = event.payload.get(kinds.get(event.type, ""))
        return root if isinstance(root, bytes) else None

    def rebuild(self) -> State:
        """Fold snapshot and tail and return the state at the head; not for an event loop.

        Raises StateDiffers, by name, if it is not the parent's.
        """
        about, mine = self.about, reducers_hash(REDUCERS)
        if about.reducers != mine:
            raise StateDiffers(
                f"the state was folded by {about.reducers.hex()[:16]}, and this version folds by "
                f"{mine.hex()[:16]}: another version's state is not taken up",
                hint="fork with the version that exported it; a change of the reducers is tried "
                "as a constitutional proposal that declares its migration",
            )
        state = fold(self.log, self.snapshot_state(), about.size)
        if state.digest() != about.digest:
            raise StateDiffers(
                f"replay of {about.size} events gives the state {state.digest().hex()[:16]}, the "
                f"parent's is {about.digest.hex()[:16]}",
                hint="find the event in which they part: timmy replay",
            )
        return state


def fold(log: Log, begun: State | None, size: int) -> State:
    """Return the state of `log` after `size` events, from one that is `begun` or from nothing."""
    state = State(REDUCERS) if begun is None else begun
    for event in UpcastLog(log, needed=_NEEDED).as_written(state.size, size):
        state.apply(event)
    return state


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """What can be exported. `live` gives the state that the owner of the log has now, folded up to
    the last event; without an owner at hand it is folded for the export.
    """

    log: Log
    architecture: Callable[[State | None], Architecture]
    """Of an earlier state, or of now (None)."""
    name: str
    soul: str
    live: Callable[[], State] | None = None
    snapshot: Path | None = None
    trials: Path | None = None
    digest_key: bytes | None = field(default=None, repr=False)
    """Of the record's steps (`runtime.core.calls`); without it they are compared by their ops."""
    tools: Callable[[], tuple[ToolOffer, ...]] = tuple
    search: Search = no_search
    chain: Completes | None = None
    privacy: Privacy = AT_HOME
    software: Callable[[], Software] | None = None

    def export(self, at: int | None = None) -> Exported:
        """Return the session as it is now, or as it was after `at` events.

        Takes no lock and appends nothing. Raises ForkError for a size that the log never had, or
        that is beyond what is forked.
        """
        state = self._state(at)
        size = state.size
        try:
            about = About(
                ledger=self.log.ledger_id,
                size=size,
                root=self.log.tree.root(size),
                digest=state.digest(),
                reducers=reducers_hash(REDUCERS),
                name=self.name,
                soul=self.soul,
                architecture=self.architecture(None if at is None else state),
                tools=self.tools()[: limits.EXPORT_TOOLS_MAX],
            )
        except TimmyError as error:
            raise ForkError(f"the session cannot be exported: {error}", hint=error.hint) from error
        more = {} if self.digest_key is None else {"digest_key": self.digest_key}
        return Exported(
            about=about, log=self.log, snapshot=self.snapshot, trials=self.trials,
            search=self.search, chain=self.chain, privacy=self.privacy, software=self.software,
            **more,
        )  # fmt: skip

    def _state(self, at: int | None) -> State:
        here = self.log.size
        size = here if at is None else at
        if not 1 <= size <= min(here, limits.EXPORT_EVENTS_MAX):
            raise ForkError(
                f"a session of {here} events cannot be forked at {size}, 1 to "
                f"{min(here, limits.EXPORT_EVENTS_MAX)} can",
                hint="timmy log shows the positions",
            )
        if at is None and self.live is not None:
            return self.live()
        begun = None
        if self.snapshot is not None:
            begun = read_attested(self.snapshot, self.log, REDUCERS, size - 1)
        return fold(self.log, begun, size)
