"""Our side of a connection to a relay, without the connection (NIP-01, 42, 77).

Frames go in, actions come out; the driver (mesh/pool/link.py) carries them out. A relay is believed
nothing that cannot be checked:

1. An event is handed on once its id, its signature, and the filters it was asked for by are
   checked; `skip` lets the owner of a request say that he has an id, then it costs no signature.
2. What was not asked for (unknown subscriptions, events that no filter wants, OKs for nothing,
   signatures that fail, more stored events than `limit`, no messages at all) is a `Fault`: told to
   the driver, and a strike. Too many strikes end the connection.
3. Only what came before EOSE counts as stored; nothing follows from an EOSE
   (mesh/core/pool/paging.py).
4. A refusal with `auth-required` is answered by signing the relay's challenge, if we may, and what
   was refused is said again, once. A challenge alone is not answered: it would tell every relay who
   reads. Refused or missing, the refusals are handed on.
5. A refusal that names no event counts once it can be of no other: when as many events wait for an
   answer as were refused so.
6. Nothing here waits, raises on input, or grows beyond the bounds of mesh/core/limits.py.

Not covered: time. Silence is for the driver to notice, who then calls `close` or hangs up. COUNT
(NIP-45) is not asked for.
"""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final, TypeAlias

from mesh.core import limits
from mesh.core.errors import InvalidData, InvalidEvent, InvalidSignature
from mesh.core.nip01 import Event, UnsignedEvent, VerifiedEvent, verify
from mesh.core.pool import client_messages as wire
from mesh.core.relay.filter import Filter, matches_any

AUTH_KIND: Final = 22242
"""NIP-42: never stored, never published."""


class FaultKind(Enum):
    """What a relay can do wrong. Each is logged once per relay, with its first reason."""

    NO_MESSAGE = "sends what is no message"
    BAD_EVENT = "hands over events that are not their author's"
    UNASKED = "hands over what was not asked for"
    FLOOD = "hands over more than was asked for"
    CHALLENGES = "asks for signatures over and over"
    AUTH_REFUSED = "does not let us in"
    SILENT = "does not answer"
    SHORT = "names events that it does not hand over"
    LOSES = "says that it has taken events, and does not have them"
    RECONCILIATION = "does not reconcile as NIP-77 has it"
    ENDED = "ends connections"


@dataclass(frozen=True, slots=True)
class Send:
    """Send this text to the relay."""

    text: str


@dataclass(frozen=True, slots=True)
class Sign:
    """Sign the answer to this challenge for `Client.authenticate`, or call `give_up_auth`."""

    challenge: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Got:
    """A verified event that request `name` asked for; `stored`: before its EOSE. Bytes as sent."""

    name: str
    event: VerifiedEvent
    size: int
    stored: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Again:
    """The relay has an event that the owner of request `name` has, too."""

    name: str
    event_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """The relay says that it gave all stored events of request `name`."""

    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """Request or reconciliation `name` is over: refused, or closed by the relay."""

    name: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Reconciled:
    """The relay's next message of reconciliation `name`."""

    name: str
    message: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """What the relay says of an event that was offered."""

    event_id: str
    accepted: bool
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """The relay broke a rule."""

    kind: FaultKind
    reason: str


@dataclass(frozen=True, slots=True)
class Noticed:
    """The relay says something to a person."""

    text: str


@dataclass(frozen=True, slots=True)
class Hangup:
    """Close the connection, with this reason."""

    reason: str


Action: TypeAlias = (
    Send | Sign | Got | Again | Stored | Ended | Reconciled | Answered | Fault | Noticed | Hangup
)


def auth_event(*, pubkey: str, url: str, challenge: str, now: int) -> UnsignedEvent:
    """Return the answer to a challenge of the relay that we dialled as `url` (NIP-42).

    The URL is ours, not the relay's word: a relay that hands on another's challenge gets an answer
    that is good for itself only.
    """
    tags = (("relay", url), ("challenge", challenge))
    return UnsignedEvent(pubkey=pubkey, created_at=now, kind=AUTH_KIND, tags=tags)


@dataclass(slots=True, kw_only=True)
class _Request:
    """A REQ (filters) or NEG-OPEN (no filters) of ours."""

    text: str
    filters: tuple[Filter, ...]
    skip: Callable[[str], bool]
    room: int
    stored: bool = False
    tried_auth: bool = False


class _Auth(Enum):
    NONE = "nobody asked"
    PENDING = "signed, no answer yet"
    DONE = "let in"
    FAILED = "not let in"


class Client:
    """The state of one connection. `can_authenticate`: whether a `Sign` may be asked for."""

    def __init__(self, *, can_authenticate: bool) -> None:
        self._can_authenticate = can_authenticate
        self._requests: dict[str, _Request] = {}
        self._ended: OrderedDict[str, None] = OrderedDict()
        self._offered: dict[str, str] = {}
        self._offers_refused: dict[str, str] = {}
        self._unnamed: list[str] = []
        self._auth = _Auth.NONE
        self._auth_id = ""
        self._challenge = ""
        self._challenges = 0
        self._waits = False
        self._strikes = 0

    @property
    def in_flight(self) -> frozenset[str]:
        """Ids of events that were offered and not answered."""
        return frozenset(self._offered)

    @property
    def requests(self) -> int:
        """How many requests are open."""
        return len(self._requests)

    @property
    def authenticated(self) -> bool:
        """Whether the relay let us in (NIP-42)."""
        return self._auth is _Auth.DONE

    # ---- what we want -------------------------------------------------------------------------

    def request(
        self,
        name: str,
        filters: Sequence[Filter],
        *,
        skip: Callable[[str], bool] = lambda _: False,
        matching: Sequence[Filter] = (),
    ) -> list[Action]:
        """Open a subscription; one of the same name is replaced.

        What comes must match `matching`, the filters themselves unless said otherwise.
        """
        stored_max = sum(one.rows_max for one in filters)
        wanted = tuple(matching or filters)
        return self._open(name, wire.req(name, filters), wanted, skip, stored_max)

    def reconcile(self, name: str, one: Filter, message: bytes) -> list[Action]:
        """Begin a reconciliation of one filter with its first message."""
        return self._open(name, wire.neg_open(name, one, message), (), lambda _: False, 0)

    def _open(
        self,
        name: str,
        text: str,
        filters: tuple[Filter, ...],
        skip: Callable[[str], bool],
        room: int,
    ) -> list[Action]:
        if name not in self._requests and len(self._requests) >= limits.REQUESTS_MAX:
            bound = limits.REQUESTS_MAX
            return [Ended(name=name, message=f"error: more than {bound} requests of our own")]
        slack = limits.PENDING_EVENTS_MAX  # live events may come between stored ones
        self._requests[name] = _Request(text=text, filters=filters, skip=skip, room=room + slack)
        return [Send(text)]

    def go_on(self, name: str, message: bytes) -> list[Action]:
        """Send the next message of a reconciliation."""
        return [Send(wire.neg_msg(name, message))] if name in self._requests else []

    def close(self, name: str) -> list[Action]:
        """End a request of ours."""
        request = self._requests.get(name)
        if request is None:
            return []
        self._forget(name)
        return [Send(wire.close(name) if request.filters else wire.neg_close(name))]

    def _forget(self, name: str) -> None:
        self._requests.pop(name, None)
        self._ended[name] = None
        while len(self._ended) > limits.CLOSED_NAMES_MAX:
            self._ended.popitem(last=False)

    def offer(self, event_id: str, event_json: str) -> list[Action]:
        """Hand over an event; the driver keeps to the window."""
        text = wire.event(event_json)
        self._offered[event_id] = text
        return [Send(text)]

    # ---- what the relay says ------------------------------------------------------------------

    def receive(self, frame: str | bytes) -> list[Action]:
        """Take one frame and return what to do, in order. Never raises on input."""
        try:
            said = wire.parse_from_relay(frame)
        except InvalidData as error:
            return self._strike(FaultKind.NO_MESSAGE, str(error))
        match said:
            case wire.Delivered():
                return self._delivered(said)
            case wire.Acknowledged():
                return self._acknowledged(said)
            case wire.Unnamed(message):
                return self._refused_unnamed(message)
            case wire.StoredEnd(name=name):
                return self._stored(name)
            case (
                wire.Closed(name=name, message=message) | wire.NegError(name=name, message=message)
            ):
                return self._closed(name, message)
            case wire.NegMessage(name=name, message=data):
                return self._reconciled(name, data)
            case wire.Challenge(text):
                return self._challenged(text)
            case wire.Notice(text):
                return [Noticed(text)]
            case _:
                return []

    def _strike(self, kind: FaultKind, reason: str) -> list[Action]:
        self._strikes += 1
        told: list[Action] = [Fault(kind=kind, reason=reason)]
        if self._strikes >= limits.STRIKES_MAX:
            told.append(Hangup(f"{self._strikes} faults, the last: {reason}"))
        return told

    def _unasked(self, name: str, what: str) -> list[Action]:
        if name in self._ended:  # under way when it was closed
            return []
        return self._strike(FaultKind.UNASKED, f"{what} for {name!r}, which is not open")

    def _delivered(self, said: wire.Delivered) -> list[Action]:
        request = self._requests.get(said.name)
        if request is None or not request.filters:
            return self._unasked(said.name, "an event")
        try:
            event = Event.from_json(said.raw)
        except InvalidEvent as error:
            return self._strike(FaultKind.BAD_EVENT, str(error))
        if not request.stored:
            request.room -= 1
            if request.room < 0:
                return self._flood(said.name)
        if request.skip(event.id):
            return [Again(name=said.name, event_id=event.id)]
        return self._checked(said, request, event)

    def _checked(self, said: wire.Delivered, request: _Request, event: Event) -> list[Action]:
        if not matches_any(request.filters, event):
            return self._strike(FaultKind.UNASKED, f"event {event.id}, which no filter asks for")
        try:
            verified = verify(event)
        except InvalidSignature as error:
            return self._strike(FaultKind.BAD_EVENT, f"event {event.id}: {error}")
        size = len(bytes(said.raw))
        return [Got(name=said.name, event=verified, size=size, stored=not request.stored)]

    def _flood(self, name: str) -> list[Action]:
        reason = "more stored events than asked for, and no end of them"
        return [
            *self.close(name),
            Ended(name=name, message=f"error: {reason}"),
            *self._strike(FaultKind.FLOOD, reason),
        ]

    def _stored(self, name: str) -> list[Action]:
        request = self._requests.get(name)
        if request is None or not request.filters:
            return self._unasked(name, "an EOSE")
        request.stored = True
        return [Stored(name=name)]

    def _reconciled(self, name: str, data: bytes) -> list[Action]:
        request = self._requests.get(name)
        if request is None or request.filters:
            return self._unasked(name, "a reconciliation")
        return [Reconciled(name=name, message=data)]

    def _closed(self, name: str, message: str) -> list[Action]:
        request = self._requests.get(name)
        if request is None:
            return self._unasked(name, "a CLOSED")
        if self._may_sign(message) and not request.tried_auth:
            request.tried_auth = True
            self._waits = True
            return self._sign()
        self._forget(name)
        return [Ended(name=name, message=message)]

    def _acknowledged(self, said: wire.Acknowledged) -> list[Action]:
        if said.id == self._auth_id:
            return self._let_in(said)
        text = self._offered.get(said.id)
        if text is None:
            return self._strike(FaultKind.UNASKED, f"an OK for {said.id}, which was not sent")
        if (
            not said.accepted
            and self._may_sign(said.message)
            and said.id not in self._offers_refused
        ):
            self._offers_refused[said.id] = said.message
            self._waits = True
            return self._sign()
        del self._offered[said.id]
        self._offers_refused.pop(said.id, None)
        answered = Answered(event_id=said.id, accepted=said.accepted, message=said.message)
        return [answered, *self._attributed()]

    def _refused_unnamed(self, message: str) -> list[Action]:
        if not self._offered:
            return self._strike(FaultKind.UNASKED, "a refusal, and nothing was sent")
        self._unnamed.append(message)
        return self._attributed()

    def _attributed(self) -> list[Action]:
        """Give refusals without a name to the events that wait, when there are no others."""
        if not self._unnamed or len(self._unnamed) < len(self._offered):
            return []
        refused = zip(self._offered, self._unnamed, strict=False)
        told: list[Action] = [
            Answered(event_id=event_id, accepted=False, message=message)
            for event_id, message in refused
        ]
        self._offered.clear()
        self._offers_refused.clear()
        self._unnamed.clear()
        return told

    # ---- authentication (NIP-42) --------------------------------------------------------------

    def _may_sign(self, message: str) -> bool:
        wanted = wire.prefix_of(message) == "auth-required"
        return wanted and self._can_authenticate and self._auth in {_Auth.NONE, _Auth.PENDING}

    def _challenged(self, text: str) -> list[Action]:
        self._challenges += 1
        if self._challenges > limits.CHALLENGES_MAX:
            return self._strike(FaultKind.CHALLENGES, f"{self._challenges} challenges")
        if not 1 <= len(text) <= limits.CHALLENGE_CHARS_MAX:
            bound = limits.CHALLENGE_CHARS_MAX
            reason = f"a challenge of {len(text)} characters, 1 to {bound} allowed"
            return self._strike(FaultKind.CHALLENGES, reason)
        self._challenge = text
        return self._sign() if self._waits else []

    def _sign(self) -> list[Action]:
        if self._auth is not _Auth.NONE or not self._challenge:
            return []
        self._auth = _Auth.PENDING
        return [Sign(self._challenge)]

    def authenticate(self, signed: VerifiedEvent) -> list[Action]:
        """Send the answer to the challenge."""
        self._auth_id = signed.id
        return [Send(wire.auth(signed))]

    def give_up_auth(self, reason: str) -> list[Action]:
        """The challenge cannot be signed: what waits is refused."""
        return self._shut_out(reason)

    def _let_in(self, said: wire.Acknowledged) -> list[Action]:
        if self._auth is not _Auth.PENDING:
            return []
        if not said.accepted:
            return self._shut_out(said.message)
        self._auth, self._waits = _Auth.DONE, False
        again = [one.text for one in self._requests.values() if one.tried_auth]
        again += [self._offered[one] for one in self._offers_refused if one in self._offered]
        return [Send(text) for text in again]

    def _shut_out(self, reason: str) -> list[Action]:
        self._auth, self._waits = _Auth.FAILED, False
        told: list[Action] = [Fault(kind=FaultKind.AUTH_REFUSED, reason=reason)]
        for name in [name for name, one in self._requests.items() if one.tried_auth]:
            self._forget(name)
            told.append(Ended(name=name, message=f"auth-required: {reason}"))
        for event_id, message in self._offers_refused.items():
            if self._offered.pop(event_id, None) is not None:
                told.append(Answered(event_id=event_id, accepted=False, message=message))
        self._offers_refused.clear()
        return [*told, *self._attributed()]
