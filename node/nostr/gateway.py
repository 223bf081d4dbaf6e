"""The gateway to Nostr: sealed messages are said to the agent, its answers go back sealed.

It keeps nothing. A letter enters the ledger under a key made of its id, so it is taken once however
often relays bring it; an answer is delivered when it is durably queued for the relays its reader
names, and the cursor that says so is an event. What dies between is done again, and is the same:
the same key here, the same Nostr events there.

Who may talk is node.toml's to say; of anybody else nothing is recorded and nobody is told. The
crisis screen, holds, budget and permissions are as for every other gateway: all is said through
`runtime.gateway`. The operator, and nobody else, may also answer questions about calls of tools;
what is said to a proposal is `node.nostr.answering`'s to weigh.

A room is taken if everybody in it may talk, as a person; its answers go to all of them. Of one in
which somebody is a stranger nothing is: he would read what the agent knows of the others.

An answer whose reader names no relays (kind 10050) waits, and keeps back only her own later ones.

The operator is also told what nobody asked about: alarms, reports, verdicts on proposals
(`node.nostr.notices`).

Agents are another thing than people: they give tasks in envelopes and get reports, and nobody
answers a report. So two agents that were told of each other do not talk for ever.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import structlog

from ledger.core import types
from ledger.core.errors import NotFound
from ledger.core.event import Cause, Event
from mesh.core import nip17
from mesh.core.envelope import Report, Task
from mesh.core.errors import Refused, StoreError
from mesh.core.nip01 import NostrSigner, made_safe
from mesh.sealed.mailbox import Letter, Mailbox, NoInbox
from node.nostr.answering import PatchWords
from node.nostr.letters import (
    answer_rumors,
    author_of,
    key_of,
    pubkey_of,
    question_words,
    room_name,
    room_of,
    verdict_of,
)
from node.nostr.notices import Notices
from node.nostr.roles import Role
from node.nostr.tasking import Tasking, report_key
from node.open import now_ms
from runtime.approvals import Approvals
from runtime.core.agenda import conversation_key
from runtime.core.calls import gateway_key
from runtime.core.delivered import delivered
from runtime.core.errors import MessageRefused
from runtime.gateway import Gateway
from runtime.journal import Journal
from runtime.outbox import Outbox

_log = structlog.get_logger("nostr")

RETRY_SECONDS: Final = 60.0
"""A reader without a list of relays, a queue that is full: asked again so often."""
SKEW_S: Final = 3600
"""A phone's clock is wrong by less. An older yes, kept by a relay, was for another history."""
_BREATH_EVENTS: Final = 500
_PEOPLE: Final = (Role.OPERATOR, Role.PERSON)


@dataclass(slots=True)
class _Reader:
    """One who gets answers, in order: (message, answer) positions that wait, and why."""

    name: str
    queue: asyncio.Queue[tuple[int, int]] = field(default_factory=asyncio.Queue)
    waits_for: str = ""
    at_work: bool = False

    @property
    def waiting(self) -> int:
        """How many answers wait."""
        return self.queue.qsize() + self.at_work


class NostrGateway:
    """The gateway of one node. `roles` maps public keys in hex to what they may do."""

    def __init__(
        self,
        mailbox: Mailbox,
        signer: NostrSigner,
        journal: Journal,
        gateway: Gateway,
        outbox: Outbox,
        approvals: Approvals | None,
        *,
        roles: Mapping[str, Role],
        tasking: Tasking | None = None,
        patches: PatchWords | None = None,
        retry_s: float = RETRY_SECONDS,
    ) -> None:
        self._mailbox = mailbox
        self._signer = signer
        self._journal = journal
        self._gateway = gateway
        self._outbox = outbox
        self._approvals = approvals
        self._roles = dict(roles)
        self._tasking = tasking
        self._patches = patches
        self._retry_s = retry_s
        self._readers = {key: _Reader(author_of(key)) for key in roles}
        self._strangers = 0
        self._operator = next((key for key, role in roles.items() if role is Role.OPERATOR), None)
        self._notices = (
            None
            if self._operator is None
            else Notices(mailbox, signer, journal, self._operator, patches=patches, retry_s=retry_s)
        )
        self.kin: Callable[[Letter], Awaitable[bool]] | None = None
        """Takes letters between a parent agent and its child; says whether it was one."""

    @property
    def mailbox(self) -> Mailbox:
        """Where sealed messages come and go."""
        return self._mailbox

    def value(self) -> dict[str, Any]:
        """How it is, for `timmy status`."""
        waiting = {
            reader.name: {"answers": reader.waiting, "why": reader.waits_for}
            for reader in self._readers.values()
            if reader.waiting
        }
        if self._notices is not None and self._notices.waits_for:
            waiting["notices"] = {"answers": 1, "why": self._notices.waits_for}
        return {
            "opened": self._mailbox.opened,
            "refused": self._mailbox.refused,
            "strangers": self._strangers,
            "waiting": waiting,
        }

    async def run(self) -> None:
        """Carry letters in and answers out until cancelled; may be called again after an error."""
        self._readers = {key: _Reader(author_of(key)) for key in self._roles}
        await self._mailbox.announce()
        if self._tasking is not None:
            await self._tasking.resend()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._mailbox.run(self.take))
            group.create_task(self._sort_answers())
            group.create_task(self._ask_operator())
            if self._notices is not None:
                group.create_task(self._notices.run())
            for key in self._readers:
                group.create_task(self._bring(key))

    async def close(self) -> None:
        """Close what remembers."""
        await self._mailbox.close()

    # ---- in -----------------------------------------------------------------------------------

    async def take(self, letter: Letter) -> Cause | None:
        """Say a letter to the agent, once; pass over what is not for it. Raises for our disk.

        Returns the event that holds its words; None if none does.
        """
        await self._take(letter)
        find = self._journal.log.find
        held = find(gateway_key(key_of(letter.id))) or find(report_key(letter))
        return None if held is None else held.cause

    async def _take(self, letter: Letter) -> None:
        if self.kin is not None and await self.kin(letter):
            return
        role = self._roles.get(letter.author)
        if role is None:
            self._strangers += 1
            if self._strangers.bit_count() == 1:  # 1, 2, 4, 8 ...: anybody may write to us
                _log.info("sealed messages from nobody we know", strangers=self._strangers)
            return
        name = author_of(letter.author)
        room = letter.room - {self._mailbox.pubkey}
        alone = room == {letter.author}
        if not alone and not all(self._roles.get(key) in _PEOPLE for key in room):
            _log.info("a room with strangers or agents in it is not taken", author=name)
            return
        if (role is Role.AGENT) != (letter.envelope is not None):
            _log.info("agents send envelopes, people do not", author=name, role=role.value)
            return
        if self._tasking is not None and await self._tasking.heard(letter):
            return
        conversation = _conversation(letter, name) if alone else room_name(room)
        if conversation is None:
            return
        verdict = verdict_of(letter.text) if role is Role.OPERATOR and alone else None
        if verdict is not None:
            await self._decide(letter, verdict.position, allow=verdict.allow)
        elif self._patches is not None and (words := await self._patches.hear(letter)) is not None:
            await self._tell(letter.author, words, at_s=letter.created_at)
        elif self._journal.log.find(gateway_key(key_of(letter.id))) is None:
            await self._say(letter, name, conversation)

    async def _say(self, letter: Letter, name: str, conversation: str) -> None:
        try:
            await self._gateway.receive(
                letter.text,
                conversation=conversation,
                author=name,
                gateway=name,
                idempotency_key=key_of(letter.id),
            )
        except MessageRefused as error:  # blank, or no text: it stays so
            _log.info("a sealed message cannot be taken", author=name, error=str(error))

    async def _decide(self, letter: Letter, position: int, *, allow: bool) -> None:
        """Answer a question about a call, as the operator. What is none any more stays so."""
        words, log = "Nobody is asked here.", self._journal.log
        if position < log.size and letter.created_at < log.read(position).ts_ms // 1000 - SKEW_S:
            words = f"This was written before question {position} was asked: it is not its answer."
        elif letter.created_at > now_ms() // 1000 + SKEW_S:  # a relay could keep it for a later one
            words = "This is dated ahead of my clock: set yours, and answer again."
        elif self._approvals is not None:
            try:
                await self._approvals.answer(position, allow=allow, by=author_of(letter.author))
                words = f"{'Allowed' if allow else 'Denied'}: {position}"
            except NotFound:
                words = f"No question waits at {position}: it was answered, or its time was up."
        await self._tell(letter.author, words, at_s=letter.created_at)

    # ---- out ----------------------------------------------------------------------------------

    async def _sort_answers(self) -> None:
        """Follow the ledger, and give each reader the answers to what came from her."""
        start = self._first_position()
        while True:
            stop = min(start + _BREATH_EVENTS, self._journal.log.size)
            for event in self._journal.log.events(start, stop):
                self._sort(event)
            start = stop
            if start < self._journal.log.size:
                await asyncio.sleep(0)
                continue
            async for event in self._journal.log.follow(start):
                self._sort(event)
                start = event.position + 1

    def _first_position(self) -> int:
        """Where the oldest answer may be that somebody has not got."""
        entries, turns = self._journal.state.entries, self._journal.turns
        rooms = [
            name.removeprefix("conversation/")
            for name in entries
            if name.startswith(conversation_key(room_name(())))
        ]
        starts = [self._journal.log.size]
        for key, reader in self._readers.items():
            known = delivered(entries, reader.name)
            talked = turns.conversation(reader.name) is not None or any(
                key in (room_of(name, self._roles) or ()) for name in rooms
            )
            if known >= 0 or talked or self._roles[key] is Role.AGENT:
                starts.append(known + 1)
        return min(starts)

    def _sort(self, event: Event) -> None:
        position = event.payload.get("message")
        if event.type != types.MESSAGE_SENT.name or type(position) is not int:
            return
        name = self._journal.log.read(position).payload.get("gateway")
        key = pubkey_of(name) if isinstance(name, str) else None
        reader = None if key is None else self._readers.get(key)
        if reader is None or reader.name != name:
            return
        if event.position > delivered(self._journal.state.entries, name):
            reader.queue.put_nowait((position, event.position))

    async def _bring(self, key: str) -> None:
        """Deliver one reader's answers, in order; keep at one that cannot be delivered yet."""
        reader = self._readers[key]
        while True:
            message, answer = await reader.queue.get()
            reader.at_work = True
            while (why := await self._deliver(reader.name, message, answer)) is not None:
                if why != reader.waits_for:
                    _log.warning("an answer waits", reader=reader.name, why=why)
                reader.waits_for = why
                await asyncio.sleep(self._retry_s)
            reader.at_work, reader.waits_for = False, ""

    async def _deliver(self, name: str, message: int, answer: int) -> str | None:
        """Queue an answer for its reader's relays, then say so. Returns why it has to wait."""
        log = self._journal.log
        try:
            for rumor in answer_rumors(
                self._signer, log.read(message), log.read(answer), self._roles
            ):
                await self._mailbox.send(rumor, event=log.read(answer).cause)
        except (Refused, StoreError) as error:
            return str(error)
        await self._outbox.deliver(name, answer)
        return None

    # ---- questions to the operator --------------------------------------------------------------

    async def _ask_operator(self) -> None:
        """Tell the operator of each call that waits for a yes, those of before a start again."""
        operator = self._operator
        if operator is None or self._approvals is None:
            return
        log = self._journal.log
        start = log.size
        for question in self._approvals.open:
            await self._ask(operator, log.read(question.position))
        async for event in log.follow(start):
            if event.type == types.APPROVAL_ASKED.name:
                await self._ask(operator, event)

    async def _ask(self, operator: str, asked: Event) -> None:
        words = question_words(asked.position, asked.payload["name"], asked.content or {})
        await self._tell(operator, words, at_s=asked.ts_ms // 1000, of=asked)

    async def _tell(self, key: str, words: str, *, at_s: int, of: Event | None = None) -> None:
        """Say something that is no answer of the agent; if it cannot be sent now it is lost."""
        now = min(at_s, now_ms() // 1000)
        try:
            await self._mailbox.send(
                nip17.write(self._signer.pubkey, [key], made_safe(words), now=now),
                event=None if of is None else of.cause,
            )
        except (NoInbox, Refused, StoreError) as error:
            _log.warning("the operator cannot be told", why=str(error))


def _conversation(letter: Letter, name: str) -> str | None:
    """Return where a letter's words belong; None for what is nothing to answer."""
    if letter.envelope is None:
        return name
    payload = letter.envelope.payload
    if isinstance(payload, Report):
        _log.info("a report came, and reports are not answered", author=name)
        return None
    if isinstance(payload, Task) and payload.due_at and payload.due_at * 1000 < now_ms():
        _log.info("a task came after its time", author=name, due_at=payload.due_at)
        return None
    return f"{name}/{letter.envelope.conversation_id}"
