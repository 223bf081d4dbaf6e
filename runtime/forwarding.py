"""Messages that wait for an answer of another member of the fleet, on record from end to end.

The gateway's part in the ledger: a message was taken in and parked, whom it was forwarded to, the
first answer, and what became of it elsewhere. A node that is killed at any moment finds all of it
again. The answer is recorded as this node's own are, in the same commit that ends the message's
turn, so whatever delivers answers (the API, webhooks' callers, Nostr) delivers this one.

An answer of another member passes the output screen here too: a member may run an older one, or be
somebody else's by now. Not covered: who is asked, and how; that is the node's.
"""

from dataclasses import dataclass
from typing import Any

from ledger.core import types
from ledger.core.event import Cause, Draft, Event
from runtime import answers
from runtime.core import calls, routed
from runtime.core.agenda import HELD, HOLD, SCREEN_CRISIS, parked_key
from runtime.core.crisis import ANSWER
from runtime.core.turns import Message
from runtime.journal import Journal
from runtime.screening import screen_answer
from runtime.service import APOLOGIES


@dataclass(frozen=True, slots=True, kw_only=True)
class AnsweredBy:
    """Where an answer is: event `id` at `position` of `ledger`; the head it was told with."""

    ledger: bytes
    position: int
    id: bytes
    size: int
    root: bytes

    def to_value(self) -> dict[str, Any]:
        """What of it goes into a payload."""
        return {
            "ledger": self.ledger,
            "position": self.position,
            "id": self.id,
            "size": self.size,
            "root": self.root,
        }


class Forwarding:
    """The only writer of `route.*`."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    def parked(self) -> list[int]:
        """Messages that wait for another member's answer, oldest first."""
        return routed.routed(self._journal.state.entries)

    def message(self, position: int) -> Message | None:
        """A message that waits; None if it has its answer, or this node answers it."""
        value = self._journal.state.entries.get(parked_key(position))
        if value is None:
            return None
        id_, stream, conversation, author, held, _ = value
        return Message(
            cause=Cause(position=position, id=id_),
            stream=stream,
            conversation=conversation,
            author=author,
            held=held,
        )

    def unsettled(self) -> list[int]:
        """Answered messages of which somebody who was asked is still to be told."""
        return routed.unsettled(self._journal.state.entries)

    def asked(self, position: int) -> list[bytes]:
        """Who was asked about a message, and is still to be settled with."""
        return routed.asked(self._journal.state.entries, position)

    def delivered_by(self, position: int) -> bytes:
        """Whose answer to an unsettled message was delivered; this node's own ledger if it was."""
        found = routed.delivered_by(self._journal.state.entries, position)
        return found or self._journal.log.ledger_id

    def duplicates(self) -> tuple[int, list[routed.Duplicate]]:
        """How many second answers there were, and the newest."""
        return routed.duplicates(self._journal.state.entries)

    async def forwarded(self, position: int, to: bytes) -> None:
        """Record that a member is asked, before it is. Known: nothing is recorded twice."""
        async with self._journal.deciding:
            message = self.message(position)
            if message is not None and to not in self.asked(position):
                await self._append(types.ROUTE_FORWARDED.name, message, {"to": to})

    async def taken(self, position: int) -> None:
        """Give a message to this node's own agent."""
        async with self._journal.deciding:
            message = self.message(position)
            if message is not None:
                told = {"conversation": message.conversation}
                await self._append(types.ROUTE_TAKEN.name, message, told)
                await answers.settle(self._journal)

    async def answered(self, position: int, text: str, by: AnsweredBy) -> bool:
        """Record another member's answer; False if there is one already."""
        rule = await screen_answer(text)
        async with self._journal.deciding:
            message = self.message(position)
            if message is None:
                return False
            first: list[Draft] = []
            outcome = "answered"
            if rule is not None:
                first = [answers.decided(message, HOLD, screen="output", rule=rule)]
                text, outcome = ANSWER, "replaced"
            elif self._journal.turns.held(message.author):
                first = [answers.decided(message, HELD, screen="input", rule=SCREEN_CRISIS)]
                text, outcome = ANSWER, "held"
            turn = self._turn(message)
            sent = answers.sent(message, turn, text, {"answered_by": by.to_value()})
            there = Cause(position=by.position, id=by.id, ledger=by.ledger)
            await self._journal.append(
                *first,
                _with_cause(sent, there),
                answers.finished(message, turn, outcome, None),
            )
            await answers.settle(self._journal)
        return True

    async def failed(self, position: int, reason: str) -> None:
        """End the turn of a message to which its home found no answer, with plain words."""
        async with self._journal.deciding:
            message = self.message(position)
            if message is not None:
                turn = self._turn(message)
                await self._journal.append(
                    answers.sent(message, turn, APOLOGIES["failed"], {"turn": turn}),
                    answers.finished(message, turn, "failed", reason),
                )

    async def stop(self, *, conversation: str, author: str, outcome: str) -> list[int]:
        """End what an author waits for in a conversation; return the positions of the messages.

        `outcome` is one of `runtime.service.STOPPED`. Who was asked is told like one whose answer
        came too late.
        """
        stopped = []
        async with self._journal.deciding:
            for position in self.parked():
                message = self.message(position)
                if message is None or (message.conversation, message.author) != (
                    conversation,
                    author,
                ):
                    continue
                turn = self._turn(message)
                await self._journal.append(
                    answers.sent(message, turn, APOLOGIES[outcome], {"turn": turn}),
                    answers.finished(message, turn, outcome, outcome),
                )
                stopped.append(position)
        return stopped

    async def settled(
        self, position: int, ledger: bytes, outcome: str, there: Cause | None
    ) -> Event | None:
        """Record what became of an answered message at a member that was asked too.

        `outcome` is one of `runtime.core.routed.OUTCOMES`, `there` its second answer, if it made
        one. None if that is known.
        """
        async with self._journal.deciding:
            if position not in self.unsettled() or ledger not in self.asked(position):
                return None
            message = self._journal.log.read(position)
            facts: dict[str, Any] = {"message": position, "ledger": ledger, "outcome": outcome}
            causes = [message.cause]
            if there is not None:
                facts |= {"position": there.position, "id": there.id}
                causes.append(there)
            [event] = await self._journal.append(
                Draft(
                    type=types.ROUTE_SETTLED.name,
                    stream=message.stream,
                    payload=facts,
                    causes=tuple(causes),
                )
            )
        return event

    def _turn(self, message: Message) -> bytes:
        return calls.turn_id(self._journal.log.ledger_id, message.cause.id)

    async def _append(self, kind: str, message: Message, facts: dict[str, Any]) -> None:
        await self._journal.append(
            Draft(
                type=kind,
                stream=message.stream,
                payload={"message": message.position, **facts},
                causes=(message.cause,),
            )
        )


def _with_cause(draft: Draft, cause: Cause) -> Draft:
    return Draft(
        type=draft.type,
        stream=draft.stream,
        payload=draft.payload,
        content=draft.content,
        causes=(*draft.causes, cause),
        idempotency_key=draft.idempotency_key,
    )
