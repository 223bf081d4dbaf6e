"""One client's connection to our relay, without the connection (NIP-01).

Text frames go in, actions come out; the driver (mesh/relay.py) carries them out and comes back
with what happened. The rules:

1. Every EVENT is answered by one OK: at once when it is malformed or refused by the policy, else
   after the driver has had the `Offer` verified and committed.
2. Every REQ leads to a `Query`, then to its stored events, one EOSE, and live events; or to CLOSED.
   A REQ with a known id replaces that subscription, also while its query is running: rows of an
   older query are dropped by their `token`.
3. Live events that come while a query runs are kept and sent after EOSE unless the query had
   them. So nothing is lost between the stored and the live part, in whatever order the driver
   hears of commits.
4. A frame that is no message costs a strike and gets a NOTICE; too many end the session.
5. Nothing here waits, raises on input, or grows beyond the bounds of mesh/core/limits.py.

Not covered: AUTH (NIP-42), COUNT (NIP-45), NEG-OPEN (NIP-77), deletion (NIP-09, NIP-62).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import msgspec

from mesh.core import limits, messages
from mesh.core.errors import InvalidData, InvalidEvent, InvalidMessage, UnsupportedFilter
from mesh.core.filter import Filter, matches_any, parse_filter
from mesh.core.nip01 import Event, is_hex32
from mesh.core.policy import WritePolicy


@dataclass(frozen=True, slots=True)
class Send:
    """Send this text to the client."""

    text: str


@dataclass(frozen=True, slots=True)
class Offer:
    """Verify and commit this event, then send its OK."""

    event: Event


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """Read the stored events of these filters and give them to `Session.stored`."""

    subscription: str
    token: int
    filters: tuple[Filter, ...]


@dataclass(frozen=True, slots=True)
class Hangup:
    """Close the connection, with this reason."""

    reason: str


Action: TypeAlias = Send | Offer | Query | Hangup


@dataclass(slots=True, kw_only=True)
class _Subscription:
    """Filters of a REQ. `waiting` holds live events by id while the query runs, then is None."""

    token: int
    filters: tuple[Filter, ...]
    waiting: dict[str, str] | None = field(default_factory=dict)


class Session:
    """The state of one connection: its subscriptions and its strikes."""

    def __init__(self, policy: WritePolicy) -> None:
        self._policy = policy
        self._subscriptions: dict[str, _Subscription] = {}
        self._strikes = 0
        self._tokens = 0

    @property
    def subscriptions(self) -> int:
        """How many subscriptions are open."""
        return len(self._subscriptions)

    def receive(self, frame: str, *, now: int) -> list[Action]:
        """Take one text frame and return what to do, in order. Never raises on input."""
        try:
            verb, *rest = messages.split(frame)
            match messages.decode(verb), rest:
                case "EVENT", [raw]:
                    return [self._event(raw, now)]
                case "REQ", [subscription, *filters]:
                    return self._request(_subscription_id(subscription), filters)
                case "CLOSE", [subscription]:
                    self._subscriptions.pop(_subscription_id(subscription), None)
                    return []
                case _:
                    raise InvalidMessage("not an EVENT, REQ or CLOSE message")
        except InvalidData as error:
            return self.strike(f"invalid: {error}")

    def strike(self, complaint: str) -> list[Action]:
        """Count a frame that was no message; the client hears why, and the last one ends it."""
        self._strikes += 1
        told: list[Action] = [Send(messages.notice(complaint))]
        if self._strikes >= limits.STRIKES_MAX:
            told.append(Hangup("too many invalid messages"))
        return told

    def stored(self, query: Query, rows: Sequence[tuple[str, str]]) -> list[str]:
        """Take a query's rows, each (event id, event JSON), and return the texts to send.

        Stored events, EOSE, then live ones that came meanwhile. Nothing if the subscription was
        closed or replaced while the query ran.
        """
        subscription = self._subscriptions.get(query.subscription)
        if subscription is None or subscription.token != query.token:
            return []
        waiting, subscription.waiting = subscription.waiting or {}, None
        texts = [messages.event_for(query.subscription, row) for _, row in rows]
        texts.append(messages.eose(query.subscription))
        for event_id, _ in rows:
            waiting.pop(event_id, None)
        texts.extend(messages.event_for(query.subscription, row) for row in waiting.values())
        return texts

    def failed(self, query: Query, message: str) -> list[str]:
        """End a subscription whose query could not be answered."""
        subscription = self._subscriptions.get(query.subscription)
        if subscription is None or subscription.token != query.token:
            return []
        del self._subscriptions[query.subscription]
        return [messages.closed(query.subscription, message)]

    def deliver(self, event: Event, event_json: str) -> list[str]:
        """Return the texts by which this client gets a new event: one per matching subscription."""
        texts = []
        for name, subscription in list(self._subscriptions.items()):
            if not matches_any(subscription.filters, event):
                continue
            if subscription.waiting is None:
                texts.append(messages.event_for(name, event_json))
            elif len(subscription.waiting) < limits.PENDING_EVENTS_MAX:
                subscription.waiting[event.id] = event_json
            else:
                del self._subscriptions[name]
                texts.append(messages.closed(name, "error: too many events while reading"))
        return texts

    def _event(self, raw: msgspec.Raw, now: int) -> Action:
        try:
            event = Event.from_json(raw)
        except InvalidEvent as error:
            event_id = _claimed_id(raw)
            if event_id is None:
                raise
            return Send(messages.ok(event_id, accepted=False, message=f"invalid: {error}"))
        refusal = self._policy.refusal(event, now=now)
        if refusal is not None:
            return Send(messages.ok(event.id, accepted=False, message=refusal))
        return Offer(event)

    def _request(self, name: str, raw_filters: list[msgspec.Raw]) -> list[Action]:
        self._subscriptions.pop(name, None)
        if len(self._subscriptions) >= limits.SUBSCRIPTIONS_MAX:
            bound = limits.SUBSCRIPTIONS_MAX
            return _refuse(name, f"error: at most {bound} subscriptions on a connection")
        if not 1 <= len(raw_filters) <= limits.FILTERS_MAX:
            return _refuse(name, f"invalid: a REQ takes 1 to {limits.FILTERS_MAX} filters")
        try:
            filters = tuple(parse_filter(messages.decode(raw)) for raw in raw_filters)
        except UnsupportedFilter as error:
            return _refuse(name, f"unsupported: {error}")
        except InvalidData as error:
            return _refuse(name, f"invalid: {error}")
        self._tokens += 1
        self._subscriptions[name] = _Subscription(token=self._tokens, filters=filters)
        return [Query(subscription=name, token=self._tokens, filters=filters)]


def _refuse(name: str, message: str) -> list[Action]:
    return [Send(messages.closed(name, message))]


def _subscription_id(raw: msgspec.Raw) -> str:
    name = messages.decode(raw)
    if not isinstance(name, str) or not 1 <= len(name) <= limits.SUBSCRIPTION_ID_CHARS_MAX:
        bound = limits.SUBSCRIPTION_ID_CHARS_MAX
        raise InvalidMessage(f"a subscription id is a text of 1 to {bound} characters")
    return name


def _claimed_id(raw: msgspec.Raw) -> str | None:
    """Return the id a malformed event gives itself, so that its sender gets his OK."""
    try:
        value: Any = messages.decode(raw)
    except InvalidMessage:
        return None
    found = value.get("id") if isinstance(value, dict) else None
    return found if is_hex32(found) else None
