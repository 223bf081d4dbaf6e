"""Frames of the relay protocol taken apart, and what a relay says in it (NIP-01).

Texts that a person will read are cut to NOTICE_CHARS_MAX. A client's side: client_messages.py.
"""

from typing import Any

import msgspec

from mesh.core import limits
from mesh.core.errors import InvalidMessage


def split(frame: str | bytes, *, bytes_max: int = limits.FRAME_BYTES_MAX) -> list[msgspec.Raw]:
    """Split a frame into the undecoded items of its array. Raises InvalidMessage."""
    size = len(frame.encode(errors="surrogatepass")) if isinstance(frame, str) else len(frame)
    if size > bytes_max:
        raise InvalidMessage(f"frame of {size} bytes, at most {bytes_max} allowed")
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


def eose(subscription: str, *, more: bool | None = None) -> str:
    """Return the end of the stored events, and whether there are more of them (NIP-67)."""
    if more is None:
        return _dump("EOSE", subscription)
    return _dump("EOSE", subscription, ["more" if more else "finish"])


def count(subscription: str, number: int) -> str:
    """Return a count (NIP-45); at its bound it is said to be approximate."""
    found: dict[str, object] = {"count": number}
    if number >= limits.COUNT_MAX:
        found["approximate"] = True
    return _dump("COUNT", subscription, found)


def neg_msg(subscription: str, message: bytes) -> str:
    """Return a message of reconciliation (NIP-77)."""
    return _dump("NEG-MSG", subscription, message.hex())


def neg_err(subscription: str, reason: str) -> str:
    """Return the refusal or end of a reconciliation (NIP-77)."""
    return _dump("NEG-ERR", subscription, reason[: limits.NOTICE_CHARS_MAX])


def closed(subscription: str, message: str) -> str:
    """Return the refusal or end of a subscription."""
    return _dump("CLOSED", subscription, message[: limits.NOTICE_CHARS_MAX])


def auth(challenge: str) -> str:
    """Return the challenge of a relay (NIP-42)."""
    return _dump("AUTH", challenge)


def notice(message: str) -> str:
    """Return a line for a person."""
    return _dump("NOTICE", message[: limits.NOTICE_CHARS_MAX])


def event_for(subscription: str, event_json: str) -> str:
    """Return an event, already JSON, for a subscription."""
    return f'["EVENT",{_dump(subscription)[1:-1]},{event_json}]'
