"""Questions to the operator about calls of tools: asked, answered, or ended by the clock with no.

A question is an event, so it is seen wherever the operator looks, and outlives a restart with the
deadline that it had. If it would be another by then, since a path leads elsewhere or the rules are
others, it is answered with no: a yes is to what was shown. Who may answer is the API's to say (the
operator's token); a tool and the agent process reach neither API nor token. Nothing but an answer
of yes makes a call.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

from ledger.core import types
from ledger.core.errors import NotFound
from ledger.core.event import Cause, Draft, Event
from runtime.core import calls
from runtime.core.approving import Question, questions
from runtime.journal import Journal
from runtime.steps import Asked

OPERATOR: Final = "operator"
ASKED_CHARS_MAX: Final = 4_000
"""Of the arguments, in a question: two screens. All of them are in `tool.requested`."""
DEADLINE: Final = "deadline"
RULE: Final = "rule"
"""Who answers where the question would be another now."""
NOBODY: Final = "nobody"
"""Who answers where nobody is asked: in a replay."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What was said to a question, and who said it."""

    allow: bool
    by: str
    cause: Cause | None = None
    """The event that says so; None if nobody was asked."""


class Approvals:
    """The questions of one node. `clock` gives milliseconds since 1970."""

    def __init__(self, journal: Journal, *, deadline_s: float, clock: Callable[[], int]) -> None:
        self._journal = journal
        self._deadline_s = deadline_s
        self._clock = clock
        self._waiting: dict[int, asyncio.Event] = {}

    @property
    def open(self) -> list[Question]:
        """What waits for an answer, oldest first; not what was asked as its turn ended."""
        pending = self._journal.turns.pending
        found = questions(self._journal.state.entries)
        return [question for question in found if question.message in pending]

    async def ask(
        self, asked: Asked, requested: Event, *, call: str, why: str, arguments: str
    ) -> Answer:
        """Ask once, however often the step is made; return what was said, at the deadline no.

        `requested` asked for the call. `call` is what the rules see of it, a path for example;
        `arguments` all that it would do.
        """
        words = {
            "text": call,
            "why": why,
            "arguments": arguments[:ASKED_CHARS_MAX],
            "left_out": max(0, len(arguments) - ASKED_CHARS_MAX),
        }
        event = self._journal.log.find(asked.key("approval"))
        if event is None:
            event = await self._put(asked, requested, words)
        elif event.content != words:  # or they were erased, and nobody knows what was shown
            with suppress(NotFound):  # it was answered, or its turn is over
                await self.answer(event.position, allow=False, by=RULE)
            return Answer(allow=False, by=RULE)
        return await self._answer_to(event)

    async def answer(self, position: int, *, allow: bool, by: str = OPERATOR) -> Event:
        """Answer an open question. Raises NotFound for one that is none."""
        async with self._journal.deciding:
            question = next((q for q in self.open if q.position == position), None)
            if question is None:
                raise NotFound(
                    f"no question waits at {position}", hint="timmy approvals lists those that do"
                )
            asked = self._journal.log.read(position)
            [event] = await self._journal.append(
                Draft(
                    type=types.APPROVAL_ANSWERED.name,
                    stream=asked.stream,
                    payload={"approval": position, "allow": allow, "by": by},
                    causes=(asked.cause,),
                    idempotency_key=_key(asked),
                )
            )
        if (waiting := self._waiting.get(position)) is not None:
            waiting.set()
        return event

    async def _put(self, asked: Asked, requested: Event, words: dict[str, Any]) -> Event:
        message = asked.message
        [event] = await self._journal.append(
            Draft(
                type=types.APPROVAL_ASKED.name,
                stream=message.stream,
                payload=asked.facts(
                    name=requested.payload["name"],
                    message=message.position,
                    conversation=message.conversation,
                    author=message.author,
                    deadline_ms=self._clock() + round(self._deadline_s * 1000),
                ),
                content=words,
                causes=(message.cause, requested.cause),
                idempotency_key=asked.key("approval"),
            )
        )
        return event

    async def _answer_to(self, asked: Event) -> Answer:
        answered = self._waiting.setdefault(asked.position, asyncio.Event())
        try:
            if (known := self._journal.log.find(_key(asked))) is None:
                left_s = (asked.payload["deadline_ms"] - self._clock()) / 1000
                async with asyncio.timeout(max(0.0, left_s)):
                    await answered.wait()
        except TimeoutError:
            with suppress(NotFound):  # answered in this very moment, or nobody needs it any more
                await self.answer(asked.position, allow=False, by=DEADLINE)
        self._waiting.pop(asked.position, None)
        known = self._journal.log.find(_key(asked))
        if known is None:
            return Answer(allow=False, by=NOBODY)
        said = known.payload
        return Answer(allow=said["allow"] is True, by=said["by"], cause=known.cause)


def _key(asked: Event) -> bytes:
    """Idempotency key of the one answer to a question."""
    return calls.step_key(asked.payload["turn"], asked.payload["step"], "approved")
