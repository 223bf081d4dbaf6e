"""Consensus-critical: the reducer that folds the ledger into what is still to be done.

A message is *pending* from `message.received` until an event says how it ended: `turn.finished`,
or a `policy.decided` that answered it. Each step of an open turn is remembered with the digest of
its arguments and the position of its result, so that a turn given again after a crash repeats
nothing. Of a tool's step also where it was allowed, for from there on it may have been done. An
author whose message met the crisis screen is *held* in every conversation from that
very message on, until `policy.released`; what he wrote while held is *withheld*: its words never
reach the agent or a model. A release that names a conversation, as earlier versions wrote them,
ends only what began there: he is held until the last beginning is lifted.

A message without the screen's verdict is treated like one that met it: nothing passes unscreened.
A memory that met the screen, or whose author is held, is withheld too; it holds nobody, for it is
often about somebody else. One without a verdict was noted by a version that gave memories none.
An event with a shape this version does not write is passed over, never an error.

A message that another member of the fleet is to answer (`forwarded`) is *parked*: given to no agent
of this node until `route.taken` says that this node answers it. Words that were carried over from
another member's ledger are told to the agent, and change what the next turn may see.

Entries (a position is an int, an id or stream is bytes):

    pending                     positions, oldest first
    pending/<position>          [id, stream, conversation, author, held, names of its open turns]
    parked/<position>           the same, of a message that another member is to answer
    turn/<name, hex>            [message, attempt, [[step, op, args, asked, result], ...]]
    conversation/<name>         [stream, position of the newest event its next turn may depend on]
    holds                       [author, ...]
    hold/<author>               [[conversation it began in, position that began it there], ...]
    withheld/<position>         that position, of a message or a memory
    recent                      how many events the agent would be told of
    recent/<slot>               the newest of them, in a ring of HISTORY_EVENTS_MAX

`runtime.core.turns` reads them.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, TypeAlias

from ledger.core import types
from ledger.core.event import Event
from ledger.core.state import Change
from runtime.core.limits import HISTORY_EVENTS_MAX

STEPPED: Final = "turn.stepped"
"""A step whose result is in no other event: a status, or a refusal."""

BEGUN: Final = frozenset(
    {
        types.MODEL_REQUESTED.name,
        types.TOOL_REQUESTED.name,
        types.TOOL_DECIDED.name,
        types.APPROVAL_ASKED.name,
    }
)
"""Events of a step that are not its result."""

STREAMED: Final = frozenset(
    {
        types.MESSAGE_RECEIVED.name,
        types.MESSAGE_SENT.name,
        types.MEMORY_NOTED.name,
        types.MEMORY_FORGOTTEN.name,
        types.CONTEXT_COMPACTED.name,
        types.TURN_FINISHED.name,
        types.CONVERSATION_CARRIED.name,
    }
)
"""What the agent process is told of. Requests, replies and decisions are the host's business."""

SCREEN_PASS: Final = "pass"  # noqa: S105 - a verdict, not a password
SCREEN_CRISIS: Final = "crisis"
HOLD: Final = "hold"
"""The `action` of a `policy.decided` that starts a hold and answers the message."""
HELD: Final = "held"
"""The `action` of one that answers a message of an author who is held already."""


def pending_key(position: int) -> str:
    """Entry of a message that has no answer yet."""
    return f"pending/{position}"


def parked_key(position: int) -> str:
    """Entry of a message that another member of the fleet is to answer."""
    return f"parked/{position}"


def turn_key(turn: bytes) -> str:
    """Entry of an open turn."""
    return f"turn/{turn.hex()}"


def conversation_key(conversation: str) -> str:
    """Entry of a conversation."""
    return f"conversation/{conversation}"


def hold_key(author: str) -> str:
    """Entry of an author who is held."""
    return f"hold/{author}"


def withheld_key(position: int) -> str:
    """Entry of a message whose words stay with the host."""
    return f"withheld/{position}"


def recent_key(slot: int) -> str:
    """Entry of a slot of the ring."""
    return f"recent/{slot}"


class _Edit:
    """Entries as they will be after the event: what one handler put, the next one sees."""

    __slots__ = ("_entries", "changes")

    def __init__(self, entries: Mapping[str, Any]) -> None:
        self._entries = entries
        self.changes: dict[str, Any] = {}

    def get(self, key: str) -> Any:
        return self.changes[key] if key in self.changes else self._entries.get(key)

    def put(self, key: str, value: Any) -> None:
        self.changes[key] = value


_Handler: TypeAlias = Callable[[_Edit, Event], None]


def reduce_agenda(entries: Mapping[str, Any], event: Event) -> Iterable[Change]:
    """See the module. Never raises for an event that `Event.open` accepted."""
    handler = _HANDLERS.get(event.type)
    if handler is None:
        return ()
    edit = _Edit(entries)
    if event.type in STREAMED:
        count = edit.get("recent") or 0
        edit.put("recent", count + 1)
        edit.put(recent_key(count % HISTORY_EVENTS_MAX), event.position)
    handler(edit, event)
    return edit.changes.items()


def _get(payload: dict[str, Any], name: str, kind: type) -> Any:
    value = payload.get(name)
    return value if type(value) is kind else None


def _who(event: Event) -> tuple[str, str] | None:
    conversation = _get(event.payload, "conversation", str)
    author = _get(event.payload, "author", str)
    return None if conversation is None or author is None else (conversation, author)


def _hold(edit: _Edit, who: tuple[str, str], position: int) -> None:
    conversation, author = who
    begun = edit.get(hold_key(author))
    if begun is None:
        edit.put("holds", [*(edit.get("holds") or []), author])
    if conversation not in [room for room, _ in begun or ()]:
        edit.put(hold_key(author), [*(begun or []), [conversation, position]])


def _touch(edit: _Edit, event: Event, conversation: str) -> None:
    key = conversation_key(conversation)
    known = edit.get(key)
    edit.put(key, [event.stream if known is None else known[0], event.position])


def _close(edit: _Edit, position: int) -> None:
    if edit.get(parked_key(position)) is not None:
        edit.put(parked_key(position), None)
    message = edit.get(pending_key(position))
    if message is None:
        return
    for turn in message[5]:
        edit.put(turn_key(turn), None)
    edit.put(pending_key(position), None)
    edit.put("pending", [at for at in edit.get("pending") if at != position] or None)


def _received(edit: _Edit, event: Event) -> None:
    who = _who(event)
    if who is None:
        return
    if event.payload.get("screen") != SCREEN_PASS:
        _hold(edit, who, event.position)
    held = edit.get(hold_key(who[1])) is not None
    if held:
        edit.put(withheld_key(event.position), event.position)
    if edit.get(conversation_key(who[0])) is None:
        _touch(edit, event, who[0])
    message = [event.cause.id, event.stream, *who, held, []]
    if event.payload.get("forwarded") is True and not held:
        edit.put(parked_key(event.position), message)
    else:
        _open(edit, event.position, message)


def _open(edit: _Edit, position: int, message: list[Any]) -> None:
    edit.put(pending_key(position), message)
    edit.put("pending", [*(edit.get("pending") or []), position])


def _taken(edit: _Edit, event: Event) -> None:
    position = _get(event.payload, "message", int)
    message = None if position is None else edit.get(parked_key(position))
    if position is not None and message is not None:
        edit.put(parked_key(position), None)
        _open(edit, position, message)


def _carried(edit: _Edit, event: Event) -> None:
    conversation = _get(event.payload, "conversation", str)
    if conversation is not None:
        _touch(edit, event, conversation)


def _noted(edit: _Edit, event: Event) -> None:
    author = _get(event.payload, "author", str)
    held = author is not None and edit.get(hold_key(author)) is not None
    if held or event.payload.get("screen", SCREEN_PASS) != SCREEN_PASS:
        edit.put(withheld_key(event.position), event.position)
    _stepped(edit, event)


def _sent(edit: _Edit, event: Event) -> None:
    conversation = _get(event.payload, "conversation", str)
    if conversation is not None:
        _touch(edit, event, conversation)
    _stepped(edit, event)


def _started(edit: _Edit, event: Event) -> None:
    turn = _get(event.payload, "turn", bytes)
    position = _get(event.payload, "message", int)
    attempt = _get(event.payload, "attempt", int)
    if turn is None or attempt is None or position is None:
        return
    message = edit.get(pending_key(position))
    if message is None:
        return
    opened = edit.get(turn_key(turn))
    if opened is None:
        edit.put(turn_key(turn), [position, attempt, []])
        edit.put(pending_key(position), [*message[:5], [*message[5], turn]])
    else:
        edit.put(turn_key(turn), [opened[0], max(opened[1], attempt), opened[2]])


def _finished(edit: _Edit, event: Event) -> None:
    position = _get(event.payload, "message", int)
    known = (pending_key, parked_key) if position is not None else ()
    message = next((m for key in known if (m := edit.get(key(position))) is not None), None)
    if message is not None:
        _touch(edit, event, message[2])
        _close(edit, position)


def _decided(edit: _Edit, event: Event) -> None:
    who = _who(event)
    action = event.payload.get("action")
    if action not in (HOLD, HELD) or who is None:
        return
    if action == HOLD:
        _hold(edit, who, event.position)
    position = _get(event.payload, "message", int)
    if position is not None:
        _close(edit, position)


def _released(edit: _Edit, event: Event) -> None:
    author = _get(event.payload, "author", str)
    begun = None if author is None else edit.get(hold_key(author))
    if begun is None:
        return
    only = "conversation" in event.payload
    left = [began for began in begun if only and began[0] != event.payload["conversation"]]
    edit.put(hold_key(author), left or None)
    if not left:
        edit.put("holds", [held for held in edit.get("holds") if held != author] or None)


def _asked(edit: _Edit, event: Event) -> None:
    _put_step(edit, event, 3)


def _stepped(edit: _Edit, event: Event) -> None:
    _put_step(edit, event, 4)


def _tool_decided(edit: _Edit, event: Event) -> None:
    if event.payload.get("effect") == "allow":
        _asked(edit, event)


def _put_step(edit: _Edit, event: Event, field: int) -> None:
    """Set `asked` (3) or `result` (4) of a step, which the first event that names it begins."""
    turn = _get(event.payload, "turn", bytes)
    number = _get(event.payload, "step", int)
    op = _get(event.payload, "op", str)
    args = _get(event.payload, "args", bytes)
    opened = None if turn is None else edit.get(turn_key(turn))
    if opened is None or number is None or op is None or args is None:
        return
    message, attempt, steps = opened
    known = next((step for step in steps if step[0] == number), [number, op, args, None, None])
    step = [*known[:field], event.position, *known[field + 1 :]]
    others = [other for other in steps if other[0] != number]
    edit.put(turn_key(turn), [message, attempt, [*others, step]])


_HANDLERS: Final[Mapping[str, _Handler]] = {
    types.MESSAGE_RECEIVED.name: _received,
    types.MESSAGE_SENT.name: _sent,
    types.TURN_STARTED.name: _started,
    types.TURN_FINISHED.name: _finished,
    types.POLICY_DECIDED.name: _decided,
    types.POLICY_RELEASED.name: _released,
    types.MODEL_REQUESTED.name: _asked,
    types.MODEL_REPLIED.name: _stepped,
    types.TOOL_DECIDED.name: _tool_decided,
    types.TOOL_RETURNED.name: _stepped,
    types.RECALLED.name: _stepped,
    types.MEMORY_NOTED.name: _noted,
    STEPPED: _stepped,
    types.ROUTE_TAKEN.name: _taken,
    types.CONVERSATION_CARRIED.name: _carried,
}

INTERPRETED: Final = frozenset(_HANDLERS)
"""Types that must be understood before anything is decided: a hold may be among them."""
