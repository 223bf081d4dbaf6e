"""Conversations taken up where other members of the fleet left them, from mirrors of their logs.

Before this node answers in a conversation that others answered in, what was said there and is not
in its own ledger is carried over: one event for each side of an exchange, `conversation.carried`,
naming the ledger, the place and the head that covers it. Only what a mirror's complete head covers
is read, so every word was proven to stand in a log that its node signed. It is a person's and
another agent's words all the same: both screens read them anew, and what meets one stays behind.
An author who is held there is held here.

An erasure follows the words: when a mirror learns of one, what was carried is erased, too.

Where a conversation stands in a mirror is kept in memory, and read anew after a start. Not covered:
what a mirror lacks; a member that died with words which nobody copied took them along until it is
back.
"""

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

import structlog

from ledger.core import types
from ledger.core.checkpoint import SignedCheckpoint
from ledger.core.errors import NotFound, Refused, StoreFull, TimmyError
from ledger.core.event import Cause, Draft, Event
from ledger.core.redaction import targets
from ledger.log import Log
from ledger.mirror import MirrorLog
from mesh.mirrors.mirror import Mirror, misread
from node.keeping import redacting
from runtime.core.agenda import HOLD
from runtime.core.calls import gateway_key
from runtime.core.carrying import (
    ASSISTANT,
    EVENTS_MAX,
    USER,
    Heard,
    Spoken,
    carried_key,
    exchanges,
    name_of,
    passed_key,
)
from runtime.gateway import stream_of
from runtime.journal import Journal
from runtime.screening import screen_answer, screen_message

_log = structlog.get_logger("node.fleet.following")

_BREATH_EVENTS: Final = 500
"""Events of a mirror looked at in one go: some tens of milliseconds."""
_CONVERSATIONS_MAX: Final = 50_000
"""Of one mirror, those that were begun last: some twenty megabytes."""
_FLEET: Final = "fleet"
"""The screen of a hold that was taken over from another member."""
_LOOK_SECONDS: Final = 0.2
_POLL_SECONDS: Final = 5.0
"""How often mirrors are read ahead, so that a successor has little left to read."""


@dataclass(slots=True)
class _Index:
    """What is known of one mirror, up to event `next`."""

    next: int = 0
    streams: dict[str, bytes] = field(default_factory=dict)
    held: set[str] = field(default_factory=set)
    newest: dict[str, int] = field(default_factory=dict)
    done: dict[str, int] = field(default_factory=dict)
    """The last message or answer in each conversation, and the last that was carried over."""

    def says_more(self, conversation: str) -> bool:
        """Whether something was said that nobody has looked at."""
        return self.newest.get(conversation, -1) > self.done.get(conversation, -1)

    def hear(self, conversation: str, event: Event) -> None:
        """Take in that a message or an answer stands there."""
        self.streams.setdefault(conversation, event.stream)
        self.newest[conversation] = event.position
        if len(self.streams) > _CONVERSATIONS_MAX:
            oldest = next(iter(self.streams))
            for known in (self.streams, self.newest, self.done):
                known.pop(oldest, None)


@dataclass(slots=True, kw_only=True)
class Following:
    """Carries over what others said. `mirrors`: the copies of members' ledgers, by ledger."""

    journal: Journal
    log: Log
    mirrors: Callable[[], Mapping[bytes, Mirror[MirrorLog]]]
    _indexes: dict[bytes, _Index] = field(default_factory=dict)
    _lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    _taking: asyncio.Lock = field(default_factory=asyncio.Lock)
    """What is new is looked for and recorded with nobody in between."""

    async def run(self) -> None:
        """Read mirrors ahead, and erase what was erased there, until cancelled."""
        while True:
            for ledger in list(self.mirrors()):
                await self._read_safely(ledger)
            await asyncio.sleep(_POLL_SECONDS)

    async def take_up(
        self, conversation: str, author: str, *, knows: tuple[bytes, int], wait_s: float
    ) -> tuple[Cause, ...]:
        """Carry over what others said in a conversation; return where the newest of each stands.

        `knows` is a ledger, and how many events of it should be here first: waited for at most
        `wait_s`. An author who is held elsewhere is held here when this returns.
        """
        await self._caught_up(*knows, wait_s)
        async with self._taking:
            return await self._take_up(conversation, author)

    async def _take_up(self, conversation: str, author: str) -> tuple[Cause, ...]:
        heads: dict[bytes, SignedCheckpoint] = {}
        for ledger in list(self.mirrors()):
            head = await self._read_safely(ledger)
            if head is not None:
                heads[ledger] = head
        if any(author in self._indexes[ledger].held for ledger in heads):
            await self._hold(conversation, author)
        if not any(self._indexes[ledger].says_more(conversation) for ledger in heads):
            return ()
        heard = self._heard_of_all(heads, conversation)
        spoken = [
            one
            for one in exchanges(heard, self.log.ledger_id)
            if self._new(one) and await _passes(one)
        ]
        await self._carry(conversation, spoken, heads)
        for ledger in [one.ledger for one in heard]:
            index = self._indexes[ledger]
            index.done[conversation] = index.newest.get(conversation, -1)
        newest = {one.ledger: one.cause for one in spoken}
        return tuple(newest.values())

    async def _caught_up(self, ledger: bytes, size: int, wait_s: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(wait_s):
                while (mirror := self.mirrors().get(ledger)) is not None:
                    if mirror.complete is not None and mirror.complete.size >= size:
                        return
                    mirror.hurry()
                    await asyncio.sleep(_LOOK_SECONDS)
        if ledger in self.mirrors():
            _log.info("a mirror is behind what was said", ledger=ledger.hex(), wanted=size)

    async def _read_safely(self, ledger: bytes) -> SignedCheckpoint | None:
        """As `_read`; None for a mirror that is made anew, or cannot be read or understood."""
        try:
            return await self._read(ledger)
        except StoreFull:  # ours: what was to be erased is found again
            raise
        except TimmyError as error:
            misread(self.mirrors(), ledger, error)
            return None

    async def _read(self, ledger: bytes) -> SignedCheckpoint | None:
        """Bring the index of a mirror up to its complete head; return that."""
        async with self._lock:
            index = self._indexes.setdefault(ledger, _Index())
            while True:
                mirror = self.mirrors().get(ledger)
                log, head = (None, None) if mirror is None else (mirror.log, mirror.complete)
                if log is None or head is None:
                    return None
                if head.size < index.next:  # it was made anew
                    index = self._indexes[ledger] = _Index()
                if head.size == index.next:
                    return head
                stop = min(index.next + _BREATH_EVENTS, head.size)
                erased = [
                    at for event in log.events(index.next, stop) for at in _seen(index, event)
                ]
                await self._erase(ledger, log, erased)
                index.next = stop
                await asyncio.sleep(0)

    def _heard_of_all(
        self, heads: Mapping[bytes, SignedCheckpoint], conversation: str
    ) -> list[Heard]:
        """What was said there, of the mirrors that can be read: the others lack it for now."""
        found = []
        for ledger, head in heads.items():
            mirror = self.mirrors().get(ledger)
            if mirror is None or mirror.log is None:
                continue  # it was closed since its head was asked for, and is opened again
            try:
                found.append(self._heard(ledger, mirror.log, head, conversation))
            except TimmyError as error:
                misread(self.mirrors(), ledger, error)
        return found

    def _heard(self, ledger: bytes, log: Log, head: SignedCheckpoint, conversation: str) -> Heard:
        index = self._indexes[ledger]
        stream = index.streams.get(conversation)
        held = frozenset(index.held)
        if stream is None:
            return Heard(ledger=ledger, events=(), held=held)
        found = [one for one in log.stream(stream, last=EVENTS_MAX) if one.position < head.size]
        return Heard(ledger=ledger, events=tuple(found), held=held)

    def _new(self, one: Spoken) -> bool:
        """Whether this ledger has neither those words nor the message they belong to."""
        if self.log.find(one.key) is not None:
            return False
        return one.role != USER or self.log.find(gateway_key(passed_key(one.message))) is None

    async def _carry(
        self, conversation: str, spoken: list[Spoken], heads: Mapping[bytes, SignedCheckpoint]
    ) -> None:
        if not spoken:
            return
        async with self.journal.deciding:
            stream = stream_of(self.journal, conversation)
            drafts = [_draft(one, conversation, stream, heads[one.ledger]) for one in spoken]
            await self.journal.append(*drafts)
        _log.info("a conversation is taken up", words=len(spoken))

    async def _hold(self, conversation: str, author: str) -> None:
        async with self.journal.deciding:
            if self.journal.turns.held(author):
                return
            await self.journal.append(
                Draft(
                    type=types.POLICY_DECIDED.name,
                    stream=stream_of(self.journal, conversation),
                    payload={
                        "action": HOLD,
                        "screen": _FLEET,
                        "rule": "held by another member",
                        "conversation": conversation,
                        "author": author,
                    },
                )
            )

    async def _erase(self, ledger: bytes, log: Log, positions: Iterable[int]) -> None:
        """Erase what was carried of words that are erased where they were said."""
        mine = sorted({at for position in positions for at in self._copies(ledger, log, position)})
        if not mine:
            return
        with suppress(NotFound, Refused):
            asked = redacting.ask(
                self.log, mine, reason="erased where it was said", actor=f"fleet/{ledger.hex()}"
            )
            await self.journal.append(*asked.drafts)

    def _copies(self, ledger: bytes, log: Log, position: int) -> Iterator[int]:
        event = log.read(position)
        role = USER
        if event.type == types.MESSAGE_SENT.name:
            at = event.payload.get("message")
            if type(at) is not int or not 0 <= at < position:
                return
            event, role = log.read(at), ASSISTANT
        if event.type != types.MESSAGE_RECEIVED.name:
            return
        carried = self.log.find(carried_key(name_of(ledger, event)[0], role))
        if carried is not None and not carried.redacted:
            yield carried.position


def _seen(index: _Index, event: Event) -> Iterable[int]:
    """Take one event of a mirror in; return whose words it erases."""
    match event.type, event.payload:
        case ((types.MESSAGE_RECEIVED.name | types.MESSAGE_SENT.name), {"conversation": str(name)}):
            index.hear(name, event)
        case types.POLICY_DECIDED.name, {"action": "hold", "screen": screen, "author": str(author)}:
            if screen != _FLEET:  # who is held there for what another member saw, that one releases
                index.held.add(author)
        case types.POLICY_RELEASED.name, {"author": str(author)}:
            index.held.discard(author)
        case types.REDACTED.name, _:
            return tuple(at for at in targets(event) if at < event.position)
    if event.payload.get("screen") == "crisis" and isinstance(event.payload.get("author"), str):
        index.held.add(event.payload["author"])
    return ()


async def _passes(one: Spoken) -> bool:
    screen = screen_message if one.role == USER else screen_answer
    return await screen(one.text) is None


def _draft(one: Spoken, conversation: str, stream: bytes, head: SignedCheckpoint) -> Draft:
    return Draft(
        type=types.CONVERSATION_CARRIED.name,
        stream=stream,
        payload={
            "conversation": conversation,
            "author": one.author,
            "role": one.role,
            "message": one.message,
            "ledger": one.ledger,
            "position": one.cause.position,
            "size": head.size,
            "root": head.root,
            **({} if one.reach is None else {"reach": one.reach}),
        },
        content={"text": one.text},
        causes=(one.cause,),
        idempotency_key=one.key,
    )
