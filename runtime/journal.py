"""The host's one view of the log: append, and the projection that has caught up with it.

Gateway, service and agent host share a `Journal`. Whoever decides something that depends on what
is pending or held does so inside `deciding`: read, decide, append, with nobody in between. The
ledger has one writer process, so a lock in this process is enough.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Protocol

from ledger.core.event import Draft, Event
from ledger.core.state import State
from runtime.core.reducers import REDUCERS
from runtime.core.turns import Turns


class Log(Protocol):
    """What of `ledger.log.Log` the runtime uses; see there for the contracts."""

    @property
    def ledger_id(self) -> bytes: ...  # noqa: D102 - the port is documented at its maker
    @property
    def size(self) -> int: ...  # noqa: D102 - as above
    async def append(self, *drafts: Draft) -> list[Event]: ...  # noqa: D102 - as above
    def read(self, position: int) -> Event: ...  # noqa: D102 - as above
    def events(self, start: int = 0, stop: int | None = None) -> Iterator[Event]: ...  # noqa: D102
    def as_written(self, start: int = 0, stop: int | None = None) -> Iterator[Event]: ...  # noqa: D102
    def find(self, idempotency_key: bytes) -> Event | None: ...  # noqa: D102 - as above
    def follow(self, start: int = 0) -> AsyncIterator[Event]: ...  # noqa: D102 - as above
    def stream(self, stream: bytes, *, last: int) -> list[Event]: ...  # noqa: D102 - as above


class Journal:
    """A log and the state folded from it. `state` may be handed in, restored to some position."""

    def __init__(self, log: Log, state: State | None = None) -> None:
        self._log = log
        self.deciding = asyncio.Lock()
        self._state = State(REDUCERS) if state is None else state
        self._turns = Turns(self._state)

    @property
    def log(self) -> Log:
        """The log."""
        return self._log

    @property
    def state(self) -> State:
        """The state after every event that is durable now."""
        if self._state.size < self.log.size:
            for event in self.log.as_written(self._state.size):
                self._state.apply(event)
        return self._state

    @property
    def turns(self) -> Turns:
        """What is to be done after every event that is durable now."""
        _ = self.state
        return self._turns

    async def append(self, *drafts: Draft) -> list[Event]:
        """Append in one commit; see `ledger.log.Log.append`.

        A caller that is cancelled leaves only when the commit is known: it may hold `deciding`,
        and who decides next must see what was decided before.
        """
        commit = asyncio.ensure_future(self.log.append(*drafts))
        try:
            return await asyncio.shield(commit)
        except asyncio.CancelledError:
            await asyncio.wait([commit])
            if not commit.cancelled():
                commit.exception()
            raise
