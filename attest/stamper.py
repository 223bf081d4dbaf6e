"""Has notes stamped by calendars, and their pending proofs finished, through crashes and absences.

`want` is durable and does nothing else. `advance`, called every so often, does what is due:

1. the tip of each wanted stamp is sent to every calendar that has not taken it;
2. calendars that have it are asked what has become of it, and their answers take the place of what
   was pending;
3. an answer that names a block is compared with our own node's header, if there is a node: what
   does not fit is not taken.

Rules:
- nonces are on disk before a calendar sees anything, so every attempt sends the same tip, and no
  proof is lost by a crash;
- a failure is words in a record and a later moment, never an exception: calendars come and go;
- each attempt that brings nothing makes the next one later, up to a week;
- only addresses that are configured, or followed, are asked (`attest.core.calendars`).

Without a node of its own a stamper believes a calendar's word for a block: the proof is then for
whoever verifies it to check, and `checked` says so.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Any, Final, TypeAlias

from attest.calendar import CalendarClient
from attest.core import limits
from attest.core.errors import (
    CalendarError,
    InvalidTimestamp,
    NodeError,
    StateDamaged,
)
from attest.core.ots import BitcoinBlock, Timestamp
from attest.core.stamp import NONCE_BYTES, pending_of, upgraded
from attest.stamps import CalendarRecord, StampRecord
from attest.state import StateStore

_INDEX_KEY: Final = "stamps"
_DIGEST_IN_KEY: Final = 58
"""Hex digits of the digest in a record's name: with `stamp-` the 64 that a key may have."""

RootAt: TypeAlias = Callable[[int], Awaitable[bytes | None]]
"""The Merkle root of the confirmed block at a height, None for none yet; raises NodeError."""


class Stamper:
    """The only user of its records. Methods may be called concurrently; all raise StateError."""

    def __init__(
        self,
        *,
        state: StateStore,
        client: CalendarClient,
        calendars: Sequence[str],
        poll_s: int,
        clock: Callable[[], int],
        entropy: Callable[[int], bytes],
        root_at: RootAt | None = None,
    ) -> None:
        """`clock` gives Unix seconds. Without `root_at` calendars are believed."""
        self._state = state
        self._client = client
        self._calendars = tuple(calendars)
        self._poll_s = poll_s
        self._clock = clock
        self._entropy = entropy
        self._root_at = root_at
        self._lock = asyncio.Lock()
        self._slots = asyncio.Semaphore(limits.CALENDAR_EXCHANGES_MAX)

    async def want(self, note: bytes) -> StampRecord:
        """Have a note stamped; one that is known already stays as it is."""
        record = StampRecord(
            note=note,
            nonces=(self._entropy(NONCE_BYTES), self._entropy(NONCE_BYTES)),
            asked_s=self._clock(),
            calendars=tuple(CalendarRecord(url=url) for url in self._calendars),
        )
        async with self._lock:
            known = await self._read(record.digest)
            if known is not None:
                return known
            # The list first: a record that no list names would never be looked after. The newest
            # last: who looks meanwhile finds the one before, and never none.
            index = await self._state.get(_INDEX_KEY) or {}
            others = [digest for digest in await self._index() if digest != record.digest]
            opened = [*others, record.digest][-limits.STAMPS_OPEN_MAX :]
            await self._save_index(opened, newest=index.get("newest", record.digest))
            await self._save(record)
            await self._save_index(opened, newest=record.digest)
            return record

    async def knows(self, digest: bytes) -> bool:
        """Tell whether a note with this digest was ever wanted."""
        return await self._read(digest) is not None

    async def open(self) -> list[StampRecord]:
        """The stamps that are looked after, oldest first."""
        return [record for digest in await self._index() if (record := await self._read(digest))]

    async def newest(self) -> StampRecord | None:
        """The stamp that was wanted last."""
        index = await self._state.get(_INDEX_KEY)
        return None if index is None else await self._read(index.get("newest", b""))

    async def close(self, record: StampRecord) -> None:
        """Look after a stamp no more; what it has stays."""
        async with self._lock:
            index = await self._state.get(_INDEX_KEY) or {}
            opened = [digest for digest in await self._index() if digest != record.digest]
            await self._save_index(opened, newest=index.get("newest", record.digest))

    async def advance(self, *, at_once: bool = False) -> list[StampRecord]:
        """Do what is due, or everything if `at_once`; return the stamps that are looked after."""
        async with self._lock:
            found = []
            for record in await self.open():
                after = await self._round(record, at_once=at_once)
                if after != record:
                    await self._save(after)
                found.append(after)
            return found

    # ---- one round of one stamp ----------------------------------------------------------------

    async def _round(self, record: StampRecord, *, at_once: bool) -> StampRecord:
        """Ask all calendars that are due, at the same time."""
        now_s = self._clock()
        parts = list(record.calendars)
        known = {part.url for part in parts}
        parts += [CalendarRecord(url=url) for url in self._calendars if url not in known]
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(self._ask(record, part))
                if not part.heights and (at_once or _due(part, now_s))
                else None
                for part in parts[: limits.CALENDARS_MAX]
            ]
        parts = [
            part if task is None else task.result() for part, task in zip(parts, tasks, strict=True)
        ]
        return replace(record, calendars=tuple(parts))

    async def _ask(self, record: StampRecord, part: CalendarRecord) -> CalendarRecord:
        """Submit or look up; return what is known afterwards."""
        async with self._slots:
            try:
                if part.timestamp is None:
                    found = await self._client.submit(part.url, record.tip)
                else:
                    found = await self._look_up(part.timestamp, record.tip)
                checked = await self._check(found, record.tip)
            except (CalendarError, InvalidTimestamp, NodeError) as error:
                return self._later(part, trouble=str(error))
        if found == part.timestamp:
            return self._later(part, trouble="")
        next_s = self._clock() + self._poll_s
        return replace(part, timestamp=found, tries=0, next_s=next_s, checked=checked, trouble="")

    async def _look_up(self, timestamp: Timestamp, tip: bytes) -> Timestamp:
        """Ask for all that is pending. Raises CalendarError if nothing of it may be asked for."""
        trouble: CalendarError | None = None
        answered = False
        found = timestamp
        owed = pending_of(timestamp, tip)[: limits.CALENDAR_PENDING_MAX]
        for path, pending, message in owed:
            try:
                answer = await self._client.look_up(pending.uri, message)
            except CalendarError as error:
                trouble = error
                continue
            answered = True
            if answer is not None:
                found = upgraded(found, path, answer)
        if trouble is not None and not answered:
            raise trouble
        return found

    async def _check(self, timestamp: Timestamp, tip: bytes) -> bool:
        """Compare the blocks it names with our node's; True if there are some and all fit.

        Raises InvalidTimestamp if one does not, NodeError if the node cannot be asked.
        """
        if self._root_at is None or not timestamp.heights:
            return False
        for leaf in timestamp.leaves(tip):
            if isinstance(leaf.attestation, BitcoinBlock):
                height = leaf.attestation.height
                root = await self._root_at(height)
                if root is None:
                    raise InvalidTimestamp(f"our node has no confirmed block {height} yet")
                if root != leaf.message:
                    raise InvalidTimestamp(
                        f"block {height} of our node has another Merkle root",
                        hint="is the calendar on another network than attest.network?",
                    )
        return True

    def _later(self, part: CalendarRecord, *, trouble: str) -> CalendarRecord:
        """Plan the next attempt after one that brought nothing new."""
        if part.timestamp is None:
            wait_s = limits.CALENDAR_RETRY_S << min(part.tries, 20)
        else:
            wait_s = self._poll_s << min(part.tries // limits.CALENDAR_PATIENT_TRIES, 20)
        next_s = self._clock() + min(wait_s, limits.CALENDAR_WAIT_S_MAX)
        return replace(part, tries=part.tries + 1, next_s=next_s, trouble=trouble[:300])

    # ---- records -------------------------------------------------------------------------------

    async def _read(self, digest: bytes) -> StampRecord | None:
        value = await self._state.get(_key(digest))
        try:
            return None if value is None else StampRecord.from_value(value)
        except StateDamaged as error:
            raise StateDamaged(
                f"{_key(digest)}: {error}", hint="move that record away; its proof is lost"
            ) from error

    async def _save(self, record: StampRecord) -> None:
        await self._state.put(_key(record.digest), record.to_value())

    async def _index(self) -> list[bytes]:
        index: dict[str, Any] = await self._state.get(_INDEX_KEY) or {"open": []}
        match index.get("open"):
            case list(opened) if all(isinstance(digest, bytes) for digest in opened):
                return opened
        raise StateDamaged("the list of open stamps is damaged")

    async def _save_index(self, opened: Sequence[bytes], *, newest: bytes) -> None:
        await self._state.put(_INDEX_KEY, {"open": list(opened), "newest": newest})


def _due(part: CalendarRecord, now_s: int) -> bool:
    return not now_s < part.next_s <= now_s + limits.CALENDAR_WAIT_S_MAX


def _key(digest: bytes) -> str:
    return "stamp-" + digest.hex()[:_DIGEST_IN_KEY]
