"""The messages of the relay protocol (NIP-01), written and taken apart.

Texts that a person will read are cut to NOTICE_CHARS_MAX, going out and coming in.
"""

import re
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import msgspec

from mesh.core import limits
from mesh.core.errors import InvalidMessage
from mesh.core.nip01 import VerifiedEvent, is_hex32

_PREFIX: Final = re.compile(
    r"\b(duplicate|pow|blocked|rate-limited|invalid|restricted|mute|auth-required|replaced"
    r"|deleted|unsupported|error):"
)


def split(frame: str | bytes) -> list[msgspec.Raw]:
    """Split a frame into the undecoded items of its array. Raises InvalidMessage."""
    size = len(frame.encode(errors="surrogatepass")) if isinstance(frame, str) else len(frame)
    if size > limits.FRAME_BYTES_MAX:
        raise InvalidMessage(f"frame of {size} bytes, at most {limits.FRAME_BYTES_MAX} allowed")
    try:
        items = msgspec.json.decode(frame, type=list[msgspec.Raw])
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise InvalidMessage("not a JSON array") from error
    if not items:
        raise InvalidMessage("an empty array")
    return items


def decode(item: msgspec.Raw) -> Any:
    """Decode one item of a frame. Raises InvalidMessage."""
    try:
        return msgspec.json.decode(item)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise InvalidMessage("not JSON") from error


def _dump(*items: object) -> str:
    return msgspec.json.encode(items).decode()


def ok(event_id: str, *, accepted: bool, message: str = "") -> str:
    """Return the answer to an EVENT; refusals carry `prefix: text` (NIP-01)."""
    return _dump("OK", event_id, accepted, message[: limits.NOTICE_CHARS_MAX])


def eose(subscription: str) -> str:
    """Return the end of the stored events."""
    return _dump("EOSE", subscription)


def closed(subscription: str, message: str) -> str:
    """Return the refusal or end of a subscription."""
    return _dump("CLOSED", subscription, message[: limits.NOTICE_CHARS_MAX])


def notice(message: str) -> str:
    """Return a line for a person."""
    return _dump("NOTICE", message[: limits.NOTICE_CHARS_MAX])


def event_for(subscription: str, event_json: str) -> str:
    """Return an event, already JSON, for a subscription."""
    return f'["EVENT",{_dump(subscription)[1:-1]},{event_json}]'


def publish(event: VerifiedEvent) -> str:
    """Return the message with which a client hands over an event."""
    return f'["EVENT",{event.to_json()}]'


@dataclass(frozen=True, slots=True, kw_only=True)
class Acknowledged:
    """A relay's OK for the event `id`."""

    id: str
    accepted: bool
    message: str

    @property
    def prefix(self) -> str:
        """The machine-readable word of the message, "" if none.

        Searched anywhere in the text: a common relay writes `ERROR: auth-required: …`.
        """
        found = _PREFIX.search(self.message)
        return found[1] if found else ""


@dataclass(frozen=True, slots=True)
class Said:
    """A NOTICE, or anything else from a relay that is only worth a line in the log."""

    text: str


FromRelay: TypeAlias = Acknowledged | Said


def parse_from_relay(frame: str | bytes) -> FromRelay:
    """Take a message that a relay sent to a publisher. Raises InvalidMessage."""
    match [decode(item) for item in split(frame)]:
        case ["OK", str(event_id), bool(accepted), *rest] if is_hex32(event_id):
            message = rest[0] if rest and isinstance(rest[0], str) else ""
            return Acknowledged(
                id=event_id, accepted=accepted, message=message[: limits.NOTICE_CHARS_MAX]
            )
        case ["NOTICE", str(text), *_]:
            return Said(text[: limits.NOTICE_CHARS_MAX])
        case ["AUTH", *_]:
            return Said("the relay asks for authentication (NIP-42)")
        case [str(verb), *_]:
            return Said(f"unexpected {verb[:16]!r} message")
        case _:
            raise InvalidMessage("a message starts with its name")
