"""What a client says to a relay and hears from it (NIP-01, 42, 67, 77), written and taken apart.

Every text of a relay that a person may read is cut to NOTICE_CHARS_MAX; what is not one of these
messages is `Unknown`, so that a relay which speaks a newer dialect is not taken for a broken one.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import msgspec

from mesh.core import limits
from mesh.core.errors import InvalidMessage
from mesh.core.nip01 import VerifiedEvent, is_hex32
from mesh.core.relay.filter import Filter, to_object
from mesh.core.relay.messages import decode, split

_PREFIX: Final = re.compile(
    r"\b(duplicate|pow|blocked|rate-limited|invalid|restricted|mute|auth-required|replaced"
    r"|deleted|unsupported|error):"
)
_HEX: Final = re.compile("(?:[0-9a-fA-F]{2})+")


def event(event_json: str) -> str:
    """Return the message that hands over an event, already JSON."""
    return f'["EVENT",{event_json}]'


def req(name: str, filters: Sequence[Filter]) -> str:
    """Return the message that opens, or replaces, the subscription `name`."""
    return _dump("REQ", name, *map(to_object, filters))


def close(name: str) -> str:
    """Return the message that ends a subscription."""
    return _dump("CLOSE", name)


def auth(signed: VerifiedEvent) -> str:
    """Return the answer to a challenge (NIP-42)."""
    return f'["AUTH",{signed.to_json()}]'


def neg_open(name: str, one: Filter, message: bytes) -> str:
    """Return the message that begins to reconcile the events of one filter (NIP-77)."""
    return _dump("NEG-OPEN", name, to_object(one), message.hex())


def neg_msg(name: str, message: bytes) -> str:
    """Return a further message of a reconciliation (NIP-77)."""
    return _dump("NEG-MSG", name, message.hex())


def neg_close(name: str) -> str:
    """Return the message that ends a reconciliation (NIP-77)."""
    return _dump("NEG-CLOSE", name)


def _dump(*items: object) -> str:
    return msgspec.json.encode(items).decode()


def prefix_of(message: str) -> str:
    """Return the machine-readable word of a refusal, "" if none.

    Searched anywhere in the text: a common relay writes `ERROR: auth-required: …`.
    """
    found = _PREFIX.search(message)
    return found[1] if found else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Acknowledged:
    """A relay's OK for the event `id`."""

    id: str
    accepted: bool
    message: str

    @property
    def prefix(self) -> str:
        """The machine-readable word of the message, "" if none."""
        return prefix_of(self.message)


@dataclass(frozen=True, slots=True)
class Unnamed:
    """A refusal that leaves out which event it is of, as nostr-relay 1.14 has them."""

    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivered:
    """An event for a subscription, not looked at yet."""

    name: str
    raw: msgspec.Raw


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredEnd:
    """EOSE. `more`: what NIP-67 lets a relay add, None if it adds nothing."""

    name: str
    more: bool | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Closed:
    """The relay ended, or never began, a subscription."""

    name: str
    message: str


@dataclass(frozen=True, slots=True)
class Notice:
    """A line for a person."""

    text: str


@dataclass(frozen=True, slots=True)
class Challenge:
    """What the relay wants to have signed (NIP-42)."""

    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NegMessage:
    """A message of a reconciliation (NIP-77)."""

    name: str
    message: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class NegError:
    """The relay ended a reconciliation (NIP-77)."""

    name: str
    message: str


@dataclass(frozen=True, slots=True)
class Unknown:
    """A message that we have no use for."""

    verb: str


FromRelay: TypeAlias = (
    Acknowledged
    | Unnamed
    | Delivered
    | StoredEnd
    | Closed
    | Notice
    | Challenge
    | NegMessage
    | NegError
    | Unknown
)


def parse_from_relay(frame: str | bytes) -> FromRelay:
    """Take a message that a relay sent. Raises InvalidMessage."""
    verb, *rest = split(frame, bytes_max=limits.RELAY_FRAME_BYTES_MAX)
    name = decode(verb)
    if not isinstance(name, str):
        raise InvalidMessage("a message starts with its name")
    if name == "EVENT" and len(rest) == 2:
        return Delivered(name=_name(decode(rest[0])), raw=rest[1])
    return _other(name, [decode(item) for item in rest])


def _other(verb: str, items: list[Any]) -> FromRelay:
    match verb, items:
        case "OK", [str(event_id), bool(accepted), *rest] if is_hex32(event_id):
            return Acknowledged(id=event_id, accepted=accepted, message=_text(rest))
        case "OK", ["", False, *rest]:
            return Unnamed(_text(rest))
        case "EOSE", [name, *rest]:
            more = {"more": True, "finish": False}.get(_text(_flat(rest)))
            return StoredEnd(name=_name(name), more=more)
        case "CLOSED", [name, *rest]:
            return Closed(name=_name(name), message=_text(rest))
        case "NOTICE", [str(text), *_]:
            return Notice(_text([text]))
        case "AUTH", [str(text), *_]:
            return Challenge(text)
        case "NEG-MSG", [name, str(text)]:
            return NegMessage(name=_name(name), message=_bytes(text))
        case "NEG-ERR", [name, *rest]:
            return NegError(name=_name(name), message=_text(rest))
        case (("OK" | "EOSE" | "CLOSED" | "NOTICE" | "AUTH" | "EVENT" | "NEG-MSG" | "NEG-ERR"), _):
            raise InvalidMessage(f"not the parts of a message {verb}")
        case _:
            return Unknown(verb[:16])


def _flat(rest: list[Any]) -> list[Any]:
    """NIP-67 writes the hint as a text; a list of one text is read too."""
    return rest[0] if rest and isinstance(rest[0], list) else rest


def _text(rest: list[Any]) -> str:
    found = rest[0] if rest and isinstance(rest[0], str) else ""
    return found[: limits.NOTICE_CHARS_MAX]


def _name(value: Any) -> str:
    if not isinstance(value, str) or len(value) > limits.SUBSCRIPTION_ID_CHARS_MAX:
        bound = limits.SUBSCRIPTION_ID_CHARS_MAX
        raise InvalidMessage(f"a subscription id is a text of at most {bound} characters")
    return value


def _bytes(text: str) -> bytes:
    if not _HEX.fullmatch(text):
        raise InvalidMessage("a message of a reconciliation is hex")
    return bytes.fromhex(text)
