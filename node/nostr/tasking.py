"""Tasks that this agent's operator gives to other agents, and what they report of them.

A task is an envelope (docs/spec/mesh.md), sealed for each agent that it is for: one conversation,
however many they are. It is an event first (`task.given`), then it is queued for the relays that
its receivers name; a node that dies between the two queues it at its next start, and queueing it
twice is queueing it once: the same event makes the same wraps. What comes back in that conversation
from one who was asked is an event, too (`task.reported`), once, and nobody answers it: two agents
do not talk for ever. A task for whoever has time is kept without a receiver until it is handed to
one (node/fleet/kept_tasks.py): a second `task.given` with the same id, which there is only once.

Not covered: whether a report is true; tasks that the agent itself gives (it has no such tool).
"""

import hashlib
import secrets
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import structlog

from ledger.core import types
from ledger.core.errors import IdempotencyConflict
from ledger.core.event import Cause, Draft, Event
from ledger.log import Log
from mesh.core import envelope
from mesh.core.envelope import Report, Task
from mesh.core.errors import InvalidEnvelope, Refused, StoreError
from mesh.core.fleet.subjects import check_token
from mesh.core.nip01 import NostrSigner
from mesh.sealed.mailbox import Letter, Mailbox, NoInbox
from node.nostr.letters import author_of, key_of
from node.nostr.roles import Role
from node.open import now_ms

RECEIVERS_MAX: Final = 10
"""Of one task: as many as a room of NIP-17 has in practice; each costs a wrap and a lookup."""
RESEND_MAX: Final = 100
"""Of the newest tasks, those without a report are queued again at a start."""
_LOOK_MAX: Final = 1000
"""Newest events about tasks in which the one that a report is about is looked for."""
REPORTS_MAX: Final = 16
"""Of one agent about one task: a report and some corrections, and no ledger filled with them."""
KEPT_MAX: Final = 50
"""Tasks that wait for somebody: more are a plan, not tasks for who has time."""
KEPT_SECONDS: Final = 24 * 3600
"""As long as a bus keeps its word (mesh/fleet/bus.py `Kept`)."""
_KEPT: Final = ("able", "conversation", "id", "due_at")
"""Of the payload of a task that waits: what it has still when somebody has it."""
_ID_BYTES: Final = 16

_log = structlog.get_logger("nostr.tasking")


class Tasking:
    """The only writer of `task.*`. `roles` maps public keys in hex to what they may do."""

    def __init__(
        self,
        mailbox: Mailbox,
        signer: NostrSigner,
        log: Log,
        *,
        roles: Mapping[str, Role],
        clock: Callable[[], int] = now_ms,
    ) -> None:
        self._mailbox = mailbox
        self._signer = signer
        self._ledger = log
        self._roles = roles
        self._now_ms = clock

    async def give(self, to: Sequence[str], text: str, *, due_at: int = 0) -> Event:
        """Give a task to agents, by public keys in hex; durable when this returns.

        `due_at`: Unix seconds after which it is of no use, 0 for none. Raises Refused for receivers
        that are no agents of ours or name no relays, InvalidEnvelope for words that do not fit.
        """
        receivers = tuple(dict.fromkeys(to))
        await self._check(receivers, due_at)
        named = self._names(due_at)
        for key in receivers:  # what no envelope holds is refused before it is on record
            self._envelope(key, text, named, self._now_ms() // 1000)
        event = await self._record({"to": list(receivers), **named}, text)
        await self._send(event)
        return event

    async def keep(self, word: str, text: str, *, due_at: int = 0) -> Event:
        """Record a task that has no receiver yet; durable when this returns. Raises as `give`.

        `word`: what whoever is to have it must be able to do, or "any". `hand` gives it to one.
        """
        self._check_due(due_at)
        check_token(word)
        if len(self.kept()) >= KEPT_MAX:
            raise Refused(f"{KEPT_MAX} tasks wait already", hint="timmy mesh tasks shows them")
        named = self._names(due_at)
        self._envelope(self._mailbox.pubkey, text, named, self._now_ms() // 1000)
        return await self._record({"to": [], "able": word, **named}, text)

    def kept(self) -> list[Event]:
        """Return the tasks that wait for somebody: not handed, too old, too late or erased."""
        now, given = (
            self._now_ms(),
            [e for e in self.tasks(_LOOK_MAX) if e.type == types.TASK_GIVEN.name],
        )
        handed = {event.payload["id"] for event in given if event.payload["to"]}
        return [
            event
            for event in given
            if event.payload["id"] not in handed
            and event.ts_ms > now - KEPT_SECONDS * 1000
            and not 0 < event.payload["due_at"] * 1000 <= now
            and _words(event)
        ]

    async def hand(self, id_: str, key: str) -> None:
        """Give a task that waits to an agent, by its key in hex: from then on it is that agent's.

        Nothing is done if it does not wait any more. Raises Refused as `give` does, and StoreError
        of the pool: then it is on record, and sent at the next start.
        """
        for found in self.kept():
            if found.payload["id"] == id_:
                await self._check((key,), found.payload["due_at"])
                await self._hand(found, key)

    async def _hand(self, found: Event, key: str) -> None:
        try:
            event = await self._record(
                {name: found.payload[name] for name in _KEPT} | {"to": [key]},
                _words(found),
                causes=(found.cause,),
                idempotency_key=_handed_key(found.payload["id"]),
            )
        except IdempotencyConflict:  # another was quicker
            return
        await self._send(event)

    def _check_due(self, due_at: int) -> None:
        if due_at and due_at * 1000 <= self._now_ms():
            raise Refused("the task would be of no use already", hint="--due is seconds from now")

    def _names(self, due_at: int) -> dict[str, str | int]:
        """What a new task is called, and until when it is of use."""
        conversation, id_ = (secrets.token_hex(_ID_BYTES) for _ in range(2))
        return {"conversation": conversation, "id": id_, "due_at": due_at}

    async def _record(self, payload: dict[str, Any], text: str, **more: Any) -> Event:
        kind, stream = types.TASK_GIVEN.name, types.TASK_STREAM
        draft = Draft(type=kind, stream=stream, payload=payload, content={"text": text}, **more)
        [event] = await self._ledger.append(draft)
        return event

    def is_agent(self, key: str) -> bool:
        """Whether tasks go to and come from an agent, by its key in hex."""
        return self._roles.get(key) is Role.AGENT

    async def _check(self, receivers: Sequence[str], due_at: int) -> None:
        if not 1 <= len(receivers) <= RECEIVERS_MAX:
            raise Refused(f"{len(receivers)} agents are named, 1 to {RECEIVERS_MAX}")
        self._check_due(due_at)
        for key in receivers:
            if not self.is_agent(key):
                raise Refused(
                    f"{author_of(key)} is no agent of this node, and its report would be nobody's",
                    hint="name it in gateways.nostr.agents",
                )
            if not await self._mailbox.inbox_of(key):
                raise NoInbox(f"{author_of(key)} names no relays for sealed messages (kind 10050)")

    def _envelope(
        self, key: str, text: str, named: Mapping[str, Any], now_s: int
    ) -> envelope.Envelope:
        """`named`: conversation, id and due_at of the task."""
        task = Task(id=named["id"], sent_at=now_s, text=text, to=key, due_at=named["due_at"])
        conversation = named["conversation"]
        return envelope.sign(task, conversation_id=conversation, signer=self._signer, aux=bytes(32))

    async def _send(self, event: Event) -> None:
        """Queue a task for everybody it is for. Raises Refused and StoreError of the pool."""
        text = _words(event)
        if not text:
            return  # erased
        now_s = event.ts_ms // 1000
        for key in event.payload["to"]:
            signed = self._envelope(key, text, event.payload, now_s)
            rumor = envelope.carry(signed, self._mailbox.pubkey, now=now_s)
            await self._mailbox.send(rumor, event=event.cause)

    async def resend(self) -> None:
        """Queue again what may not have been: at a start. Who had it knows it by its id."""
        events = self.tasks(RESEND_MAX)
        reported = {one.payload["task"] for one in events if one.type == types.TASK_REPORTED.name}
        now_s = self._now_ms() // 1000
        for one in events:
            late = one.payload.get("due_at", 0) and one.payload["due_at"] < now_s
            if one.type != types.TASK_GIVEN.name or one.position in reported or late:
                continue
            try:
                await self._send(one)
            except (Refused, StoreError, InvalidEnvelope) as error:
                _log.warning("a task waits for the next start", task=one.position, why=str(error))

    async def heard(self, letter: Letter) -> bool:
        """Record a report of one who was asked; False for any other.

        More than REPORTS_MAX of one agent about one task are taken, and not recorded.
        """
        found = letter.envelope
        if found is None or not isinstance(found.payload, Report):
            return False
        task = self._task(found.conversation_id, letter.author)
        if task is None:
            return False
        if self._reports(task, letter.author) >= REPORTS_MAX:
            _log.warning("a report too many", task=task.position, author=author_of(letter.author))
            return True
        try:
            await self._ledger.append(
                Draft(
                    type=types.TASK_REPORTED.name,
                    stream=types.TASK_STREAM,
                    payload={
                        "task": task.position,
                        "author": author_of(letter.author),
                        "outcome": str(found.payload.outcome),
                    },
                    content={"text": letter.text},
                    causes=(Cause(position=task.position, id=task.id),),
                    idempotency_key=report_key(letter),
                )
            )
        except IdempotencyConflict:  # one id and other words: the first ones stand
            _log.warning("a report that says something else", author=author_of(letter.author))
        return True

    def _task(self, conversation: str, author: str) -> Event | None:
        for one in reversed(self.tasks(_LOOK_MAX)):
            given = one.type == types.TASK_GIVEN.name
            if given and one.payload["conversation"] == conversation:
                return one if author in one.payload["to"] else None
        return None

    def _reports(self, task: Event, author: str) -> int:
        """How often one has reported of a task already."""
        name = author_of(author)
        return sum(
            one.type == types.TASK_REPORTED.name
            and (one.payload["task"], one.payload["author"]) == (task.position, name)
            for one in self.tasks(_LOOK_MAX)
        )

    def tasks(self, last: int) -> list[Event]:
        """Return the newest events about tasks, oldest first."""
        return self._ledger.stream(types.TASK_STREAM, last=last)


def _words(event: Event) -> str:
    """What a task asks; "" if that was erased."""
    return str((event.content or {}).get("text") or "")


def _handed_key(id_: str) -> bytes:
    """A task that waited is handed once, whoever asks for it and however often."""
    return hashlib.sha256(b"timmy/nostr/handed/v1/" + id_.encode()).digest()[:_ID_BYTES]


def report_key(letter: Letter) -> bytes:
    """One report is recorded once, however often relays bring it."""
    return hashlib.sha256(b"timmy/nostr/report/v1/" + key_of(letter.id)).digest()[:_ID_BYTES]
