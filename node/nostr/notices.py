"""What the operator is told unasked, by sealed message: alarms, their end, the morning report, and
each verdict that he is to answer (`node.nostr.answering`).

Each is an event of the ledger first, and its message is made of that event: the same event makes
the same message. After a start the alarms that stand, the newest report and the questions that he
has not answered are sent again, and relays and clients know them. One that cannot be sent yet is
tried again, in order.

What an alarm says is quoted line by line: part of it may be another's words, who would write
"Answer: yes" and the number of a question.

Not covered: reliefs of before a start (none is made while no node runs), and whether he reads it.
"""

import asyncio
from collections.abc import Iterator
from typing import Final

import structlog

from ledger.core import types
from ledger.core.event import Cause, Event
from mesh.core import nip17
from mesh.core.errors import Refused, StoreError
from mesh.core.nip01 import NostrSigner, made_safe
from mesh.sealed.mailbox import Mailbox, NoInbox
from node.nostr.answering import PatchWords
from node.open import now_ms
from runtime.core.tally import alarms, reported
from runtime.journal import Journal

_log = structlog.get_logger("nostr")

REPORT_AGE_S_MAX: Final = 86_400
"""An older report is no news: the next one says what happened since."""


def notice_words(event: Event) -> str | None:
    """Return what the operator is told of an event; None if that is nothing, or erased."""
    said = event.payload
    if event.type == types.NODE_REPORTED.name:
        return str((event.content or {}).get("text") or "").strip() or None
    if event.type not in {types.NODE_ESCALATED.name, types.NODE_RELIEVED.name}:
        return None
    named = f"{said.get('trigger')}, {said.get('subject')}"
    begins = event.type == types.NODE_ESCALATED.name
    told = f"{named}: {said.get('why')}" if begins else named
    quoted = "\n".join(f"> {line}" for line in told.splitlines() if line.strip())
    if not begins:
        return f"This needs nobody any more (event {event.position}):\n{quoted}"
    return f"This needs a person (event {event.position}):\n{quoted}\n\nSee: timmy doctor"


class Notices:
    """Tells one operator, by the public key in hex. `run` may be called again after an error."""

    def __init__(
        self,
        mailbox: Mailbox,
        signer: NostrSigner,
        journal: Journal,
        operator: str,
        *,
        patches: PatchWords | None = None,
        retry_s: float,
    ) -> None:
        self._mailbox = mailbox
        self._signer = signer
        self._journal = journal
        self._operator = operator
        self._patches = patches
        self._retry_s = retry_s
        self._next: int | None = None
        self.waits_for = ""

    async def run(self) -> None:
        """Tell what stands, then what comes, until cancelled."""
        log = self._journal.log
        if self._next is None:
            start = log.size
            for event in self._standing():
                await self._tell(event)
            self._next = start
        async for event in log.follow(self._next):
            await self._tell(event)
            self._next = event.position + 1

    def _standing(self) -> Iterator[Event]:
        """Alarms and questions that stand, the newest report unless it is old; by position."""
        entries = self._journal.state.entries
        positions = [alarm.position for alarm in alarms(entries)]
        report = reported(entries)
        if report is not None and now_ms() // 1000 - report.at_s <= REPORT_AGE_S_MAX:
            positions.append(report.position)
        if self._patches is not None:
            positions += [event.position for event in self._patches.standing()]
        yield from (self._journal.log.read(position) for position in sorted(positions))

    def _notice(self, event: Event) -> tuple[str, Cause] | None:
        """Return what he is told of an event, and the event whose words that has."""
        if event.type == types.PATCH_JUDGED.name:
            return None if self._patches is None else self._patches.asking(event)
        words = notice_words(event)
        return None if words is None else (words, event.cause)

    async def _tell(self, event: Event) -> None:
        notice = self._notice(event)
        while notice is not None:
            words, of = notice
            try:
                for at, part in enumerate(nip17.split(made_safe(words))):
                    when = event.ts_ms // 1000 + at
                    rumor = nip17.write(self._signer.pubkey, [self._operator], part, now=when)
                    await self._mailbox.send(rumor, event=of)
            except (NoInbox, Refused, StoreError) as error:
                if str(error) != self.waits_for:
                    _log.warning("the operator cannot be told yet", why=str(error))
                self.waits_for = str(error)
                await asyncio.sleep(self._retry_s)
            else:
                self.waits_for = ""
                return
