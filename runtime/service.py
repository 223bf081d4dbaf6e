"""Host services: carries out what the agent asks for within a turn, and writes every step down.

A step is made once. Its events carry turn, step, op and a keyed digest of the arguments, and
idempotency keys made of turn and step; a call that is on record is answered from the record
without asking anybody again. Only a model call that the *host* did not live to record is made
twice (asked, died, asked again): a provider cannot be made to forget.

What leaves is screened: an answer that gives methods or agrees with despair is replaced by the
fixed one and its reader held, in the same commit that ends the turn. What the agent notes is
screened as words to it are: a note that meets the screen is kept and never shown to a model.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from ledger.core import types
from ledger.core.errors import NotFound, TimmyError
from ledger.core.event import Cause, Draft, Event
from runtime import answers
from runtime.core import calls, limits
from runtime.core.agenda import HOLD, SCREEN_CRISIS, SCREEN_PASS, STEPPED
from runtime.core.crisis import ANSWER
from runtime.core.errors import Diverged, ModelFailed, StepRefused
from runtime.core.protocol import Call
from runtime.core.turns import Message, Step
from runtime.journal import Journal
from runtime.models import Chain, ModelRequest
from runtime.recall import Recall, words_of
from runtime.screening import screen_answer, screen_message

APOLOGIES: Final = {
    "failed": (
        "I could not work out an answer to this: the part of me that thinks kept failing. Your "
        "message is kept; please ask again, or differently."
    ),
    "diverged": (
        "I lost my place while answering this and will not pretend otherwise. Your message is "
        "kept; please send it again."
    ),
}
"""What a user reads when a turn is given up. Plain words of the node, not of a model."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a call gave; `ended` if the turn is over with it."""

    value: dict[str, Any]
    ended: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    """One call with everything its events have in common."""

    message: Message
    turn: bytes
    step: int
    op: str
    digest: bytes

    def facts(self, **more: Any) -> dict[str, Any]:
        return {"turn": self.turn, "step": self.step, "op": self.op, "args": self.digest, **more}

    def key(self, part: str) -> bytes:
        return calls.step_key(self.turn, self.step, part)


class Service:
    """The host's end of the calls. `digest_key` is 32 secret bytes, the same over restarts."""

    def __init__(
        self,
        journal: Journal,
        *,
        chain: Chain,
        recall: Recall,
        status: Callable[[], dict[str, Any]],
        digest_key: bytes,
    ) -> None:
        self._journal = journal
        self._chain = chain
        self._recall = recall
        self._status = status
        self._digest_key = digest_key

    def turn_of(self, message: Message) -> bytes:
        """Return the 16-byte id of the turn that answers `message`."""
        return calls.turn_id(self._journal.log.ledger_id, message.cause.id)

    async def start(self, message: Message, attempt: int) -> bytes:
        """Record that the message is given to the agent, the `attempt`th time; return the turn."""
        turn = self.turn_of(message)
        await self._journal.append(
            Draft(
                type=types.TURN_STARTED.name,
                stream=message.stream,
                payload={"turn": turn, "message": message.position, "attempt": attempt},
                causes=(message.cause,),
                idempotency_key=calls.step_key(turn, attempt, "started"),
            )
        )
        return turn

    async def call(self, message: Message, call: Call) -> Outcome:
        """Carry out one call of the turn that answers `message`.

        Raises StepRefused (the turn goes on) and Diverged (it cannot).
        """
        asked = _Asked(
            message=message,
            turn=call.turn,
            step=call.step,
            op=call.op,
            digest=calls.args_digest(self._digest_key, call.turn, call.step, call.op, call.args),
        )
        recorded = self._journal.turns.step(call.turn, call.step)
        if recorded is not None and (recorded.op, recorded.args) != (call.op, asked.digest):
            raise Diverged(f"step {call.step} was {recorded.op}, now asked for another {call.op}")
        if recorded is not None and recorded.result is not None:
            return self._from_record(recorded)
        try:
            return await self._carry_out(asked, calls.parse_args(call.op, call.args), recorded)
        except StepRefused as error:
            await self._step(asked, {"refused": str(error)[: limits.REASON_CHARS_MAX]})
            raise

    async def give_up(self, message: Message, outcome: str, reason: str) -> None:
        """End a turn with plain words, unless it has ended. `outcome` is a key of APOLOGIES."""
        async with self._journal.deciding:
            if message.position not in self._journal.turns.pending:
                return
            turn = self.turn_of(message)
            await self._journal.append(
                answers.sent(message, turn, APOLOGIES[outcome], {"turn": turn}),
                answers.finished(message, turn, outcome, reason),
            )

    async def _carry_out(self, asked: _Asked, args: calls.Args, recorded: Step | None) -> Outcome:
        match args:
            case calls.ModelArgs():
                return await self._model(asked, args, recorded)
            case calls.RecallArgs():
                return await self._find(asked, args)
            case calls.StatusArgs():
                return await self._step(asked, {"value": self._status()})
            case calls.RememberArgs():
                return await self._remember(asked, args)
            case calls.AnswerArgs():
                return await self._answer(asked, args)
            case calls.FailArgs():
                return await self._fail(asked, args)

    def _from_record(self, step: Step) -> Outcome:
        assert step.result is not None
        event = self._journal.log.read(step.result)
        match event.type:
            case types.MODEL_REPLIED.name:
                return Outcome(value=_model_value(event))
            case types.RECALLED.name:
                hits = self._recall.hits(event.payload["hits"])
                return Outcome(value={"hits": [hit.to_value() for hit in hits]})
            case types.MEMORY_NOTED.name:
                return Outcome(value={"position": event.position})
        if "refused" in event.payload:
            raise StepRefused(event.payload["refused"])
        return Outcome(value=event.payload["value"])

    async def _step(self, asked: _Asked, more: dict[str, Any]) -> Outcome:
        """Record a result that is in no other event: a status, a refusal."""
        await self._journal.append(
            Draft(
                type=STEPPED,
                stream=asked.message.stream,
                payload=asked.facts(**more),
                causes=(asked.message.cause,),
                idempotency_key=asked.key("result"),
            )
        )
        return Outcome(value=more.get("value", {}))

    # ---- model ------------------------------------------------------------------------------

    async def _model(self, asked: _Asked, args: calls.ModelArgs, recorded: Step | None) -> Outcome:
        request, causes, parts = self._prompt(asked.message, args)
        if recorded is None or recorded.asked is None:
            [requested] = await self._journal.append(
                _requested(asked, args, causes=causes, parts=parts)
            )
        else:
            requested = self._journal.log.read(recorded.asked)
        try:
            reply = await self._chain.complete(request)
        except ModelFailed as error:
            raise StepRefused(f"no model replied: {error}") from error
        [event] = await self._journal.append(
            Draft(
                type=types.MODEL_REPLIED.name,
                stream=asked.message.stream,
                payload=asked.facts(
                    model=reply.model,
                    finish=reply.finish,
                    tokens_in=reply.tokens_in,
                    tokens_out=reply.tokens_out,
                    tried=[{"name": name, "reason": why} for name, why in reply.tried],
                ),
                content={"text": reply.text},
                causes=(requested.cause,),
                idempotency_key=asked.key("result"),
            )
        )
        return Outcome(value=_model_value(event))

    def _prompt(
        self, message: Message, args: calls.ModelArgs
    ) -> tuple[ModelRequest, tuple[Cause, ...], list[list[Any]]]:
        """Insert the words of references; return the prompt, its causes, its digest's parts."""
        messages: list[tuple[str, str]] = []
        parts: list[list[Any]] = []
        causes = {message.position: message.cause}
        for item in args.items:
            if item.ref is None:
                text = item.text or ""
                parts.append([item.role, calls.template_digest(text)])
            else:
                text, cause = self._reference(item.ref)
                causes[cause.position] = cause
                parts.append([item.role, cause.id])
            messages.append((item.role, text))
        size = sum(len(text.encode()) for _, text in messages)
        if size > limits.PROMPT_BYTES_MAX:
            raise StepRefused(f"prompt of {size} bytes, at most {limits.PROMPT_BYTES_MAX}")
        request = ModelRequest(
            messages=tuple(messages), max_tokens=args.max_tokens, before=message.position
        )
        return request, tuple(causes.values()), parts

    def _reference(self, position: int) -> tuple[str, Cause]:
        try:
            text, event = self._recall.words(position), self._journal.log.read(position)
        except NotFound as error:
            raise StepRefused(f"there is no event {position}") from error
        if text is None:
            raise StepRefused(f"event {position} has no words to show")
        return text, event.cause

    # ---- recall, remember -------------------------------------------------------------------

    async def _find(self, asked: _Asked, args: calls.RecallArgs) -> Outcome:
        try:
            hits = await self._recall.find(args.query, args.limit, before=asked.message.position)
        except TimmyError as error:
            raise StepRefused("the search index does not answer") from error
        await self._journal.append(
            Draft(
                type=types.RECALLED.name,
                stream=asked.message.stream,
                payload=asked.facts(hits=[hit.position for hit in hits]),
                causes=(asked.message.cause,),
                idempotency_key=asked.key("result"),
            )
        )
        return Outcome(value={"hits": [hit.to_value() for hit in hits]})

    async def _remember(self, asked: _Asked, args: calls.RememberArgs) -> Outcome:
        rule = await screen_message(args.text)
        facts = asked.facts(
            kind=args.kind,
            conversation=asked.message.conversation,
            screen=SCREEN_PASS if rule is None else SCREEN_CRISIS,
        )
        [event] = await self._journal.append(
            Draft(
                type=types.MEMORY_NOTED.name,
                stream=asked.message.stream,
                payload=facts,
                content={"text": args.text},
                causes=(asked.message.cause,),
                idempotency_key=asked.key("result"),
            )
        )
        return Outcome(value={"position": event.position})

    # ---- the end of a turn ------------------------------------------------------------------

    async def _answer(self, asked: _Asked, args: calls.AnswerArgs) -> Outcome:
        rule = await screen_answer(args.text)
        message = asked.message
        async with self._journal.deciding:
            if message.position not in self._journal.turns.pending:
                raise Diverged("the turn is over")
            if rule is None:
                first, text, outcome = [], args.text, "answered"
            else:
                first = [answers.decided(message, HOLD, screen="output", rule=rule)]
                text, outcome = ANSWER, "replaced"
            *_, sent, _finished = await self._journal.append(
                *first,
                answers.sent(message, asked.turn, text, asked.facts()),
                answers.finished(message, asked.turn, outcome, None),
            )
            await answers.settle(self._journal)
        return Outcome(value={"position": sent.position}, ended=True)

    async def _fail(self, asked: _Asked, args: calls.FailArgs) -> Outcome:
        async with self._journal.deciding:
            if asked.message.position in self._journal.turns.pending:
                ended = answers.finished(asked.message, asked.turn, "failed", args.reason)
                await self._journal.append(ended)
        return Outcome(value={}, ended=True)


def _requested(
    asked: _Asked, args: calls.ModelArgs, *, causes: tuple[Cause, ...], parts: list[list[Any]]
) -> Draft:
    items = [
        {"role": item.role, "template": part[1]}
        if item.ref is None
        else {"role": item.role, "ref": item.ref}
        for item, part in zip(args.items, parts, strict=True)
    ]
    return Draft(
        type=types.MODEL_REQUESTED.name,
        stream=asked.message.stream,
        payload=asked.facts(
            items=items,
            max_tokens=args.max_tokens,
            request=calls.request_digest(parts, args.max_tokens),
        ),
        causes=causes,
        idempotency_key=asked.key("asked"),
    )


def _model_value(event: Event) -> dict[str, Any]:
    """What the agent is given of a reply; the text is empty if it was erased since."""
    return {
        "text": words_of(event) or "",
        "model": event.payload["model"],
        "finish": event.payload["finish"],
    }
