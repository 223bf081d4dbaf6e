"""One client's connection to our relay, without the connection (NIP-01).

Text frames go in, actions come out; the driver (mesh/relay/server.py) carries them out and comes
back with what happened. The rules:

1. Every EVENT is answered by one OK: at once when it is malformed or refused by the policy, else
   after the driver has had the `Offer` verified and committed.
2. Every REQ leads to a `Query`, then to its stored events, one EOSE, and live events; or to CLOSED.
   A REQ with a known id replaces that subscription, also while its query is running: rows of an
   older query are dropped by their `token`.
3. Live events that come while a query runs are kept and sent after EOSE unless the query had
   them. So nothing is lost between the stored and the live part, in whatever order the driver
   hears of commits.
4. What needs authentication is refused with `auth-required:`, the challenge going before it; an
   AUTH that holds widens what the open subscriptions hear from then on (NIP-42, mesh/core/privacy).
5. A frame that is no message costs a strike and gets a NOTICE, as does an AUTH that does not hold;
   too many end the session. Each is a `Fault` as well, like an event that is none, or is invalid.
6. COUNT is answered like a REQ, with a number (NIP-45). A reconciliation (NIP-77) is opened by a
   filter, goes on by messages, and is the driver's to hold: its names are apart from those of REQ.
7. Nothing here waits, raises on input, or grows beyond the bounds of mesh/core/limits.py.
"""

from binascii import unhexlify
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

import msgspec

from mesh.core import limits
from mesh.core.errors import InvalidData, InvalidEvent, InvalidMessage, UnsupportedFilter
from mesh.core.nip01 import Event, is_hex32
from mesh.core.relay import messages, privacy
from mesh.core.relay.auth import Authentication
from mesh.core.relay.deletion import ALL_RELAYS, VANISH_KIND, vanish_relays
from mesh.core.relay.filter import (
    Filter,
    TagValues,
    matches_any,
    parse_filter,
    tag_values,
)
from mesh.core.relay.policy import WritePolicy


@dataclass(frozen=True, slots=True)
class Send:
    """Send this text to the client."""

    text: str


@dataclass(frozen=True, slots=True)
class Offer:
    """Verify and commit this event, then send its OK.

    Its author is `uninvited` if nothing else of his would be taken: a request to vanish is followed
    all the same (NIP-62), but only kept if there is something for it to remove. A `guest` is not of
    the fleet, and has no claim to the last room in the store.
    """

    event: Event
    uninvited: bool = False
    guest: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """Read the stored events of these filters and give them to `Session.stored`.

    Private ones only for those who hold one of `keys`.
    """

    subscription: str
    token: int
    filters: tuple[Filter, ...]
    keys: frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Count:
    """Count the stored events of these filters and send the number, or CLOSED."""

    subscription: str
    filters: tuple[Filter, ...]
    keys: frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reconcile:
    """Gather what a filter matches, keep it under this name, and answer the first message."""

    name: str
    filter: Filter
    keys: frozenset[str]
    message: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Continue:
    """Answer a further message of the reconciliation of this name; None: forget it."""

    name: str
    message: bytes | None


@dataclass(frozen=True, slots=True)
class Fault:
    """The client did what no honest one does: worth a line in the log, once for each `kind`.

    A reason may have words of the client's in it, and so be another one each time; no kind has.
    """

    kind: str
    reason: str


@dataclass(frozen=True, slots=True)
class Hangup:
    """Close the connection, with this reason."""

    reason: str


Action: TypeAlias = Send | Offer | Query | Count | Reconcile | Continue | Fault | Hangup


_NO_AUTH: Final = "a proof of a key that does not hold"


@dataclass(slots=True, kw_only=True)
class _Subscription:
    """Filters of a REQ. `waiting` holds live events by id while the query runs, then is None."""

    token: int
    filters: tuple[Filter, ...]
    waiting: dict[str, str] | None = field(default_factory=dict)


class Session:
    """The state of one connection: its keys, its subscriptions and its strikes.

    `challenge` is random and this connection's alone; `names` are the addresses by which the relay
    was reached, each as `auth.relay_name` writes it.
    """

    def __init__(self, policy: WritePolicy, *, challenge: str, names: frozenset[str]) -> None:
        self.policy = policy
        """May be replaced at any time; it holds from the next frame on."""
        self._auth = Authentication(challenge, names)
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
                    return self._event(raw, now)
                case "REQ", [subscription, *filters]:
                    return self._request(_subscription_id(subscription), filters)
                case "CLOSE", [subscription]:
                    self._subscriptions.pop(_subscription_id(subscription), None)
                    return []
                case "AUTH", [raw]:
                    return self._authenticate(raw, now)
                case "COUNT", [subscription, *filters]:
                    return self._count(_subscription_id(subscription), filters)
                case "NEG-OPEN", [name, raw, message]:
                    return self._reconcile(_subscription_id(name), raw, message)
                case "NEG-MSG", [name, message]:
                    return [Continue(name=_subscription_id(name), message=_unhexed(message))]
                case "NEG-CLOSE", [name]:
                    return [Continue(name=_subscription_id(name), message=None)]
                case _:
                    raise InvalidMessage("not a message of NIP-01, 42, 45 or 77")
        except InvalidData as error:
            return self.strike(f"invalid: {error}")

    def strike(self, complaint: str) -> list[Action]:
        """Count a frame that was no message; the client hears why, and the last one ends it."""
        return self._struck("a frame that is no message", complaint, messages.notice(complaint))

    def _struck(self, kind: str, reason: str, text: str) -> list[Action]:
        self._strikes += 1
        told: list[Action] = [Fault(kind, reason), Send(text)]
        if self._strikes >= limits.STRIKES_MAX:
            told.append(Hangup("too many invalid messages"))
        return told

    def stored(
        self, query: Query, rows: Sequence[tuple[str, str]], *, more: bool | None = None
    ) -> list[str]:
        """Take a query's rows, each (event id, event JSON), and return the texts to send.

        Stored events, EOSE, then live ones that came meanwhile. Nothing if the subscription was
        closed or replaced while the query ran. `more`: whether further stored events match.
        """
        subscription = self._subscriptions.get(query.subscription)
        if subscription is None or subscription.token != query.token:
            return []
        waiting, subscription.waiting = subscription.waiting or {}, None
        texts = [messages.event_for(query.subscription, row) for _, row in rows]
        texts.append(messages.eose(query.subscription, more=more))
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

    def deliver(self, event: Event, event_json: str, tags: TagValues | None = None) -> list[str]:
        """Return the texts by which this client gets a new event: one per matching subscription.

        `tags` are the event's `tag_values`, made once for all clients.
        """
        texts: list[str] = []
        if not privacy.may_read(event, self._auth.keys):
            return texts
        known = tag_values(event) if tags is None else tags
        for name, subscription in list(self._subscriptions.items()):
            if not matches_any(subscription.filters, event, known):
                continue
            if subscription.waiting is None:
                texts.append(messages.event_for(name, event_json))
            elif len(subscription.waiting) < limits.PENDING_EVENTS_MAX:
                subscription.waiting[event.id] = event_json
            else:
                del self._subscriptions[name]
                texts.append(messages.closed(name, "error: too many events while reading"))
        return texts

    def _event(self, raw: msgspec.Raw, now: int) -> list[Action]:
        event = _parsed(raw)
        if isinstance(event, _Malformed):
            return [Fault("an event that is none", event.reason), Send(event.ok)]
        refusal = self.policy.refusal(event, now=now, keys=self._auth.keys)
        if event.kind == VANISH_KIND and not self._is_for_us(event):
            refusal = "invalid: no relay tag names this relay, or ALL_RELAYS"
        if refusal is not None:
            told = self._refuse(refusal, messages.ok(event.id, accepted=False, message=refusal))
            return [Fault(refusal, refusal), *told] if is_fault(refusal) else told
        keys = self._auth.keys
        uninvited = not self.policy.welcomes(event, keys)
        return [Offer(event, uninvited=uninvited, guest=self.policy.is_guest(event, keys))]

    def _is_for_us(self, request: Event) -> bool:
        named = vanish_relays(request)
        return ALL_RELAYS in named or any(map(self._auth.is_named, named))

    def _authenticate(self, raw: msgspec.Raw, now: int) -> list[Action]:
        event = _parsed(raw)
        if isinstance(event, _Malformed):
            return self._struck(_NO_AUTH, event.reason, event.ok)
        refusal = self._auth.accept(event, now=now)
        if refusal is not None:
            text = messages.ok(event.id, accepted=False, message=refusal)
            return self._struck(_NO_AUTH, refusal, text)
        return [Send(messages.ok(event.id, accepted=True))]

    def _refuse(self, refusal: str, text: str) -> list[Action]:
        """Return a refusal, after the challenge if that is what it asks for."""
        told: list[Action] = [Send(text)]
        challenge = self._auth.ask() if refusal.startswith("auth-required:") else None
        return told if challenge is None else [Send(messages.auth(challenge)), *told]

    def _request(self, name: str, raw_filters: list[msgspec.Raw]) -> list[Action]:
        self._subscriptions.pop(name, None)
        if len(self._subscriptions) >= limits.SUBSCRIPTIONS_MAX:
            bound = limits.SUBSCRIPTIONS_MAX
            message = f"error: at most {bound} subscriptions on a connection"
            return [Send(messages.closed(name, message))]
        filters = self._filters(raw_filters)
        if isinstance(filters, str):
            return self._refuse(filters, messages.closed(name, filters))
        open_values = sum(one.values for sub in self._subscriptions.values() for one in sub.filters)
        values = open_values + sum(one.values for one in filters)
        if values > limits.SUBSCRIPTION_VALUES_MAX:
            bound = limits.SUBSCRIPTION_VALUES_MAX
            message = f"error: {values} values in the filters of a connection, at most {bound}"
            return [Send(messages.closed(name, message))]
        self._tokens += 1
        self._subscriptions[name] = _Subscription(token=self._tokens, filters=filters)
        keys = self._auth.keys
        return [Query(subscription=name, token=self._tokens, filters=filters, keys=keys)]

    def _filters(self, raw_filters: Sequence[msgspec.Raw]) -> tuple[Filter, ...] | str:
        """Return the filters, or why they are not answered, in the words of a CLOSED message."""
        if not 1 <= len(raw_filters) <= limits.FILTERS_MAX:
            return f"invalid: 1 to {limits.FILTERS_MAX} filters allowed, got {len(raw_filters)}"
        try:
            filters = tuple(parse_filter(messages.decode(raw)) for raw in raw_filters)
        except UnsupportedFilter as error:
            return f"unsupported: {error}"
        except InvalidData as error:
            return f"invalid: {error}"
        return privacy.refusal(filters, self._auth.keys) or filters

    def _count(self, name: str, raw_filters: list[msgspec.Raw]) -> list[Action]:
        filters = self._filters(raw_filters)
        if isinstance(filters, str):
            return self._refuse(filters, messages.closed(name, filters))
        return [Count(subscription=name, filters=filters, keys=self._auth.keys)]

    def _reconcile(self, name: str, raw: msgspec.Raw, message: msgspec.Raw) -> list[Action]:
        filters = self._filters([raw])
        if isinstance(filters, str):
            refused = self._refuse(filters, messages.neg_err(name, filters))
            return [Continue(name=name, message=None), *refused]  # the older one ends, too
        first, keys = _unhexed(message), self._auth.keys
        return [Reconcile(name=name, filter=filters[0], keys=keys, message=first)]


def is_fault(refusal: str) -> bool:
    """Tell whether an event was refused for what it is, and not for whose it is or our room."""
    return refusal.startswith("invalid:")


@dataclass(frozen=True, slots=True)
class _Malformed:
    """Why what was sent as an event is none, and the OK message that says so."""

    reason: str
    ok: str


def _parsed(raw: msgspec.Raw) -> Event | _Malformed:
    """Return the event, or its refusal. Raises InvalidEvent if it has not even an id."""
    try:
        return Event.from_json(raw)
    except InvalidEvent as error:
        event_id = _claimed_id(raw)
        if event_id is None:
            raise
        reason = f"invalid: {error}"
        return _Malformed(reason, messages.ok(event_id, accepted=False, message=reason))


def _subscription_id(raw: msgspec.Raw) -> str:
    name = messages.decode(raw)
    if not isinstance(name, str) or not 1 <= len(name) <= limits.SUBSCRIPTION_ID_CHARS_MAX:
        bound = limits.SUBSCRIPTION_ID_CHARS_MAX
        raise InvalidMessage(f"a subscription id is a text of 1 to {bound} characters")
    return name


def _unhexed(raw: msgspec.Raw) -> bytes:
    text = messages.decode(raw)
    try:
        return unhexlify(text)
    except (ValueError, TypeError) as error:  # binascii.Error is a ValueError
        raise InvalidMessage("a message of reconciliation is hex") from error


def _claimed_id(raw: msgspec.Raw) -> str | None:
    """Return the id a malformed event gives itself, so that its sender gets his OK."""
    try:
        value: Any = messages.decode(raw)
    except InvalidMessage:
        return None
    found = value.get("id") if isinstance(value, dict) else None
    return found if is_hex32(found) else None
