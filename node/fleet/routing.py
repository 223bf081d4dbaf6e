"""The gateway's part of routing: whose a conversation is, and a message kept until it is answered.

`mesh.core.fleet.routing` decides, this does it: over HTTP to the members' own addresses, with the
state in the ledger (`runtime.forwarding`). A message that was taken in is there, parked; whom it is
forwarded to is recorded before it is sent; the first answer ends it. A node that is killed begins
again with what is parked. The messages of one conversation are forwarded one after another, so that
none overtakes another.

Whoever was asked and did not give the answer that was delivered is told so as soon as it is
reached. If it made an answer, too, that is a duplicate: recorded, counted, shown.
"""

import asyncio
import time
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final

import structlog

from ledger.core import types
from ledger.core.errors import TimmyError
from ledger.core.event import Cause, Event
from ledger.log import Log
from mesh.complaints import Complaints
from mesh.core.errors import InvalidEnvelope
from mesh.core.fleet import passing
from mesh.core.fleet.passing import Reply, Request, Settled, Words
from mesh.core.fleet.routing import Action, Forward, Letter, Unanswered, holds, home_of
from mesh.core.nip01 import NostrSigner
from node.fleet.following import Following
from node.fleet.homing import CATCH_UP_SECONDS
from node.fleet.leases import GATEWAY, HOME, having, leases
from node.fleet.majority import TOO_OLD, Majority
from node.fleet.members import FleetNode
from node.fleet.ways import first_answer
from node.open import now_ms
from runtime.core.routed import DUPLICATE
from runtime.core.turns import Message
from runtime.drafts import Drafts
from runtime.forwarding import AnsweredBy, Forwarding
from runtime.recall import words_of

_log = structlog.get_logger("node.fleet.routing")

PLACE: Final = "/fleet/words"
_CONVERSATIONS_MAX: Final = 64
"""Conversations whose messages are forwarded at once; the others wait their turn."""
_LATE_SECONDS: Final = 10.0
"""Beyond what a home waits for its agent: the way there and back."""
_LOOK_EVENTS: Final = 100
"""Newest events of a conversation in which the last answer is looked for."""
_STEP_SECONDS: Final = 0.25
_CLAIM_SECONDS: Final = 30.0
"""For a majority's word on a message of our own: three times what one voter may take."""
_KEPT_LOOK_SECONDS: Final = 1.0


@dataclass(slots=True, kw_only=True)
class Routing:
    """This node as a gateway. `wanted`: node.toml asks for it."""

    fleet: FleetNode
    forwarding: Forwarding
    following: Following
    majority: Majority
    drafts: Drafts
    log: Log
    signer: NostrSigner
    wanted: bool
    _busy: dict[str, bool] = field(default_factory=dict)
    _complaints: Complaints = field(
        default_factory=lambda: Complaints(log=_log, what="a member's reply is none")
    )

    @property
    def on(self) -> bool:
        """Whether messages are routed: node.toml wants it, and the manifest calls us a gateway."""
        return self.wanted and self.log.ledger_id in having(self.fleet, GATEWAY)

    async def elsewhere(self, conversation: str, author: str) -> bool:
        """Whether another member is to answer; if not, what others said is carried over first.

        Also whether this node is to, and not yet: in majority mode, while it has no majority; and
        while a message of before waits, which is not to be overtaken.
        """
        if self._first(conversation) is not None:
            return True
        if not self.on:
            return not self.majority.may_begin()
        home = home_of(
            conversation.encode(), having(self.fleet, HOME), leases(self.fleet),
            now_ms() // 1000, self.fleet.times,
        )  # fmt: skip
        own = self.log.ledger_id
        if home is not None and home != own:
            return True
        if own not in having(self.fleet, HOME):
            return True  # no home lives: the message waits for one
        if not self.majority.may_begin():
            return True  # the message waits for a majority
        await self.following.take_up(conversation, author, knows=(own, 0), wait_s=0)
        return False

    async def kept(self, position: int) -> None:
        """Return once a message is kept back because no majority of the voters is in reach."""
        while not (  # noqa: ASYNC110 - leases begin and end by time
            self.forwarding.message(position) and self.why_kept()
        ):
            await asyncio.sleep(_KEPT_LOOK_SECONDS)

    def why_kept(self) -> str:
        """Why this node's messages wait; empty if they do not, or for one member only."""
        return self.majority.why_kept()

    def value(self) -> dict[str, Any]:
        """How it is, for `timmy status`."""
        count, newest = self.forwarding.duplicates()
        return {
            "on": self.on,
            **self.majority.value(),
            "waiting": len(self.forwarding.parked()),
            "unsettled": len(self.forwarding.unsettled()),
            "duplicates": count,
            "newest": [
                {"message": one.message, "ledger": one.ledger, "position": one.position}
                for one in newest
            ],
        }

    async def run(self) -> None:
        """Forward what is parked, and settle what was answered elsewhere, until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self.following.run())
            group.create_task(self._settle())
            while True:
                size = self.log.size
                for conversation in self._waiting():
                    if conversation not in self._busy and len(self._busy) < _CONVERSATIONS_MAX:
                        self._busy[conversation] = True
                        group.create_task(self._forward_all(conversation))
                with suppress(TimeoutError):
                    async with asyncio.timeout(self.fleet.times.retry_s):
                        await self.log.grown(size)

    def _waiting(self) -> list[str]:
        found = (self.forwarding.message(at) for at in self.forwarding.parked())
        return list(dict.fromkeys(one.conversation for one in found if one is not None))

    async def _forward_all(self, conversation: str) -> None:
        """Bring one message of a conversation after another to its answer."""
        try:
            while (message := self._first(conversation)) is not None:
                await self._forward_one(message)
        except TimmyError as error:  # a full disk, a member's nonsense: begun again, it is kept
            _log.warning("a message waits", conversation=conversation, why=str(error))
            await asyncio.sleep(self.fleet.times.retry_s)
        finally:
            del self._busy[conversation]

    def _first(self, conversation: str) -> Message | None:
        for position in self.forwarding.parked():
            message = self.forwarding.message(position)
            if message is not None and message.conversation == conversation:
                return message
        return None

    # ---- one message ----------------------------------------------------------------------------

    async def _forward_one(self, message: Message) -> None:
        event = self.log.read(message.position)
        letter = Letter(
            conversation=message.conversation.encode(),
            members=self._homes(message),
            taken_s=event.ts_ms // 1000,
            times=self.fleet.times,
        )
        text = words_of(event)
        if text is None:
            await self.forwarding.failed(message.position, "erased")
        while self.forwarding.message(message.position) is not None:
            letter.members = self._homes(message)
            due = deque(letter.tick(now_ms() // 1000, leases(self.fleet)))
            while due:
                due += await self._act(due.popleft(), letter, message, text or "")
            await asyncio.sleep(_STEP_SECONDS)

    def _homes(self, message: Message) -> tuple[bytes, ...]:
        """Who may answer it: this node alone, if it hands nothing on and nobody was asked."""
        alone = self.fleet.membership is None or not self._shared(message)
        return (self.log.ledger_id,) if alone else having(self.fleet, HOME)

    def _shared(self, message: Message) -> bool:
        """Whether another member may have it, or may yet be handed it."""
        return self.on or bool(self.forwarding.asked(message.position))

    async def _act(
        self, action: Action, letter: Letter, message: Message, text: str
    ) -> list[Action]:
        match action:
            case Forward(to=to, through=through) if to != self.log.ledger_id:
                return await self._forward(letter, message, text, to, through)
            case Forward():
                return await self._take(letter, message)
            case Unanswered():
                _log.warning("a message waits for an answer too long", position=message.position)
        return []

    async def _take(self, letter: Letter, message: Message) -> list[Action]:
        """Give a message to this node's own agent; in majority mode with a majority in reach.

        One that another member may have, too, needs the voters' grant besides.
        """
        own, majority, shared = self.log.ledger_id, self.majority, self._shared(message)
        if not majority.may_begin():
            return []
        if majority.on and shared:
            taken_s = self.log.read(message.position).ts_ms // 1000
            try:
                async with asyncio.timeout(_CLAIM_SECONDS):
                    holder = await majority.granted(message.cause.id, taken_s)
            except TimeoutError:
                return []  # asked again: what was granted stays granted
            if holder == b"":
                await self.forwarding.failed(message.position, TOO_OLD)
                return []
            if holder is not None and holder != own:
                return letter.redirected(own, holder, now_ms() // 1000, leases(self.fleet))
        if shared:
            knows = (own, 0)
            await self.following.take_up(
                message.conversation, message.author, knows=knows, wait_s=0
            )
        await self.forwarding.taken(message.position)
        return []

    async def _forward(
        self, letter: Letter, message: Message, text: str, to: bytes, through: bytes | None
    ) -> list[Action]:
        """Hand a message to a member, and again while it works on it.

        Not at once: one that has too much to do, or lies, says in no time that it is not done.
        """
        await self.forwarding.forwarded(message.position, to)
        told = ""
        while self.forwarding.message(message.position) is not None:
            asked = time.monotonic()
            try:
                reply = await self._ask(self._words(message, text, to), message, to, through)
            except InvalidEnvelope as error:
                _log.error("a message cannot be handed on", why=str(error))
                await self.forwarding.failed(message.position, "too_large")
                return []
            now_s, alive = now_ms() // 1000, leases(self.fleet)
            match reply:
                case passing.Answer():
                    await self._answered(message, to, reply)
                    return []
                case passing.Failed(reason=reason):
                    await self.forwarding.failed(message.position, reason)
                    return []
                case passing.Elsewhere(home=home):
                    return letter.redirected(to, bytes.fromhex(home), now_s, alive)
                case passing.Waiting(draft=draft) if draft and draft != told:
                    told = self._show(message.position, told, draft)
                case passing.Waiting() if through is not None or holds(
                    alive, to, now_s, self.fleet.times
                ):
                    pass
                case _:
                    return []
            await asyncio.sleep(max(0.0, asked + _STEP_SECONDS - time.monotonic()))
        return []

    def _show(self, position: int, told: str, draft: str) -> str:
        """Give who watches what is new of a draft; return what was told by now."""
        sink = self.drafts.sink(position)
        if sink is not None:
            if not draft.startswith(told):
                sink.reset()
                told = ""
            sink.add(draft.removeprefix(told))
        return draft

    async def _answered(self, message: Message, by: bytes, answer: passing.Answer) -> None:
        await self.forwarding.answered(
            message.position,
            answer.text,
            AnsweredBy(
                ledger=by,
                position=answer.position,
                id=bytes.fromhex(answer.event),
                size=answer.size,
                root=bytes.fromhex(answer.root),
            ),
        )

    def _words(self, message: Message, text: str, to: bytes) -> Words:
        return Words(
            author=message.author,
            conversation=message.conversation,
            id=message.cause.id.hex(),
            known=self._known(message, to),
            ledger=self.log.ledger_id.hex(),
            position=message.position,
            sent_at=now_ms() // 1000,
            taken_at=self.log.read(message.position).ts_ms // 1000,
            text=text,
            to=to.hex(),
            watched=self.drafts.sink(message.position) is not None,
        )

    def _known(self, message: Message, to: bytes) -> int:
        """How much of our ledger a home should have: up to the last answer, if another gave it."""
        for event in reversed(self.log.stream(message.stream, last=_LOOK_EVENTS)):
            if event.type == types.MESSAGE_SENT.name and event.position < message.position:
                by = event.payload.get("answered_by", {}).get("ledger", self.log.ledger_id)
                return 0 if by == to else event.position + 1
        return 0

    # ---- what was answered twice ----------------------------------------------------------------

    async def _settle(self) -> None:
        """Tell those who were asked in vain, as soon as they are reached, until cancelled."""
        while True:
            for position in self.forwarding.unsettled():
                for ledger in self.forwarding.asked(position):
                    with suppress(TimmyError):  # tried again
                        await self._settle_with(position, ledger)
            await asyncio.sleep(self.fleet.times.retry_s)

    async def _settle_with(self, position: int, ledger: bytes) -> None:
        if not self.fleet.is_member(ledger):
            await self.forwarding.settled(position, ledger, "gone", None)
            return
        if not holds(leases(self.fleet), ledger, now_ms() // 1000, self.fleet.times):
            return
        event = self.log.read(position)
        told = Settled(
            by=self.forwarding.delivered_by(position).hex(),
            id=event.id.hex(),
            sent_at=now_ms() // 1000,
            to=ledger.hex(),
        )
        match await self._ask(told, event, ledger, None):
            case passing.Answer(position=at, event=id_):
                there = Cause(position=at, id=bytes.fromhex(id_), ledger=ledger)
                await self.forwarding.settled(position, ledger, DUPLICATE, there)
                _log.warning("a second answer was made", message=position, by=ledger.hex(), at=at)
            case passing.Withdrawn():
                await self.forwarding.settled(position, ledger, "withdrawn", None)

    # ---- over the wire --------------------------------------------------------------------------

    async def _ask(
        self, request: Request, about: Message | Event, to: bytes, through: bytes | None
    ) -> Reply | None:
        """Send an envelope to a member, through another if it is not reached; check the reply.

        Raises InvalidEnvelope for words that no envelope holds.
        """
        fleet = self.fleet.fleet
        member = None if fleet is None else fleet.manifest.member(to)
        if fleet is None or member is None:
            return None
        conversation = (
            about.conversation if isinstance(about, Message) else about.payload["conversation"]
        )
        name = passing.conversation_id(fleet.fleet_id, conversation)
        data = passing.sign(request, conversation=name, signer=self.signer).encode()
        hop = None if through in (None, self.log.ledger_id) else fleet.manifest.member(through)
        asked = member.nostr  # a home takes a message once, by whichever ways it comes

        async def ask(url: str, seconds: float) -> Reply | None:
            answer = await self.fleet.post(f"{url}{PLACE}", data, seconds)
            if answer is None:
                return None
            try:
                return self._checked(answer, request, name, asked)
            except InvalidEnvelope as error:
                kind = str(error).partition(":")[0]  # behind it are words of the member's
                self._complaints.of(asked.hex(), str(error), kind=kind)
                return None

        within_s = self.fleet.times.retry_s + CATCH_UP_SECONDS + _LATE_SECONDS
        ways = (*member.urls, *(() if hop is None else hop.urls))
        return await first_answer(ask, ways, within_s)

    def _checked(self, data: bytes, request: Request, name: str, key: bytes) -> Reply:
        """Read a reply. Raises InvalidEnvelope for what the member did not say to this."""
        passed = passing.parse(data)
        payload = passed.payload
        same = (passed.conversation_id, payload.id) == (name, request.id)
        own = payload.to == self.log.ledger_id.hex()
        if not same or not own or passed.node != key or isinstance(payload, Words | Settled):
            raise InvalidEnvelope("it is of something else, or another's")
        if isinstance(payload, passing.Answer) and payload.ledger != request.to:
            raise InvalidEnvelope("an answer of another ledger")
        return payload
