"""What goes to a model and what comes back, whatever the provider's format.

*Reach* is how far words may travel, and how far a model carries what it is told: a model may hear a
prompt if its reach is not beyond the prompt's. A free tier that learns from its inputs is PUBLIC;
words of a conversation that is kept at home are LOCAL. The reach of a prompt is the least of all
that is in it (`runtime.asking`), so that recalling a private note makes a public prompt private.

A prompt reads as (role, text) pairs, whoever only needs its words. What calls of tools add stands
beside them, by number of the pair: the calls that an assistant's words came with (`called`), and
which call a tool's words answer (`returned`).
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import IntEnum
from typing import Any, Final, Protocol


class Reach(IntEnum):
    """Ordered: what may go to a place may go to every nearer one."""

    LOCAL = 0
    """Hardware of the operator."""
    TRUSTED = 1
    """A provider whose word the operator takes that nothing is kept or learned from."""
    PUBLIC = 2
    """Anybody: free tiers, providers that train on what they are sent."""

    @property
    def word(self) -> str:
        """How node.toml and the record spell it."""
        return self.name.lower()


REACHES: Final = {reach.word: reach for reach in Reach}
_BYTES_PER_TOKEN: Final = 3
"""English has four and a half, code and other languages fewer: it errs to the dear side."""
CHAT: Final = "chat"
"""The task class of an ordinary answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """What a million tokens cost, in millionths of a US dollar: whole numbers, as ledgers hold."""

    into_microusd: int
    out_microusd: int

    def of(self, tokens_in: int, tokens_out: int) -> int:
        """What a reply cost, in millionths of a dollar, rounded up."""
        return -(-(tokens_in * self.into_microusd + tokens_out * self.out_microusd) // 1_000_000)


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCall:
    """A model asks for a tool. `arguments` is what it wrote: JSON of an object, or no JSON at all.

    `id` is the provider's in a reply, and ours in a prompt: providers repeat theirs.
    """

    id: str
    name: str
    arguments: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolOffer:
    """What a model is told of a tool that it may call."""

    name: str
    description: str
    schema: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelRequest:
    """A prompt. `before` is the position of the message: nothing newer is quoted back."""

    messages: tuple[tuple[str, str], ...] = field(repr=False)
    """(role, text) each; a role is system, user, assistant or tool."""
    max_tokens: int
    before: int
    reach: Reach
    task: str = CHAT
    offered: tuple[ToolOffer, ...] = field(default=(), repr=False)
    called: Mapping[int, tuple[ToolCall, ...]] = field(default_factory=dict, repr=False)
    """Of assistant messages, by their number in `messages`."""
    returned: Mapping[int, str] = field(default_factory=dict, repr=False)
    """Of tool messages: the id of the call that each answers; it was called by a message before."""
    free: bool = False
    """Whether only links that cost nothing may be asked."""


def without_tools(request: ModelRequest) -> ModelRequest:
    """Return the prompt for a model that knows no tools: what was called and returned, in words."""
    if not (request.offered or request.called or request.returned):
        return request
    said: list[tuple[str, str]] = []
    for number, (role, text) in enumerate(request.messages):
        calls = request.called.get(number, ())
        lines = [text, *(f"[called {call.name} with {call.arguments}]" for call in calls)]
        words = "\n".join(line for line in lines if line.strip())
        said.append(("user" if role == "tool" else role, words))
    return replace(request, messages=tuple(said), offered=(), called={}, returned={})


@dataclass(frozen=True, slots=True)
class Tried:
    """A link that gave no reply, and why. `failed`: that speaks against it.

    What does not: it was passed over and nobody was asked, or the prompt was too long for it.
    """

    name: str
    reason: str
    failed: bool

    def to_value(self) -> dict[str, Any]:
        """Return it as `model.replied` holds it; versions before 2026-11 wrote no `failed`."""
        return {"name": self.name, "reason": self.reason, "failed": self.failed}


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """Words, who gave them, and which links gave none before."""

    text: str = field(repr=False)
    model: str
    """What the provider says it is."""
    finish: str
    calls: tuple[ToolCall, ...] = ()
    """Tools it asks for; a reply may be nothing else."""
    link: str = ""
    """Which link of the chain gave it; set by the chain."""
    tokens_in: int | None = None
    tokens_out: int | None = None
    estimated: bool = False
    """Whether a count of tokens is an estimate of ours."""
    microusd: int = 0
    """What it cost; set by the chain."""
    tried: tuple[Tried, ...] = ()
    quoted: tuple[int, ...] = ()
    """Events that a link of the node itself quotes; their words were in no prompt."""
    masked: tuple[str, ...] = ()
    """Rules of secrets that the link was not told (`runtime.core.leaks`)."""


def counted(request: ModelRequest, reply: Reply) -> Reply:
    """Return the reply with its tokens, estimated from bytes where the provider did not say."""
    told = sum(len(text.encode()) for _, text in request.messages)
    told += sum(len(call.arguments.encode()) for calls in request.called.values() for call in calls)
    told += sum(len(json.dumps(offer.schema)) + len(offer.description) for offer in request.offered)
    came = len(reply.text.encode()) + sum(len(call.arguments.encode()) for call in reply.calls)
    if reply.tokens_in is None or reply.tokens_out is None:
        return replace(
            reply,
            tokens_in=-(-told // _BYTES_PER_TOKEN) if reply.tokens_in is None else reply.tokens_in,
            tokens_out=-(-came // _BYTES_PER_TOKEN)
            if reply.tokens_out is None
            else reply.tokens_out,
            estimated=True,
        )
    return reply


class DraftSink(Protocol):
    """Where the words of a reply go while it comes. Nothing may wait here."""

    def add(self, text: str) -> None:
        """Take the next words."""

    def reset(self) -> None:
        """Forget them all: the link failed in the middle, and another one begins anew."""


class Link(Protocol):
    """One member of the chain."""

    @property
    def name(self) -> str:
        """How it is called in node.toml and in the record."""

    @property
    def identity(self) -> str | None:
        """Which model it is, for what was found out about it; None if it has none."""

    @property
    def reach(self) -> Reach:
        """How far it carries what it is told."""

    @property
    def tasks(self) -> frozenset[str]:
        """The task classes it is for; none named means all of them."""

    @property
    def price(self) -> Price | None:
        """What it costs; None if nothing."""

    async def reply(self, request: ModelRequest, draft: DraftSink | None = None) -> Reply:
        """Return its reply, its words told to `draft` meanwhile. Raises ModelFailed."""
