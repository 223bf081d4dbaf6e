"""The writing half of a relay connection: what its queue holds, what became of it, is it there.

An event leaves the queue when the relay has it, or refuses it for good (then that is logged, and
kept by its receiver if it is a sealed message: he waits for it). A refusal for age or size has it
minted again, a bounded number of times. What the relay took is kept until it was asked whether it
has it: an OK is a word, too (`kept`, `checked`).

An event that was put off before is sent alone: one that makes a relay hang up holds up nobody else.

What is only *said* is in no queue: a live event goes out once, before what is queued, while the
relay is there, or is lost. A refusal of it is noted, and nothing else comes of it.
"""

from collections import Counter, deque
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from functools import partial
from typing import Final, Protocol

import structlog

from mesh.core import limits
from mesh.core.errors import InvalidEvent
from mesh.core.nip01 import Event, VerifiedEvent
from mesh.core.pool.client import Answered
from mesh.core.pool.refusals import Refusal, refusal
from mesh.core.pool.relay_limits import RelayLimits
from mesh.core.relay.kinds import KindClass, expiration, first_value, is_protected, kind_class
from mesh.core.relay.privacy import GIFT_WRAPS
from mesh.pool.outbox import Entry, Outbox
from mesh.worker import Worker

_log = structlog.get_logger(__name__)

_LIVE_MAX: Final = limits.LIVE_EVENTS_MAX
_REASONS_MAX: Final = 16
"""Kinds of refusals that are counted apart: NIP-01 names eight, a relay may make up any number."""


class Remint(Protocol):
    """Mints a Nostr event again that a relay refused (mesh/core/pool/minting.py)."""

    def __call__(
        self, event: Event, why: Refusal, *, now: int, known: RelayLimits | None = None
    ) -> VerifiedEvent | None:
        """Return another Nostr event of the same thing, or None."""
        ...


class TryLater(Exception):
    """The relay put an event off: leave it alone for a while."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sent:
    """An event on its way, and the entry it is of."""

    entry: Entry
    event: Event


@dataclass(slots=True, kw_only=True)
class Delivery:
    """One relay's queue. What touches the disk raises StoreError."""

    url: str
    outbox: Outbox
    worker: Worker
    remint: Remint
    clock: Callable[[], int]
    author: str
    """Our own public key: others' events we cannot ask back for certain."""
    limits: RelayLimits
    accepted: int = 0
    refused: int = 0
    lost: int = 0
    last_refusal: str = ""
    refusals: Counter[str] = field(default_factory=Counter)
    """Why events were refused for good, in the relay's first words, and how often."""
    _sent: dict[str, _Sent] = field(default_factory=dict)
    _live: deque[tuple[int, VerifiedEvent]] = field(
        default_factory=partial(deque, maxlen=_LIVE_MAX)
    )

    def say(self, event: VerifiedEvent) -> None:
        """Have a live event sent next, within LIVE_EVENT_SECONDS_MAX or never."""
        self._live.append((self.clock() + limits.LIVE_EVENT_SECONDS_MAX, event))

    def _said(self, room: int) -> list[Event]:
        """Take what is to be said now; what came too late for it is dropped."""
        now = self.clock()
        taken: list[Event] = []
        while self._live and len(taken) < room:
            until, event = self._live.popleft()
            if now <= until:
                taken.append(event)
        return taken

    async def count(self) -> int:
        """Return how many events wait."""
        return await self.worker.submit(partial(self.outbox.count, self.url))

    async def began(self) -> None:
        """A connection begins: what was under way on the last one was neither taken nor refused."""
        for event_id in self._sent:
            await self.worker.submit(partial(self.outbox.postpone, self.url, event_id))
        self._sent.clear()

    async def due(self, in_flight: Collection[str]) -> list[Event]:
        """Return what to send next, within the window; what the relay would refuse is minted again.

        One that cannot be is sent all the same: what is known of the relay may be wrong.
        """
        room = limits.PUBLISH_WINDOW_EVENTS - len(in_flight)
        if room <= 0:
            return []
        if said := self._said(room):
            return said
        ask = partial(self.outbox.due, self.url, limit=room + len(in_flight))
        waiting = await self.worker.submit(ask)
        fresh = [one for one in waiting if one.event_id not in in_flight][:room]
        untried = [one for one in fresh if not one.attempts]
        if not untried and not in_flight:
            untried = fresh[:1]
        found = [await self._fitting(entry) for entry in untried]
        return [event for event in found if event is not None]

    async def _fitting(self, entry: Entry) -> Event | None:
        try:
            event = Event.from_json(entry.event_json)
        except InvalidEvent as error:
            _log.error("damaged event in the outbox", event_id=entry.event_id, error=str(error))
            await self._gone(entry.event_id, keep=False)
            return None
        why = self.limits.objection(event, now=self.clock())
        if why is not None and entry.minted < limits.REMINTS_MAX:
            event = await self._mint_again(event, why) or event
        self._sent[event.id] = _Sent(entry=entry, event=event)
        return event

    async def _mint_again(self, event: Event, why: Refusal) -> VerifiedEvent | None:
        try:
            again = self.remint(event, why, now=self.clock(), known=self.limits)
        except InvalidEvent as error:
            _log.error("event cannot be minted again", event_id=event.id, error=str(error))
            return None
        if again is not None:
            told = {"relay": self.url, "event_id": event.id, "new_id": again.id}
            _log.info("event minted again", **told, because=why.value)
            change = partial(self.outbox.remint, self.url, event.id, again)
            await self.worker.submit(change)
        return again

    async def answered(self, answer: Answered) -> None:
        """Take a relay's word on an event. Raises TryLater if it puts the event off."""
        sent = self._sent.pop(answer.event_id, None)
        meaning = Refusal.HAD_IT if answer.accepted else refusal(answer.message)
        if meaning is not Refusal.HAD_IT:
            self.last_refusal = answer.message
        if sent is None:
            self._live_answered(answer, meaning)
            return
        match meaning:
            case Refusal.HAD_IT:
                self.accepted += 1
                self.limits = self.limits.took(sent.event)
                await self._gone(answer.event_id, keep=self._is_kept(sent))
            case Refusal.FINAL:
                await self._drop(answer, sent, "event refused")
            case Refusal.AGE | Refusal.FUTURE | Refusal.SIZE:
                await self._form_refused(answer, sent, meaning)
            case _:
                await self._put_off(answer, sent, meaning)

    def _live_answered(self, answer: Answered, meaning: Refusal) -> None:
        if meaning is Refusal.LATER:
            raise TryLater(answer.message)
        if meaning is not Refusal.HAD_IT:
            self._refused(answer, "live event refused")

    async def _form_refused(self, answer: Answered, sent: _Sent, why: Refusal) -> None:
        if why is Refusal.SIZE:
            self.limits = self.limits.refused_size(sent.event)
        again = None
        if sent.entry.minted < limits.REMINTS_MAX:
            again = await self._mint_again(sent.event, why)
        if again is None:
            await self._drop(answer, sent, "event refused")

    async def _put_off(self, answer: Answered, sent: _Sent, meaning: Refusal) -> None:
        later = partial(self.outbox.postpone, self.url, answer.event_id)
        attempts = await self.worker.submit(later)
        if attempts >= limits.OUTBOX_ATTEMPTS_MAX and meaning is Refusal.UNCLEAR:
            await self._drop(answer, sent, "event given up")
        else:
            raise TryLater(answer.message or "refused without a reason")

    async def _drop(self, answer: Answered, sent: _Sent, what: str) -> None:
        self._refused(answer, what)
        if sent.event.kind in GIFT_WRAPS:
            await self._give_up(sent.event, answer.message[: limits.NOTICE_CHARS_MAX])
        else:
            await self._gone(answer.event_id, keep=False)

    def _refused(self, answer: Answered, what: str) -> None:
        self.refused += 1
        why = answer.message[: limits.NOTICE_CHARS_MAX].partition(":")[0] or "no reason"
        if why in self.refusals or len(self.refusals) < _REASONS_MAX:
            self.refusals[why] += 1
        said = _log.warning if self.refusals[why] == 1 else _log.debug  # once, not for each event
        said(what, relay=self.url, event_id=answer.event_id, message=answer.message)

    async def _give_up(self, wrap: Event, why: str) -> None:
        """Tell of each: somebody waits for it, and who sent it takes it for sent."""
        receiver = first_value(wrap, "p") or ""
        give_up = partial(self.outbox.give_up, receiver=receiver, why=why, now=self.clock())
        await self.worker.submit(partial(give_up, self.url, wrap.id))
        told = {"relay": self.url, "event_id": wrap.id, "receiver": receiver, "message": why}
        _log.warning("a sealed message is not taken here", **told)

    async def _gone(self, event_id: str, *, keep: bool) -> None:
        await self.worker.submit(partial(self.outbox.took, self.url, event_id, keep=keep))

    # ---- is it there? -------------------------------------------------------------------------

    async def kept(self) -> list[Event]:
        """Return what the relay took and was not asked about yet."""
        entries = await self.worker.submit(partial(self.outbox.kept, self.url))
        return [Event.from_json(entry.event_json) for entry in entries]

    async def checked(self, events: Collection[Event], missing: Collection[str]) -> int:
        """Take what a check of `kept` found; return how many events are queued again.

        What a relay lost twice is left: the next time it is asked it would be lost again.
        """
        for event in events:
            if event.id not in missing:
                await self._gone(event.id, keep=False)
            else:
                self.lost += 1
                await self.worker.submit(partial(self.outbox.lost, self.url, event.id))
        return len(missing)

    def _is_kept(self, sent: _Sent) -> bool:
        """Tell whether the relay has to have the event from now on: then it will be asked.

        Not what is another's (a gift wrap may be shown to its receiver only), what a newer one
        replaces, what expires, what only its author may see, what was lost once.
        """
        event = sent.event
        regular = kind_class(event.kind) is KindClass.REGULAR and event.pubkey == self.author
        lasting = regular and expiration(event) is None and not is_protected(event)
        return lasting and not sent.entry.lost
