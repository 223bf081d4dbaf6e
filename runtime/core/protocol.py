"""The frames between host and agent process, as docs/spec/agent-protocol.md defines them.

Bytes in, frames out: `Decoder` is fed what a socket gave and yields frozen dataclasses; `encode`
is its inverse. Both directions are strict: the named fields and no other, of the exact type. What
a frame *means* (which call is open, whose turn it is) is `runtime.core.session`'s to judge.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar, Final, TypeAlias

from ledger.core.codec import decode as decode_cbor
from ledger.core.codec import encode as encode_cbor
from ledger.core.errors import InvalidCbor
from ledger.core.limits import INT_MAX
from runtime.core.errors import ProtocolError
from runtime.core.limits import FRAME_BYTES_MAX

VERSION: Final = 1
_HEAD_BYTES: Final = 4

_Check: TypeAlias = Callable[[object], bool]


def _uint(value: object) -> bool:
    return type(value) is int and 0 <= value <= INT_MAX


def _positive(value: object) -> bool:
    return type(value) is int and 1 <= value <= INT_MAX


def _text(value: object) -> bool:
    return type(value) is str


def _map(value: object) -> bool:
    return type(value) is dict


def _map_or_null(value: object) -> bool:
    return value is None or type(value) is dict


def _bytes(length: int) -> _Check:
    return lambda value: type(value) is bytes and len(value) == length


_CHECKS: Final[dict[str, _Check]] = {
    "protocol": _uint,
    "position": _uint,
    "ts_ms": _uint,
    "step": _uint,
    "n": _uint,
    "call": _positive,
    "name": _text,
    "soul": _text,
    "type": _text,
    "reason": _text,
    "op": _text,
    "ledger": _bytes(32),
    "stream": _bytes(16),
    "turn": _bytes(16),
    "payload": _map,
    "value": _map,
    "args": _map,
    "given": _map,
    "content": _map_or_null,
}
"""A field's name fixes what may be in it, in every frame."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """Base of all frames: fields are checked on construction. Raises ProtocolError."""

    t: ClassVar[str]

    def __post_init__(self) -> None:
        for item in fields(self):
            if not _CHECKS[item.name](getattr(self, item.name)):
                raise ProtocolError(f"{self.t} frame: field {item.name!r} is malformed")


@dataclass(frozen=True, slots=True, kw_only=True)
class Hello(Frame):
    """First frame of the host, once. `ledger` is 32 bytes, `soul` the text of SOUL.md."""

    t: ClassVar[str] = "hello"
    protocol: int
    name: str
    soul: str
    ledger: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class EventFrame(Frame):
    """One ledger event; `content` is None for an event without, an erased or a withheld one."""

    t: ClassVar[str] = "event"
    position: int
    type: str
    ts_ms: int
    stream: bytes
    payload: dict[str, Any]
    content: dict[str, Any] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Live(Frame):
    """History is complete."""

    t: ClassVar[str] = "live"


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnFrame(Frame):
    """Answer the message at `position`. `turn` is 16 bytes; `given` is what runtime.given says."""

    t: ClassVar[str] = "turn"
    turn: bytes
    position: int
    given: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Result(Frame):
    """What a call gave."""

    t: ClassVar[str] = "result"
    call: int
    value: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Error(Frame):
    """A call was refused or failed."""

    t: ClassVar[str] = "error"
    call: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Ping(Frame):
    """Asks for a `Pong` with the same `n`."""

    t: ClassVar[str] = "ping"
    n: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Stop(Frame):
    """Finish and exit 0."""

    t: ClassVar[str] = "stop"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ready(Frame):
    """The agent's answer to `Hello`."""

    t: ClassVar[str] = "ready"
    protocol: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Call(Frame):
    """The agent asks for something. `call` counts from 1, `step` from 0 within `turn`."""

    t: ClassVar[str] = "call"
    call: int
    turn: bytes
    step: int
    op: str
    args: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pong(Frame):
    """Answers `Ping`."""

    t: ClassVar[str] = "pong"
    n: int


FrameTypes: TypeAlias = dict[str, type[Frame]]

HOST_FRAMES: Final[FrameTypes] = {
    kind.t: kind for kind in (Hello, EventFrame, Live, TurnFrame, Result, Error, Ping, Stop)
}
AGENT_FRAMES: Final[FrameTypes] = {kind.t: kind for kind in (Ready, Call, Pong)}


def encode(frame: Frame) -> bytes:
    """Return the length and the deterministic CBOR of `frame`. Raises ProtocolError."""
    value: dict[str, Any] = {item.name: getattr(frame, item.name) for item in fields(frame)}
    try:
        body = encode_cbor({"t": frame.t, **value})
    except InvalidCbor as error:
        raise ProtocolError(f"{frame.t} frame: {error}") from error
    if len(body) > FRAME_BYTES_MAX:
        raise ProtocolError(f"frame of {len(body)} bytes, at most {FRAME_BYTES_MAX}")
    return len(body).to_bytes(_HEAD_BYTES, "big") + body


def parse(body: bytes, frame_types: FrameTypes) -> Frame:
    """Return the frame whose encoding (without the length) is `body`. Raises ProtocolError."""
    try:
        value = decode_cbor(body, bytes_max=FRAME_BYTES_MAX)
    except InvalidCbor as error:
        raise ProtocolError(f"frame: {error}") from error
    if not isinstance(value, dict):
        raise ProtocolError("frame is not a map")
    name = value.pop("t", None)
    kind = frame_types.get(name) if isinstance(name, str) else None
    if kind is None:
        raise ProtocolError(f"frame type is not one of {sorted(frame_types)}"[:200])
    expected = {item.name for item in fields(kind)}
    if value.keys() != expected:
        raise ProtocolError(f"{name} frame has {len(value)} fields, or others than it should")
    return kind(**value)


class Decoder:
    """Sans-I/O: feed it bytes as they come, take whole frames. Holds at most one frame."""

    def __init__(self, frame_types: FrameTypes) -> None:
        self._types = frame_types
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[tuple[Frame, int]]:
        """Yield each frame that `data` completes, with its size in bytes.

        Raises ProtocolError as soon as a length or a frame is wrong; the decoder is then done.
        """
        self._buffer += data
        while len(self._buffer) >= _HEAD_BYTES:
            length = int.from_bytes(self._buffer[:_HEAD_BYTES], "big")
            if not 1 <= length <= FRAME_BYTES_MAX:
                raise ProtocolError(f"frame of {length} bytes, 1 to {FRAME_BYTES_MAX} allowed")
            end = _HEAD_BYTES + length
            if len(self._buffer) < end:
                return
            body = bytes(self._buffer[_HEAD_BYTES:end])
            del self._buffer[:end]
            yield parse(body, self._types), end
