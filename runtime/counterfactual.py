"""A recorded turn once more, otherwise: another tree, model or set of tools, on a fork of the log.

The fork begins where the turn was first given to the agent. Host, protocol, service and screens are
those of every turn; only results come from the record where a step asks for the same as then: a
recorded reply is no second call, a recorded search no second search. A step that asks for something
else is carried out on the fork: its models are asked if the caller wants that, and refused if not;
tools that only read are called, those that write only if the caller says so, and nobody is asked.
Nothing of it reaches the ledger but that it was done.

Equal is: the same op with the same arguments at the same step, by the keyed digest of the record,
or what the caller says is equal. Calls of tools are equal by name and arguments, the JSON in any
order and spelling, whatever step or reply asked for them: other replies number them otherwise. Each
recorded result is given once, so that what was done twice then is not done once now. Where tools
are left out, a prompt that offered one of them is another prompt, and its calls are refused.
Not covered: what a tool would have given after other calls than then; a status, which tells of
now; other conversations of then, whose pending messages are left out; words that were erased since,
which a recorded result no longer has.
"""

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import Any, Final, TypeAlias

import msgspec

from ledger.core import types
from ledger.core.errors import NotFound
from ledger.core.event import CONTENT_KEY, Draft, Event
from ledger.core.state import State
from runtime import answers
from runtime.asking import Completes
from runtime.connection import Identity, Spawn
from runtime.core import calls
from runtime.core.agenda import BEGUN
from runtime.core.bounds import TurnBounds
from runtime.core.chat import DraftSink, ModelRequest, Reply
from runtime.core.errors import MessageRefused, ModelFailed, StepRefused
from runtime.core.protocol import Call
from runtime.core.turns import Message
from runtime.core.wire import arguments_of
from runtime.fork import Fork
from runtime.gateway import Gateway
from runtime.host import AgentHost, HostLimits
from runtime.journal import Journal, Log
from runtime.recall import Recall, Search, words_of
from runtime.service import Service
from runtime.steps import Outcome
from runtime.toolbox import Choice

_ALL: Final = Choice()
Same: TypeAlias = Callable[[Event, Call], bool]
"""Whether a call asks for what a recorded result was given to."""


class Source(StrEnum):
    """Where the result of a step came from."""

    RECORD = "record"
    ANEW = "anew"


@dataclass(frozen=True, slots=True, kw_only=True)
class StepTaken:
    """One step of the counterfactual turn: what it asked for, and whose result it got."""

    step: int
    op: str
    source: Source
    type: str
    """Of the event that holds the result."""
    model: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Retold:
    """What came of it, beside what came of it then. Answers are None if there was none."""

    message: int
    steps: tuple[StepTaken, ...]
    then: str | None
    now: str | None
    outcome: str

    @property
    def same(self) -> bool:
        """Whether the answer is word for word the recorded one."""
        return self.then == self.now


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """A turn on record: where it was first given, the results of its steps, how it ended.

    `called`: of steps that asked for a tool, what they asked for; not if its words were erased.
    `offered`: of steps that asked a model, the names of the tools it was told of.
    """

    message: int
    start: int
    turn: bytes
    results: dict[int, Event]
    called: dict[int, tuple[str, bytes]]
    offered: dict[int, tuple[str, ...]]
    answer: Event | None


def recorded_turn(log: Log, position: int) -> Recorded:
    """Read the turn that answered the message at `position`.

    Raises NotFound for an event that is none, MessageRefused for a message no turn was given.
    """
    if log.read(position).type != types.MESSAGE_RECEIVED.name:
        raise NotFound(f"event {position} is no message", hint="timmy log --type message.received")
    start, turn, answer = None, b"", None
    results: dict[int, Event] = {}
    called: dict[int, tuple[str, bytes]] = {}
    offered: dict[int, tuple[str, ...]] = {}
    for event in log.events(position + 1):
        payload = event.payload
        if event.type == types.TURN_STARTED.name and payload.get("message") == position:
            start, turn = (event.position, payload["turn"]) if start is None else (start, turn)
        elif event.type == types.MESSAGE_SENT.name and payload.get("message") == position:
            answer = event
        elif turn and payload.get("turn") == turn and _is_result(event):
            results[payload["step"]] = event
        elif turn and payload.get("turn") == turn and event.type == types.TOOL_REQUESTED.name:
            called |= {payload["step"]: _asked_for(event)} if event.content else {}
        elif turn and payload.get("turn") == turn and event.type == types.MODEL_REQUESTED.name:
            offered[payload["step"]] = tuple(payload.get("tools", ()))
        elif event.type == types.TURN_FINISHED.name and payload.get("message") == position:
            break
    if start is None:
        raise MessageRefused(
            f"message {position} was given to no turn", hint="the crisis screen answered it"
        )
    return Recorded(
        message=position,
        start=start,
        turn=turn,
        results=results,
        called=called,
        offered=offered,
        answer=answer,
    )


def _asked_for(event: Event) -> tuple[str, bytes]:
    assert event.content is not None
    return _call_of(event.payload["name"], event.content["arguments"])


def _call_of(name: str, arguments: str) -> tuple[str, bytes]:
    """Return what a call of a tool asks for: arguments that differ only in how they are spelt are
    the same, and what is no JSON of an object is the same only to itself.
    """
    value = arguments_of(arguments)
    if value is None:
        return name, b"?" + arguments.encode()
    return name, msgspec.json.encode(value, order="deterministic")


def _is_result(event: Event) -> bool:
    return "step" in event.payload and event.type not in BEGUN


class Nobody:
    """A chain that asks nobody."""

    async def complete(self, _request: ModelRequest, _draft: DraftSink | None = None) -> Reply:
        """Raise ModelFailed."""
        raise ModelFailed("this request is not on record, and no model is to be asked")


class _Replaying(Service):
    """A service whose results come from the record where the step is the same.

    An event has one place in the record and another on the fork, and an agent that is to ask for
    the same must be told the same: of a result on record its place there, of a new one a place
    beyond all others. What it asks for is put back before it is carried out.
    """

    def __init__(
        self,
        journal: Journal,
        recorded: Recorded,
        *,
        anew: bool,
        same: Same | None,
        choice: Choice,
        **more: Any,
    ) -> None:
        super().__init__(journal, **more)
        self._recorded = recorded
        self._same = same
        self._anew = anew
        self._choice = choice
        self._places = Places()
        self._given: dict[int, int] = {}
        """Of each step of the record that was given again, to which step."""

    @property
    def reused(self) -> set[int]:
        """Steps that were given a recorded result."""
        return set(self._given.values())

    async def call(self, message: Message, call: Call, bounds: TurnBounds) -> Outcome:
        kept = self._on_record(call)
        if kept is None:
            moved = replace(call, args=self._places.back(call.args))
            outcome = await super().call(message, moved, bounds)
            return replace(outcome, value=self._places.beyond(outcome.value))
        facts = {k: v for k, v in kept.payload.items() if k not in (CONTENT_KEY, "id")}
        facts |= {"step": call.step} | ({"id": call.args["id"]} if "id" in call.args else {})
        [event] = await self.journal.append(
            Draft(
                type=kept.type,
                stream=kept.stream,
                payload=self._places.back(facts),
                content=kept.content,
                causes=(message.cause,),
                idempotency_key=calls.step_key(call.turn, call.step, "result"),
            )
        )
        self._places.moved[kept.position] = event.position
        return self.told(kept)

    def _on_record(self, call: Call) -> Event | None:
        """Return the recorded result for a call, which is given to no other from now on."""
        if call.op in calls.LAST_STEPS:
            return None
        if not self._is_there(call):
            return None
        for step in self._candidates(call):
            kept = self._recorded.results.get(step)
            if kept is None or self._given.get(step, call.step) != call.step:
                continue
            if self._is_same(kept, call) or self._is_same_call(step, call):
                self._given[step] = call.step
                return kept
        return None

    def _is_there(self, call: Call) -> bool:
        """Whether nothing that a call is about, or that then went with it, was left out."""
        if call.op == "model":
            return all(map(self._choice.has, self._recorded.offered.get(call.step, ())))
        return call.op != "tool" or self._choice.has(str(call.args.get("name")))

    def _candidates(self, call: Call) -> Iterable[int]:
        """Steps of the record whose results it may be given, the same step first."""
        yield call.step
        if call.op == "tool" and self._same is None:
            yield from (step for step in self._recorded.called if step != call.step)

    def _is_same_call(self, step: int, call: Call) -> bool:
        if call.op != "tool" or self._same is not None:
            return False
        try:
            args = calls.parse_args(call.op, call.args)
        except StepRefused:
            return False
        assert isinstance(args, calls.ToolArgs)
        return self._recorded.called.get(step) == _call_of(args.name, args.arguments)

    def _is_same(self, kept: Event, call: Call) -> bool:
        if call.op == "model" and self._anew:
            return False
        if self._same is not None:
            return self._same(kept, call)
        digest = calls.args_digest(self.digest_key, call.turn, call.step, call.op, call.args)
        return (kept.payload.get("op"), kept.payload.get("args")) == (call.op, digest)


_BEYOND: Final = 2**40
"""Added to the places of new events on the fork: no ledger is as long."""


@dataclass(slots=True)
class Places:
    """Where events of the record are on the fork, and how places are told to the agent."""

    moved: dict[int, int] = field(default_factory=dict)

    def back(self, args: dict[str, Any]) -> dict[str, Any]:
        """Return arguments, or facts, with the fork's own places in them."""
        changed = dict(args)
        if isinstance(items := args.get("items"), list):
            changed["items"] = [self._item(item) for item in items]
        if isinstance(id_ := args.get("id"), str):
            place, _, number = id_.partition("-")
            changed["id"] = f"{self._place(int(place))}-{number}" if place.isdigit() else id_
        return changed

    def _item(self, item: Any) -> Any:
        known = isinstance(item, dict) and type(item.get("ref")) is int
        return item | {"ref": self._place(item["ref"])} if known else item

    def _place(self, told: int) -> int:
        return told - _BEYOND if told >= _BEYOND else self.moved.get(told, told)

    @staticmethod
    def beyond(value: dict[str, Any]) -> dict[str, Any]:
        """Return what a new step gave, its place told as one beyond all others."""
        changed = dict(value)
        if type(value.get("position")) is int:
            changed["position"] = value["position"] + _BEYOND
        if "calls" in value:
            changed["calls"] = [call | {"id": _later(call["id"])} for call in value["calls"]]
        return changed


def _later(id_: str) -> str:
    place, _, number = id_.partition("-")
    return f"{int(place) + _BEYOND}-{number}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Teller:
    """Tells turns that `service` recorded once more. `tree` gives the adopted one."""

    service: Service
    search: Search
    spawn: Spawn
    tree: Callable[[], Path]
    identity: Identity
    limits: HostLimits
    clock: Callable[[], int]

    async def tell(
        self,
        position: int,
        *,
        tree: Path | None,
        chain: Completes | None,
        anew: bool,
        writes: bool = False,
        choice: Choice = _ALL,
        same: Same | None = None,
        state: State | None = None,
    ) -> Retold:
        """Tell the turn of the message at `position` with the agent of `tree` (None: the adopted).

        `chain` is asked for what is not on record, or for every reply if `anew`; None: nobody is.
        Tools that only read are called for what is not on record; those that write, if `writes`.
        `choice` says which tools there are; NoSuchTool if it names one that is none and never was.
        `same` replaces the comparison with the record. `state`, of a size at which the turn was not
        given yet, saves folding from event 0; it is folded on and belongs to the fork.
        """
        log = self.service.journal.log
        recorded = recorded_turn(log, position)
        choice.check([*self.service.tools, *(name for name, _ in recorded.called.values())])
        fork = Fork(log, recorded.start, self.clock)
        journal = Journal(fork, state)
        service = _Replaying(
            journal,
            recorded,
            anew=anew,
            same=same,
            choice=choice,
            chain=Nobody() if chain is None else chain,
            recall=Recall(journal, self.search),
            status=self.service.status,
            digest_key=self.service.digest_key,
            privacy=self.service.asking.privacy,
            tooling=self.service.tooling_for(journal, writes=writes, choice=choice),
            bounds=self.service.bounds,
        )
        await _leave_out_others(journal, position)
        host = AgentHost(
            journal=journal,
            gateway=Gateway(journal),
            service=service,
            spawn=self.spawn,
            tree=self.tree() if tree is None else tree,
            identity=self.identity,
            limits=self.limits,
        )
        async with asyncio.TaskGroup() as group:
            group.create_task(host.run())
            outcome = await _outcome(fork, recorded)
            host.stop()
        return _retold(recorded, fork, service.reused, outcome)

    async def note(
        self, told: Retold, *, models: list[str], own_tree: bool, choice: Choice = _ALL
    ) -> Event:
        """Record that a turn was told otherwise: with which models and tools, and by this tree?"""
        payload: dict[str, Any] = {
            "message": told.message,
            "models": models,
            "own_tree": own_tree,
            "outcome": told.outcome,
            "same": told.same,
            "anew": sum(step.source is Source.ANEW for step in told.steps),
        }
        payload |= {} if choice.only is None else {"only_tools": sorted(choice.only)}
        payload |= {"without_tools": sorted(choice.without)} if choice.without else {}
        draft = Draft(type=types.TURN_RETOLD.name, stream=types.NODE_STREAM, payload=payload)
        [event] = await self.service.journal.append(draft)
        return event


async def _leave_out_others(journal: Journal, position: int) -> None:
    others = [m for m in journal.turns.pending.values() if m.position != position]
    for message in others:
        turn = calls.turn_id(journal.log.ledger_id, message.cause.id)
        await journal.append(answers.finished(message, turn, "left out", None))


async def _outcome(fork: Fork, recorded: Recorded) -> str:
    async for event in fork.follow(recorded.start):
        ended = event.type == types.TURN_FINISHED.name
        if ended and event.payload.get("message") == recorded.message:
            return str(event.payload["outcome"])
    raise AssertionError("a log is followed without end")


def _retold(recorded: Recorded, fork: Fork, reused: set[int], outcome: str) -> Retold:
    steps = tuple(
        StepTaken(
            step=event.payload["step"],
            op=event.payload["op"],
            source=Source.RECORD if event.payload["step"] in reused else Source.ANEW,
            type=event.type,
            model=event.payload.get("model"),
        )
        for event in fork.own
        if event.payload.get("turn") == recorded.turn and _is_result(event)
    )
    steps = tuple(sorted(steps, key=lambda one: one.step))  # calls side by side end in any order
    sent = [event for event in fork.own if event.type == types.MESSAGE_SENT.name]
    return Retold(
        message=recorded.message,
        steps=steps,
        then=None if recorded.answer is None else words_of(recorded.answer),
        now=words_of(sent[-1]) if sent else None,
        outcome=outcome,
    )
