"""Host services: carries out what the agent asks for within a turn, and writes every step down.

A step is made once. Its events carry turn, step, op and a keyed digest of the arguments, and
idempotency keys made of turn and step; a call that is on record is answered from the record
without asking anybody again. Only a model call that the *host* did not live to record is made
twice (asked, died, asked again): a provider cannot be made to forget. Models are asked in
`runtime.asking`, tools called in `runtime.tooling`.

What leaves is screened: an answer that gives methods or agrees with despair is replaced by the
fixed one and its reader held, in the same commit that ends the turn; one that holds a secret of the
node is replaced too, and nobody held. What the agent notes is
screened as words to it are: a note that meets the screen is kept and never shown to a model.
"""

from collections.abc import Callable
from typing import Any, Final

from ledger.core import types
from ledger.core.errors import TimmyError
from ledger.core.event import Draft, Event
from runtime import answers
from runtime.asking import Asking, Completes, model_value
from runtime.budget import Budget
from runtime.claims import Claims
from runtime.contexts import Contexts
from runtime.core import calls, limits
from runtime.core.agenda import HOLD, SCREEN_CRISIS, SCREEN_PASS
from runtime.core.bounds import TurnBounds
from runtime.core.crisis import ANSWER
from runtime.core.errors import Diverged, StepRefused
from runtime.core.leaks import Leaks
from runtime.core.privacy import Privacy
from runtime.core.protocol import Call
from runtime.core.turns import Message, Step
from runtime.drafts import Drafts
from runtime.given import Giving
from runtime.journal import Journal
from runtime.recall import Recall
from runtime.screening import screen_answer, screen_message
from runtime.steps import Asked, Outcome, came_of, record_step, told_reach
from runtime.toolbox import Choice
from runtime.tooling import Tooling, tool_value
from runtime.trails import trail_of

APOLOGIES: Final = {
    "failed": (
        "I could not work out an answer to this: the part of me that thinks kept failing. Your "
        "message is kept; please ask again, or differently."
    ),
    "diverged": (
        "I lost my place while answering this and will not pretend otherwise. Your message is "
        "kept; please send it again."
    ),
    "cancelled": "I stopped, as you asked, before I had an answer. Your message is kept.",
    "interrupted": "You went on before I had an answer to this, so I left it.",
}
STOPPED: Final = frozenset({"cancelled", "interrupted"})
"""Outcomes that end a turn while it works: what it waits for is given up at once."""
"""What a user reads when a turn is given up. Plain words of the node, not of a model."""
WITHHOLD: Final = "withhold"
"""The `action` of a `policy.decided` by which an answer with a secret of the node is not said."""
WITHHELD: Final = (
    "I had an answer, but it held a secret of this node, which does not leave it. Nothing of it is "
    "said; whoever runs me finds it in my ledger."
)
_REFUSED: Final = "refused"
"""The agent's reason to fail when the host refused it a step and it had no other idea."""


class Service:
    """The host's end of the calls. `digest_key` is 32 secret bytes, the same over restarts."""

    def __init__(
        self,
        journal: Journal,
        *,
        chain: Completes,
        recall: Recall,
        status: Callable[[], dict[str, Any]],
        digest_key: bytes,
        privacy: Privacy | None = None,
        drafts: Drafts | None = None,
        budget: Budget | None = None,
        tooling: Tooling | None = None,
        contexts: Contexts | None = None,
        bounds: Callable[[], TurnBounds] = TurnBounds,
        leaks: Leaks | None = None,
        project: bytes | None = None,
    ) -> None:
        self._project = project
        self.bounds = bounds
        """What a turn may use that begins now."""
        self._tooling = tooling
        self._leaks = Leaks() if leaks is None else leaks
        self.claims: Claims | None = None
        """None: whatever this node was given to answer it answers."""
        self.claiming: set[bytes] = set()
        """Turns whose answer waits for a claim: that is not time of theirs."""
        self._giving = Giving(journal, recall, contexts, project)
        self.drafts = Drafts(self._leaks) if drafts is None else drafts
        self.journal = journal
        self._recall = recall
        self.asking = Asking(
            journal=journal,
            chain=chain,
            recall=recall,
            privacy=Privacy() if privacy is None else privacy,
            drafts=self.drafts,
            budget=budget,
            offers=(lambda _names, _reach: ()) if tooling is None else tooling.offers,
        )
        self.status = status
        self.digest_key = digest_key

    def tooling_for(self, journal: Journal, *, writes: bool, choice: Choice) -> Tooling | None:
        """Return the chosen tools beside another log: for a replay."""
        known = self._tooling
        return None if known is None else known.elsewhere(journal, writes=writes, choice=choice)

    @property
    def tools(self) -> list[str]:
        """Names of the tools there are."""
        if self._tooling is None:
            return []
        return [spec.name for spec in self._tooling.toolbox.specs()]

    def turn_of(self, message: Message) -> bytes:
        """Return the 16-byte id of the turn that answers `message`."""
        return answers.turn_of(self.journal, message)

    async def start(
        self, message: Message, attempt: int, tree: bytes | None = None
    ) -> dict[str, Any]:
        """Record that the message is given to the agent, the `attempt`th time, and of which tree.

        Return what it is given with it (`runtime.given`).
        """
        turn = self.turn_of(message)
        given = await self._giving.to(message, turn)
        facts: dict[str, Any] = {"turn": turn, "message": message.position, "attempt": attempt}
        known = self.journal.log.find(calls.step_key(turn, attempt, "started"))
        by = tree if known is None else known.payload.get("tree")  # the same event, or a conflict
        facts |= {} if by is None else {"tree": by}
        await self.journal.append(
            Draft(
                type=types.TURN_STARTED.name,
                stream=message.stream,
                payload=facts | ({"given": given} if given else {}),
                causes=(message.cause,),
                idempotency_key=calls.step_key(turn, attempt, "started"),
            )
        )
        return given

    async def call(self, message: Message, call: Call, bounds: TurnBounds) -> Outcome:
        """Carry out one call of the turn that answers `message`, within the bounds it began with.

        Raises StepRefused (the turn goes on) and Diverged (it cannot).
        """
        asked = Asked(
            message=message,
            turn=call.turn,
            step=call.step,
            op=call.op,
            digest=calls.args_digest(self.digest_key, call.turn, call.step, call.op, call.args),
            bounds=bounds,
        )
        recorded = self.journal.turns.step(call.turn, call.step)
        if recorded is not None and (recorded.op, recorded.args) != (call.op, asked.digest):
            raise Diverged(f"step {call.step} was {recorded.op}, now asked for another {call.op}")
        if recorded is not None and recorded.result is not None:
            return self._from_record(recorded)
        try:
            return await self._carry_out(asked, calls.parse_args(call.op, call.args), recorded)
        except StepRefused as error:
            reason = str(error)[: limits.REASON_CHARS_MAX]
            await record_step(self.journal, asked, {"refused": reason})
            raise

    async def give_up(self, message: Message, outcome: str, reason: str) -> None:
        """End a turn with plain words, unless it has ended. `outcome` is a key of APOLOGIES."""
        async with self.journal.deciding:
            if message.position not in self.journal.turns.pending:
                return
            turn = self.turn_of(message)
            words = [answers.sent(message, turn, APOLOGIES[outcome], {"turn": turn})]
            await self.journal.append(
                *([] if self._shared(message) else words),
                answers.finished(message, turn, outcome, reason),
            )

    async def stop(self, *, conversation: str, author: str, outcome: str) -> list[int]:
        """End what the author waits for in a conversation; return the positions of the messages.

        `outcome` is one of STOPPED. A turn that is being worked on stops at once.
        """
        waiting = [
            message
            for message in self.journal.turns.pending.values()
            if (message.conversation, message.author) == (conversation, author)
        ]
        for message in waiting:
            await self.give_up(message, outcome, outcome)
        return [message.position for message in waiting]

    async def _carry_out(self, asked: Asked, args: calls.Args, recorded: Step | None) -> Outcome:
        match args:
            case calls.ModelArgs():
                return await self.asking.ask(asked, args, recorded)
            case calls.ToolArgs():
                if self._tooling is None:
                    raise StepRefused("this node has no tools")
                return await self._tooling.call(asked, args)
            case calls.RecallArgs():
                return await self._find(asked, args)
            case calls.StatusArgs():
                return await record_step(self.journal, asked, {"value": self.status()})
            case calls.RememberArgs():
                return await self._remember(asked, args)
            case calls.AnswerArgs():
                return await self._answer(asked, args)
            case calls.FailArgs():
                return await self._fail(asked, args)

    def _from_record(self, step: Step) -> Outcome:
        assert step.result is not None
        return self.told(self.journal.log.read(step.result))

    def told(self, event: Event) -> Outcome:
        """Return what the agent is told of a recorded result. Raises StepRefused if it was none."""
        match event.type:
            case types.MODEL_REPLIED.name:
                return Outcome(value=model_value(event))
            case types.TOOL_RETURNED.name:
                return Outcome(value=tool_value(event))
            case types.RECALLED.name:
                hits = self._recall.hits(event.payload["hits"])
                return Outcome(value={"hits": [hit.to_value() for hit in hits]})
            case types.MEMORY_NOTED.name:
                return Outcome(value={"position": event.position})
        if "refused" in event.payload:
            raise StepRefused(event.payload["refused"])
        return Outcome(value=event.payload["value"])

    # ---- recall, remember -------------------------------------------------------------------

    async def _find(self, asked: Asked, args: calls.RecallArgs) -> Outcome:
        try:
            hits = await self._recall.find(args.query, args.limit, before=asked.message.position)
        except TimmyError as error:
            raise StepRefused("the search index does not answer") from error
        await self.journal.append(
            Draft(
                type=types.RECALLED.name,
                stream=asked.message.stream,
                payload=asked.facts(hits=[hit.position for hit in hits]),
                causes=came_of(self.journal, asked),
                idempotency_key=asked.key("result"),
            )
        )
        return Outcome(value={"hits": [hit.to_value() for hit in hits]})

    async def _remember(self, asked: Asked, args: calls.RememberArgs) -> Outcome:
        rule = await screen_message(args.text)
        facts = asked.facts(
            kind=args.kind,
            conversation=asked.message.conversation,
            screen=SCREEN_PASS if rule is None else SCREEN_CRISIS,
            **self._reach(asked),
            **({} if self._project is None else {"project": self._project}),
        )
        [event] = await self.journal.append(
            Draft(
                type=types.MEMORY_NOTED.name,
                stream=asked.message.stream,
                payload=facts,
                content={"text": args.text},
                causes=came_of(self.journal, asked),
                idempotency_key=asked.key("result"),
            )
        )
        return Outcome(value={"position": event.position})

    def _reach(self, asked: Asked) -> dict[str, str]:
        reach = told_reach(self.journal, self.asking.privacy, asked.turn)
        return {} if reach is None else {"reach": reach.word}

    # ---- the end of a turn ------------------------------------------------------------------

    async def _answer(self, asked: Asked, args: calls.AnswerArgs) -> Outcome:
        rule = await screen_answer(args.text)
        leak = self._leaks.own_in(args.text)
        message = asked.message
        if (why := await self._claimed(message)) is not None:
            return await self._left(asked, why)
        async with self.journal.deciding:
            if message.position not in self.journal.turns.pending:
                raise Diverged("the turn is over")
            facts: dict[str, Any] = {}
            if rule is not None:
                first = [answers.decided(message, HOLD, screen="output", rule=rule)]
                text, outcome = ANSWER, "replaced"
            elif leak is not None:
                first = [answers.decided(message, WITHHOLD, screen="secrets", rule=leak)]
                text, outcome = WITHHELD, "replaced"
            else:
                first, text, outcome = [], args.text, "answered"
                facts = self._reach(asked) | trail_of(self.journal, asked.turn)
            causes = came_of(self.journal, asked)
            *_, sent, _finished = await self.journal.append(
                *first,
                answers.sent(message, asked.turn, text, asked.facts(**facts), causes),
                answers.finished(message, asked.turn, outcome, None),
            )
            await answers.settle(self.journal)
        return Outcome(value={"position": sent.position}, ended=True)

    def _shared(self, message: Message) -> bool:
        return self.claims is not None and self.claims.shared(message)

    async def _claimed(self, message: Message) -> str | None:
        if self.claims is None or not self.claims.shared(message):
            return None
        turn = self.turn_of(message)
        self.claiming.add(turn)
        try:
            return await self.claims.claim(message)
        finally:
            self.claiming.discard(turn)

    async def _left(self, asked: Asked, why: str) -> Outcome:
        """Another member answers: the turn ends without words."""
        async with self.journal.deciding:
            if asked.message.position not in self.journal.turns.pending:
                raise Diverged("the turn is over")
            ended = answers.finished(asked.message, asked.turn, answers.ELSEWHERE, why)
            await self.journal.append(ended)
        return Outcome(value={}, ended=True)

    async def _fail(self, asked: Asked, args: calls.FailArgs) -> Outcome:
        """The agent gives up. If a step was refused to it, its user reads so, in plain words."""
        message = asked.message
        words = []
        if args.reason == _REFUSED and not self._shared(message):
            words.append(answers.sent(message, asked.turn, APOLOGIES["failed"], asked.facts()))
        async with self.journal.deciding:
            if message.position in self.journal.turns.pending:
                ended = answers.finished(message, asked.turn, "failed", args.reason)
                await self.journal.append(*words, ended)
        return Outcome(value={}, ended=True)
