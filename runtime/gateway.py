"""The door for words to the agent: bounds, then the crisis screen, then the ledger.

The screen's verdict is a fact of `message.received` itself, so that there is no moment, crash or
not, at which a message that met the screen could be taken for one that did not. Such a message
gets the fixed answer and its author is held: what he writes, in whatever conversation, is recorded
and answered with the fixed words until the operator releases him, and the agent is never told.

A memory that the operator gives goes the same way: it is recorded with the screen's verdict, and
one that met the screen is withheld from agent and models. It has no answer and holds nobody.

In a fleet that routes, `route` is asked whose a conversation is: a message of another member's is
recorded as any, and parked until that one's answer is there (`runtime.forwarding`). One that met
the screen, or whose author is held, is answered here and goes nowhere.

Who may speak and who is the operator is not judged here: the node checks both.
"""

import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

from ledger.core import types
from ledger.core.event import Cause, Draft, Event
from ledger.core.limits import IDEMPOTENCY_KEY_BYTES, STREAM_BYTES
from runtime.answers import settle
from runtime.core import limits
from runtime.core.agenda import SCREEN_CRISIS, SCREEN_PASS
from runtime.core.calls import gateway_key
from runtime.core.errors import MessageRefused
from runtime.journal import Journal
from runtime.screening import screen_message

Route: TypeAlias = Callable[[str, str], Awaitable[bool]]
"""Whether another member of the fleet is to answer, by conversation and author."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PassedBy:
    """The member of the fleet that handed a message on: its own event of it, and that one's Unix
    second.
    """

    ledger: bytes
    position: int
    id: bytes
    taken_at: int = 0

    def to_value(self) -> dict[str, Any]:
        """What of it goes into a payload."""
        return {
            "ledger": self.ledger,
            "position": self.position,
            "id": self.id,
            "taken_at": self.taken_at,
        }


class Gateway:
    """Takes messages from people and programs; the only writer of `message.received`."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self.route: Route | None = None
        """None: this node answers whatever it is handed."""

    async def receive(
        self,
        text: str,
        *,
        conversation: str,
        author: str,
        gateway: str,
        idempotency_key: bytes | None = None,
        passed_by: PassedBy | None = None,
        causes: tuple[Cause, ...] = (),
        here: bool = False,
    ) -> Event:
        """Record a message and return it, durable. A known key returns the first message.

        `passed_by` is the member of the fleet that handed it on, for this node to answer; `causes`
        name what was known elsewhere of the conversation then. `here`: it is this node's to answer,
        whosever the conversation is.

        Raises MessageRefused for a broken bound and IdempotencyConflict for a known key with
        another message. An author who met the screen has his fixed answer when this returns.
        """
        _check_text(text, "message", limits.TEXT_BYTES_MAX)
        _check_names(conversation=conversation, author=author, gateway=gateway)
        key = (
            secrets.token_bytes(IDEMPOTENCY_KEY_BYTES)
            if idempotency_key is None
            else _key(idempotency_key)
        )
        rule = await screen_message(text)
        routes = passed_by is None and not here and rule is None
        elsewhere = routes and await self._elsewhere(conversation, author)
        async with self._journal.deciding:
            known = self._journal.log.find(key)
            screen = SCREEN_PASS if rule is None else SCREEN_CRISIS
            facts: dict[str, Any] = {} if passed_by is None else {"passed_by": passed_by.to_value()}
            if elsewhere and not self._journal.turns.held(author):
                facts["forwarded"] = True
            if known is not None:  # screened then, perhaps by older rules: the same body is due
                screen = known.payload.get("screen", screen)
                facts = {name: known.payload[name] for name in _FACTS if name in known.payload}
                causes = known.envelope.causes
            [event] = await self._journal.append(
                Draft(
                    type=types.MESSAGE_RECEIVED.name,
                    stream=self._stream_of(conversation),
                    payload={
                        "conversation": conversation,
                        "author": author,
                        "gateway": gateway,
                        "screen": screen,
                        **facts,
                    },
                    content={"text": text},
                    causes=causes,
                    idempotency_key=key,
                )
            )
            await settle(self._journal)
        return event

    async def _elsewhere(self, conversation: str, author: str) -> bool:
        return self.route is not None and await self.route(conversation, author)

    async def note(
        self,
        text: str,
        *,
        author: str,
        gateway: str,
        idempotency_key: bytes | None = None,
        project: bytes | None = None,
    ) -> Event:
        """Record a memory and return it, durable; see `memory`.

        A known key returns the first memory, or raises IdempotencyConflict for another one.
        """
        key = None if idempotency_key is None else _key(idempotency_key)
        draft = await memory(text, author=author, gateway=gateway, project=project)
        async with self._journal.deciding:
            known = None if key is None else self._journal.log.find(key)
            if known is not None:  # screened then, perhaps by older rules: the same body is due
                screen = known.payload.get("screen", draft.payload["screen"])
                draft = replace(draft, payload={**draft.payload, "screen": screen})
            [event] = await self._journal.append(replace(draft, idempotency_key=key))
        return event

    async def settle(self) -> None:
        """Give every held author the fixed answers still due. Call once before the agent starts."""
        async with self._journal.deciding:
            await settle(self._journal)

    async def release(self, *, author: str, by: str) -> Event:
        """Lift a hold, in every conversation; the event joins the one in which it began.

        `by` names the operator, whose right to do this the caller has checked. Raises
        MessageRefused if the author is not held.
        """
        async with self._journal.deciding:
            if not self._journal.turns.held(author):
                raise MessageRefused(f"{author} is not held", hint="who is held: timmy status")
            await settle(self._journal)
            first = next(iter(self._journal.turns.holds[author]))
            [event] = await self._journal.append(
                Draft(
                    type=types.POLICY_RELEASED.name,
                    stream=self._stream_of(first),
                    payload={"author": author, "by": by},
                )
            )
        return event

    def _stream_of(self, conversation: str) -> bytes:
        return stream_of(self._journal, conversation)


def stream_of(journal: Journal, conversation: str) -> bytes:
    """Return the stream of a conversation: a new one if nothing was said in it."""
    known = journal.turns.conversation(conversation)
    return secrets.token_bytes(STREAM_BYTES) if known is None else known.stream


_FACTS = ("passed_by", "forwarded")


async def memory(text: str, *, author: str, gateway: str, project: bytes | None = None) -> Draft:
    """Return what records something to remember, with the crisis screen's verdict on it.

    At most MEMORY_BYTES_MAX of UTF-8 and not blank: else raises MessageRefused. `project` names the
    project it belongs to, if it does to one.
    """
    _check_text(text, "memory", limits.MEMORY_BYTES_MAX)
    _check_names(author=author, gateway=gateway)
    rule = await screen_message(text)
    return Draft(
        type=types.MEMORY_NOTED.name,
        stream=types.MEMORY_STREAM,
        payload={
            "kind": "given",
            "author": author,
            "gateway": gateway,
            "screen": SCREEN_PASS if rule is None else SCREEN_CRISIS,
            **({} if project is None else {"project": project}),
        },
        content={"text": text},
    )


def _key(given: bytes) -> bytes:
    """Return the ledger's key for one that a caller chose. Raises MessageRefused."""
    if len(given) != IDEMPOTENCY_KEY_BYTES:
        raise MessageRefused(
            f"idempotency key of {len(given)} bytes, expected {IDEMPOTENCY_KEY_BYTES}",
            hint="make a random one for each message, and the same to send it again",
        )
    return gateway_key(given)


def _check_text(text: str, what: str, bytes_max: int) -> None:
    try:
        size = len(text.encode())
    except UnicodeEncodeError as error:
        raise MessageRefused(
            "text is not valid Unicode: it holds half a surrogate pair", hint="send text in UTF-8"
        ) from error
    if not text.strip():
        raise MessageRefused(f"the {what} is blank", hint="give it words")
    if size > bytes_max:
        raise MessageRefused(
            f"{what} of {size} bytes, at most {bytes_max}", hint="send it in parts"
        )


def _check_names(**names: str) -> None:
    for name, value in names.items():
        if not 1 <= len(value) <= limits.NAME_CHARS_MAX or not value.isprintable():
            raise MessageRefused(
                f"{name} of {len(value)} characters, 1 to {limits.NAME_CHARS_MAX} printable",
                hint="a short name in one line",
            )
