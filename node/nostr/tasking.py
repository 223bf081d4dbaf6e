"""Tasks that this agent's operator gives to other agents, and what they report of them.

A task is an envelope (docs/spec/mesh.md), sealed for each agent that it is for: one conversation,
however many they are. It is an event first (`task.given`), then it is queued for the relays that
its receivers name; a node that dies between the two queues it at its next start, and queueing it
twice is queueing it once: the same event makes the same wraps. What comes back in that conversation
from one who was asked is an event, too (`task.reported`), once, and nobody answers it: two agents
do not talk for ever.

Not covered: whether a report is true; tasks that the agent itself gives (it has no such tool).
"""

import hashlib
import secrets
from collections.abc import Mapping, Sequence
from typing import Final

import structlog

from ledger.core import types
from ledger.core.errors import IdempotencyConflict
from ledger.core.event import Cause, Draft, Event
from ledger.log import Log
from mesh.core import envelope
from mesh.core.envelope import Report, Task
from mesh.core.errors import InvalidEnvelope, Refused, StoreError
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
_ID_BYTES: Final = 16

_log = structlog.get_logger("nostr.tasking")


class Tasking:
    """The only writer of `task.*`. `roles` maps public keys in hex to what they may do."""

    def __init__(
        self, mailbox: Mailbox, signer: NostrSigner, log: Log, *, roles: Mapping[str, Role]
    ) -> None:
        self._mailbox = mailbox
        self._signer = signer
        self._ledger = log
        self._roles = roles

    async def give(self, to: Sequence[str], text: str, *, due_at: int = 0) -> Event:
        """Give a task to agents, by public keys in hex; durable when this returns.

        `due_at`: Unix seconds after which it is of no use, 0 for none. Raises Refused for receivers
        that are no agents of ours or name no relays, InvalidEnvelope for words that do not fit.
        """
        receivers = tuple(dict.fromkeys(to))
        await self._check(receivers, due_at)
        conversation, id_ = (secrets.token_hex(_ID_BYTES) for _ in range(2))
        for key in receivers:  # what no envelope holds is refused before it is on record
            self._envelope(key, text, conversation, id_, due_at, now_ms() // 1000)
        [event] = await self._ledger.append(
            Draft(
                type=types.TASK_GIVEN.name,
                stream=types.TASK_STREAM,
                payload={
                    "to": list(receivers),
                    "conversation": conversation,
                    "id": id_,
                    "due_at": due_at,
                },
                content={"text": text},
            )
        )
        await self._send(event)
        return event

    def is_agent(self, key: str) -> bool:
        """Whether tasks go to and come from an agent, by its key in hex."""
        return self._roles.get(key) is Role.AGENT

    async def _check(self, receivers: Sequence[str], due_at: int) -> None:
        if not 1 <= len(receivers) <= RECEIVERS_MAX:
            raise Refused(f"{len(receivers)} agents are named, 1 to {RECEIVERS_MAX}")
        if due_at and due_at * 1000 <= now_ms():
            raise Refused("the task would be of no use already", hint="--due is seconds from now")
        for key in receivers:
            if not self.is_agent(key):
                raise Refused(
                    f"{author_of(key)} is no agent of this node, and its report would be nobody's",
                    hint="name it in gateways.nostr.agents",
                )
            if not await self._mailbox.inbox_of(key):
                raise NoInbox(f"{author_of(key)} names no relays for sealed messages (kind 10050)")

    def _envelope(
        self, key: str, text: str, conversation: str, id_: str, due_at: int, now_s: int
    ) -> envelope.Envelope:
        task = Task(id=id_, sent_at=now_s, text=text, to=key, due_at=due_at)
        return envelope.sign(task, conversation_id=conversation, signer=self._signer, aux=bytes(32))

    async def _send(self, event: Event) -> None:
        """Queue a task for everybody it is for. Raises Refused and StoreError of the pool."""
        text, said = str((event.content or {}).get("text") or ""), event.payload
        if not text:
            return  # erased
        now_s = event.ts_ms // 1000
        for key in said["to"]:
            signed = self._envelope(
                key, text, said["conversation"], said["id"], said["due_at"], now_s
            )
            rumor = envelope.carry(signed, self._mailbox.pubkey, now=now_s)
            await self._mailbox.send(rumor, event=event.cause)

    async def resend(self) -> None:
        """Queue again what may not have been: at a start. Who had it knows it by its id."""
        events = self.tasks(RESEND_MAX)
        reported = {one.payload["task"] for one in events if one.type == types.TASK_REPORTED.name}
        now_s = now_ms() // 1000
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


def report_key(letter: Letter) -> bytes:
    """One report is recorded once, however often relays bring it."""
    return hashlib.sha256(b"timmy/nostr/report/v1/" + key_of(letter.id)).digest()[:_ID_BYTES]
