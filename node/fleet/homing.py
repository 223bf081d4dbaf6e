"""The home of a conversation: takes messages that a gateway of its fleet hands on, and answers.

A message is taken once, whatever is sent again: its key in the ledger is made of its name in the
fleet. The answer is this node's own, made and screened as any, and given as often as it is asked
for, with its place in the ledger and the newest head. A message of which another member is the
home, as far as is known here, is not taken: that one is named. What is addressed to another member
is brought to it and its answer brought back, unread: the one who asks does not reach it. It is
brought on once: who names a home reaches it, so a second bearer would mean that addresses lead
elsewhere, and two of those that lead to each other would hand it to and fro for good.

Only members that the manifest calls gateways are listened to. Not covered: whether a gateway tells
the truth about who said what; a fleet trusts its gateways with that.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Final

import structlog

from ledger.core.checkpoint import SignedCheckpoint
from ledger.core.event import Event
from ledger.log import Log
from mesh.core.errors import InvalidEnvelope, NotMember, Refused
from mesh.core.fleet import passing
from mesh.core.fleet.manifest import Member
from mesh.core.fleet.passing import Passed, Reply, Settled, Words
from mesh.core.fleet.routing import redirect
from mesh.core.nip01 import NostrSigner
from node.agent.hosts import Hosts
from node.fleet.following import Following
from node.fleet.growing import Growing
from node.fleet.leases import GATEWAY, HOME, having, leases
from node.fleet.majority import TOO_OLD, Majority
from node.fleet.members import FleetNode
from node.fleet.ways import first_answer
from node.open import now_ms
from runtime import answers
from runtime.answers import ELSEWHERE
from runtime.core import calls
from runtime.core.calls import gateway_key
from runtime.core.carrying import passed_key
from runtime.core.errors import NoAnswer
from runtime.gateway import Gateway, PassedBy
from runtime.journal import Journal
from runtime.recall import words_of

_log = structlog.get_logger("node.fleet.homing")

CATCH_UP_SECONDS: Final = 10.0
"""For what was said elsewhere: a head is signed within a second, and copied in another."""
HOPS_MAX: Final = 1
"""An envelope goes through one other member at the most."""
_WAITING_MAX: Final = 256
"""Requests that wait for an answer at once; who comes beyond is told to ask again."""
_WITHDRAWN_MAX: Final = 1000
"""Names of messages that were settled before they came: what was under way when a link was cut."""


@dataclass(slots=True)
class _Draft:
    """What of an answer is there before it is, and why there will be none."""

    text: str = ""
    failure: NoAnswer | None = None


@dataclass(slots=True, kw_only=True)
class Homing:
    """This node as a home. `head` signs what there is and returns the newest head."""

    fleet: FleetNode
    following: Following
    majority: Majority
    growing: Growing
    gateway: Gateway
    host: Hosts
    journal: Journal
    log: Log
    signer: NostrSigner
    head: Callable[[], Awaitable[SignedCheckpoint]]
    _waiting: int = 0
    _withdrawn: deque[str] = field(default_factory=lambda: deque(maxlen=_WITHDRAWN_MAX))

    async def asked(self, data: bytes, *, hops: int = 0) -> bytes:
        """Answer one envelope of a gateway with another. `hops`: how often it was brought on.

        Raises InvalidEnvelope, NotMember, Refused.
        """
        passed = passing.parse(data)
        sender = self._sender(passed)
        payload = passed.payload
        passing.check_fresh(payload, now_ms() // 1000)
        if payload.to != self.log.ledger_id.hex():
            if hops >= HOPS_MAX:
                raise Refused("it was brought on once, and is not for this node: see its address")
            return await self._bring(payload, data, hops + 1)
        if isinstance(payload, Words):
            reply = await self._words(passed, payload, sender)
        elif isinstance(payload, Settled):
            reply = await self._settled(payload, sender)
        else:
            raise InvalidEnvelope("an answer, and nothing was asked")
        return passing.sign(reply, conversation=passed.conversation_id, signer=self.signer).encode()

    def _sender(self, passed: Passed) -> Member:
        members = () if self.fleet.fleet is None else self.fleet.fleet.manifest.members
        for one in members:
            if one.nostr == passed.node and GATEWAY in one.roles:
                return one
        raise NotMember(f"{passed.node_id} is no gateway of this fleet")

    async def _bring(self, payload: passing.Payload, data: bytes, hops: int) -> bytes:
        """Bring an envelope to the member that it is for, and its answer back."""
        known = None if self.fleet.fleet is None else self.fleet.fleet.manifest
        member = None if known is None else known.member(bytes.fromhex(payload.to))
        if member is not None:
            place, within_s = f"/fleet/words?hops={hops}", self._wait_s + CATCH_UP_SECONDS

            async def ask(url: str, seconds: float) -> bytes | None:
                return await self.fleet.post(url + place, data, seconds)

            if (answer := await first_answer(ask, member.urls, within_s)) is not None:
                return answer
        raise Refused("the member that it is for is not reached from here, either")

    @property
    def _wait_s(self) -> int:
        return self.fleet.times.retry_s

    # ---- words ----------------------------------------------------------------------------------

    async def _words(self, passed: Passed, words: Words, sender: Member) -> Reply:
        fleet = self.fleet.fleet
        if fleet is None or words.ledger != sender.ledger.hex():
            raise InvalidEnvelope("a gateway hands on what is in its own ledger")
        if passed.conversation_id != passing.conversation_id(fleet.fleet_id, words.conversation):
            raise InvalidEnvelope("the conversation's id is not that of its name in this fleet")
        id_ = bytes.fromhex(words.id)
        if words.id in self._withdrawn:
            return passing.Withdrawn(**self._to(words, sender))
        known = self.log.find(gateway_key(passed_key(id_)))
        if known is None:
            home = self._home(words.conversation)
            if home is not None:
                return passing.Elsewhere(home=home.hex(), **self._to(words, sender))
            if not await self.majority.term_begins(self._wait_s):
                return passing.Waiting(draft="", **self._to(words, sender))
            known = await self._take(words, sender)
        return await self._answer(known, words, sender)

    def _home(self, conversation: str) -> bytes | None:
        """Another member, if one is the home. Raises Refused if this node is none."""
        homes = having(self.fleet, HOME)
        if self.log.ledger_id not in homes:
            raise Refused("this node is no home in its fleet")
        return redirect(
            conversation.encode(), self.log.ledger_id, homes, leases(self.fleet),
            now_ms() // 1000, self.fleet.times,
        )  # fmt: skip

    async def _take(self, words: Words, sender: Member) -> Event:
        causes = await self.following.take_up(
            words.conversation,
            words.author,
            knows=(sender.ledger, words.known),
            wait_s=CATCH_UP_SECONDS,
        )
        return await self.gateway.receive(
            words.text,
            conversation=words.conversation,
            author=words.author,
            gateway=f"fleet/{sender.ledger.hex()}",
            idempotency_key=passed_key(bytes.fromhex(words.id)),
            passed_by=PassedBy(
                ledger=sender.ledger,
                position=words.position,
                id=bytes.fromhex(words.id),
                taken_at=words.taken_at,
            ),
            causes=causes,
        )

    async def _answer(self, message: Event, asked: Words | Settled, sender: Member) -> Reply:
        """The answer, or that it is yet to be made; waits for it a little."""
        to = self._to(asked, sender)
        if self._waiting >= _WAITING_MAX:
            return passing.Waiting(draft="", **to)
        self._waiting += 1
        draft = _Draft()
        try:
            answer = await self._made(message, asked, draft)
        except TimeoutError:
            return passing.Waiting(draft=draft.text, **to)
        except NoAnswer as error:
            _log.info("a message of the fleet has no answer", why=str(error))
            return self._unanswered(message, to)
        finally:
            self._waiting -= 1
        text = words_of(answer)
        if not text:
            return passing.Failed(reason="erased", **to)
        head = await self.head()
        return passing.Answer(
            event=answer.id.hex(),
            ledger=self.log.ledger_id.hex(),
            position=answer.position,
            root=head.root.hex(),
            size=head.size,
            text=text,
            **to,
        )

    async def _made(self, message: Event, asked: Words | Settled, draft: "_Draft") -> Event:
        """Wait for the answer; less long if it is watched and grows, which `draft` has then.

        Raises NoAnswer, and TimeoutError if it is yet to be made.
        """
        at, watched = message.position, isinstance(asked, Words) and asked.watched
        if watched:
            self.growing.watch(at)
        async with asyncio.timeout(self._wait_s) as limit, asyncio.TaskGroup() as group:
            telling = group.create_task(self._tell(at, draft, limit)) if watched else None
            try:
                answer = await self.host.answer_to(at)
            except NoAnswer as error:
                self.growing.done(at)
                draft.failure = error
            else:
                self.growing.done(at)
            finally:
                if telling is not None:
                    telling.cancel()
        if draft.failure is not None:  # not raised in a group, which would wrap it
            raise draft.failure
        return answer

    async def _tell(self, position: int, draft: "_Draft", limit: asyncio.Timeout) -> None:
        draft.text = await self.growing.more(position)
        limit.reschedule(asyncio.get_running_loop().time())

    def _unanswered(self, message: Event, to: dict[str, Any]) -> Reply:
        """What is said of a turn that ended without an answer."""
        turn = calls.turn_id(self.log.ledger_id, message.id)
        end = self.log.find(calls.step_key(turn, 0, "finished"))
        reason = None if end is None else end.payload["reason"]
        if end is None or end.payload["outcome"] != ELSEWHERE:
            return passing.Failed(reason="no_answer", **to)
        if reason is None:
            return passing.Withdrawn(**to)
        if reason == TOO_OLD:
            return passing.Failed(reason=reason, **to)
        return passing.Elsewhere(home=reason, **to)

    # ---- what another member answered -----------------------------------------------------------

    async def _settled(self, settled: Settled, sender: Member) -> Reply:
        """Another member's answer was delivered: end the turn here, or say what it gave."""
        message = self.log.find(gateway_key(passed_key(bytes.fromhex(settled.id))))
        to = self._to(settled, sender)
        if message is None:
            self._withdrawn.append(settled.id)
            return passing.Withdrawn(**to)
        if message.payload.get("passed_by", {}).get("ledger") != sender.ledger:
            raise Refused("another gateway handed that message on")
        async with self.journal.deciding:
            pending = self.journal.turns.pending.get(message.position)
            if pending is not None:
                turn = calls.turn_id(self.log.ledger_id, pending.cause.id)
                await self.journal.append(answers.finished(pending, turn, ELSEWHERE, None))
                return passing.Withdrawn(**to)
        reply = await self._answer(message, settled, sender)
        ended = isinstance(reply, passing.Failed | passing.Elsewhere)
        return passing.Withdrawn(**to) if ended else reply

    def _to(self, asked: Words | Settled, sender: Member) -> dict[str, Any]:
        """What every reply to this has."""
        return {"id": asked.id, "sent_at": now_ms() // 1000, "to": sender.ledger.hex()}
