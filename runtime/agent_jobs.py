"""Agent jobs: a message of the scheduler, in a conversation of the job, within a time.

The message has the run as its key, so it is said once however often the node dies meanwhile; turn
and answer are the host's, as for any message. Its author is `scheduler/<job>`: a hold of the crisis
screen, should an answer meet it, holds that job and no other.

A run whose answer no language model had a part in (every link failed, or there is none, and the
deterministic responder answered) is *degraded*: the job's own script runs then, if it has one, and
the outcome says so. When the time is up the turn is ended with plain words; a model call under way
may go on to its own time limit, and what it says is dropped.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final

from ledger.core import types
from ledger.core.event import Event
from runtime.core.errors import NoAnswer
from runtime.core.jobs import CONVERSATIONS, DONE, Job, Run
from runtime.core.jobspec import Words
from runtime.gateway import Gateway
from runtime.journal import Journal
from runtime.responder import Responder
from runtime.scheduler import Result
from runtime.scripts import FAILED, TIMED_OUT, Scripts
from runtime.service import Service

DEGRADED: Final = "degraded"
GATEWAY: Final = "scheduler"


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentJobs:
    """Runs agent jobs. `answer_to` waits for the answer to the message at a position."""

    journal: Journal
    gateway: Gateway
    service: Service
    answer_to: Callable[[int], Awaitable[Event]]
    scripts: Scripts
    clock: Callable[[], int]
    """Unix milliseconds."""

    async def __call__(self, run: Run, job: Job, words: Words) -> Result:
        """Say what the job says and wait for the answer. Raises what gateway and scripts raise."""
        author = f"{GATEWAY}/{job.name}"
        message = await self.gateway.receive(
            words.prompt,
            conversation=CONVERSATIONS + job.name,
            author=author,
            gateway=GATEWAY,
            idempotency_key=run.id,
            here=True,  # a run is done by the member that began it
        )
        facts: dict[str, Any] = {"message": message.position}
        left_s = max(1.0, run.started_s + job.spec.limit_s - self.clock() / 1000)
        try:
            async with asyncio.timeout(min(left_s, job.spec.limit_s)):
                answer = await self.answer_to(message.position)
        except TimeoutError:
            await self._end_turn(message.position)
            return Result(outcome=TIMED_OUT, facts=facts)
        except NoAnswer:
            return await self._degraded(run, job, words, facts)
        facts["answer"] = answer.position
        if self.journal.turns.held(author):
            return Result(outcome=FAILED, facts={**facts, "reason": f"{author} is held"})
        models = self._models(message, answer)
        if not models - {Responder.name}:
            return await self._degraded(run, job, words, facts)
        return Result(outcome=DONE, facts={**facts, "models": sorted(models)})

    async def _degraded(self, run: Run, job: Job, words: Words, facts: dict[str, Any]) -> Result:
        if not words.argv:
            return Result(outcome=DEGRADED, facts=facts)
        ran = await self.scripts(run, job, words)
        outcome = DEGRADED if ran.outcome == DONE else ran.outcome
        return Result(outcome=outcome, facts={**facts, **ran.facts}, output=ran.output)

    async def _end_turn(self, position: int) -> None:
        message = self.journal.turns.pending.get(position)
        if message is not None:
            await self.service.give_up(message, "failed", "time")

    def _models(self, message: Event, answer: Event) -> set[str]:
        """Return which links replied in the turn that answered; every event of it has its id."""
        turn = answer.payload.get("turn")
        replied = self.journal.log.events(message.position, answer.position)
        return {
            event.payload.get("link", event.payload["model"])
            for event in replied
            if event.type == types.MODEL_REPLIED.name and event.payload.get("turn") == turn
        }
