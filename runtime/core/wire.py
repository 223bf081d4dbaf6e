"""What the wire formats of providers have in common: a codec between requests, bytes and replies.

A codec is pure. `body` is what is posted; `whole` reads a reply that came in one piece; a `Stream`
takes the data of server-sent events one by one. A stream that ended without a finish reason is half
a reply, and half a reply is none; so is one with half a call of a tool. What a model wrote as a
call's arguments is kept as it is, JSON or not: the model is told what is wrong with it. Errors are
short and hold nothing of what a provider said: its words may repeat the prompt, and reasons are
recorded where nothing can be erased.
"""

import re
from dataclasses import dataclass
from typing import Any, Final, Protocol

import msgspec

from runtime.core.chat import ModelRequest, Reply, ToolCall
from runtime.core.errors import ModelFailed
from runtime.core.limits import REPLY_BYTES_MAX, REPLY_CALLS_MAX

HALF: Final = "half a stream: it ended without a finish reason"
_NAME_CHARS_MAX: Final = 200
_FINISH_CHARS_MAX: Final = 32
_ID_CHARS_MAX: Final = 128
_CALL_NAME_CHARS_MAX: Final = 64
_NO_NAME: Final = re.compile(r"[^A-Za-z0-9_-]")
_OVERFLOW: Final = re.compile(
    rb"context_length_exceeded|exceed_context_size|prompt is too long"
    rb"|(maximum|exceeds?)[^\"]{0,40}context|context (length|window|size)",
    re.IGNORECASE,
)
_TOOLS: Final = re.compile(rb"\btools?\b|function.call", re.IGNORECASE)
_LIMITED_REST_S: Final = 30.0
"""After 429 without a Retry-After: limits are by the minute, as a rule."""
_REFUSED_REST_S: Final = 300.0
"""After a refused key: nothing but a person changes that."""
_STATUS: Final = {
    401: "key refused",
    402: "out of credit",
    403: "forbidden",
    404: "not found",
    429: "rate limited",
    529: "overloaded",
}


class Stream(Protocol):
    """One reply that comes in pieces."""

    def take(self, data: str) -> str:
        """Take the data of one event and return the words it adds. Raises ModelFailed."""

    def reply(self) -> Reply:
        """Return the whole after the last event. Raises ModelFailed for half of one."""


class Codec(Protocol):
    """A provider's format."""

    @property
    def path(self) -> str:
        """Where requests go, below the base URL."""

    def headers(self, key: str | None) -> dict[str, str]:
        """What a request says beside its body."""

    def body(self, model: str, request: ModelRequest, *, stream: bool) -> dict[str, Any]:
        """Return the JSON of a request."""

    def whole(self, data: bytes, model: str) -> Reply:
        """Return the reply in a body; `model` if it names none. Raises ModelFailed."""

    def stream(self, model: str) -> Stream:
        """Return a reader of one streamed reply."""


@dataclass(slots=True)
class Words:
    """The text of a reply as it grows, bounded."""

    text: str = ""
    size: int = 0

    def add(self, more: str) -> str:
        """Return `more`. Raises ModelFailed beyond REPLY_BYTES_MAX, or for half a surrogate."""
        try:
            self.size += len(more.encode())
        except UnicodeEncodeError as error:
            raise ModelFailed("malformed: half a surrogate pair") from error
        if self.size > REPLY_BYTES_MAX:
            raise ModelFailed(f"malformed: a reply of {self.size} bytes, at most {REPLY_BYTES_MAX}")
        self.text += more
        return more


@dataclass(slots=True)
class _Growing:
    id: str = ""
    name: str = ""
    arguments: str = ""


class Calls:
    """The calls of tools in a reply as they grow, by a number of the provider's; bounded."""

    def __init__(self) -> None:
        self._size = Words()
        self._calls: dict[int, _Growing] = {}

    def __len__(self) -> int:
        return len(self._calls)

    def add(self, key: int, *, id_: str = "", name: str = "", arguments: str = "") -> None:
        """Put a piece to the call of `key`, which its first piece begins. Raises ModelFailed."""
        call = self._calls.setdefault(key, _Growing())
        if len(self._calls) > REPLY_CALLS_MAX:
            raise ModelFailed(f"malformed: more than {REPLY_CALLS_MAX} calls in a reply")
        call.id = call.id or self._size.add(id_)[:_ID_CHARS_MAX]
        call.name = call.name or self._size.add(name)
        call.arguments += self._size.add(arguments)

    def all(self) -> tuple[ToolCall, ...]:
        """Return the calls in their order. Raises ModelFailed for one without a name."""
        found = [self._calls[key] for key in sorted(self._calls)]
        if any(not call.name for call in found):
            raise ModelFailed("malformed: a call of a tool without its name")
        return tuple(
            ToolCall(
                id=call.id,
                name=_NO_NAME.sub("_", call.name)[:_CALL_NAME_CHARS_MAX],
                arguments=call.arguments,
            )
            for call in found
        )


def arguments_of(text: str) -> dict[str, Any] | None:
    """Return a call's arguments, or None for what is not JSON of an object.

    No text at all is none given: many models write so for a tool that takes none.
    """
    if not text.strip():
        return {}
    try:
        value = msgspec.json.decode(text)
        msgspec.json.encode(value)  # refuses half a surrogate pair, as every file does
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def told_arguments(call: ToolCall) -> dict[str, Any]:
    """Return a call's arguments as they are told to a provider, which takes nothing but objects."""
    known = arguments_of(call.arguments)
    return {"malformed": call.arguments} if known is None else known


def make_reply(
    text: str,
    *,
    model: str,
    finish: str | None,
    tokens_in: int | None,
    tokens_out: int | None,
    calls: tuple[ToolCall, ...] = (),
) -> Reply:
    """Return a reply with its facts cut to size.

    Raises ModelFailed for one with neither words nor calls.
    """
    if not text.strip() and not calls:
        raise ModelFailed("empty reply")
    return Reply(
        text=text,
        calls=calls,
        model=model[:_NAME_CHARS_MAX],
        finish=(finish or "unknown")[:_FINISH_CHARS_MAX],
        tokens_in=_count(tokens_in),
        tokens_out=_count(tokens_out),
    )


def _count(value: int | None) -> int | None:
    """Return a plausible token count, or None: the ledger takes no negative or huge numbers."""
    return value if value is not None and 0 <= value < 2**48 else None


def decode(data: str | bytes, shape: Any, what: str) -> Any:
    """Return JSON as `shape`. Raises ModelFailed."""
    try:
        return msgspec.json.decode(data, type=shape)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise ModelFailed(f"malformed: not {what}") from error


class ToolsRefused(ModelFailed):
    """The model does not take tools, or has no room for them."""


def check_tools(status: int, body: bytes) -> None:
    """Raise ToolsRefused for a refusal that may be about the tools in a request.

    Small models of local servers know none, and the schemas of twenty take two thousand tokens.
    """
    if status in (400, 404, 413, 422, 501) and (_TOOLS.search(body) or _OVERFLOW.search(body)):
        raise ToolsRefused(f"tools refused (status {status})", counts=False)


def check_status(status: int, body: bytes, retry_after: str | None) -> None:
    """Raise ModelFailed for any status but 200, with how long the link is better left alone."""
    if status == 200:
        return
    if status in (400, 413, 422) and _OVERFLOW.search(body):
        # The prompt's fault, not the link's: the next one may have more room.
        raise ModelFailed(f"context overflow (status {status})", counts=False)
    reason = f"{_STATUS.get(status, 'failed')} (status {status})"
    if status in (401, 402, 403):
        raise ModelFailed(reason, wait_s=_REFUSED_REST_S)
    if status == 429:
        raise ModelFailed(reason, wait_s=_seconds(retry_after) or _LIMITED_REST_S)
    raise ModelFailed(reason, wait_s=_seconds(retry_after))


def _seconds(retry_after: str | None) -> float | None:
    """Read a Retry-After in seconds (RFC 9110, section 10.2.3); dates are passed over."""
    plain = retry_after is not None and re.fullmatch(r"\d{1,6}", retry_after.strip())
    return float(retry_after) if plain and retry_after else None
