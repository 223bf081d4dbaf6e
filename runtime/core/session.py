"""Rules of one connection to an agent process: what it may send when, how much, how fast.

Pure: the clock is an argument (seconds, monotonic). Every broken rule raises ProtocolError, upon
which the host ends the process; `in_flight` then tells whose turns were hurt.

    connection   ready first and once, of our version; calls numbered 1, 2, 3 ...
    turn         given before it is called for; steps 0, 1, 2 ... ; a few calls open at a time, and
                 its last one alone
    budgets      frames and bytes a second; bytes a turn, and its own steps and seconds; a pong for
                 each ping

A call for a turn that has ended meanwhile is no lie (the host ended it) and is answered "over".
"""

from collections.abc import Collection
from dataclasses import dataclass, field
from enum import StrEnum

from runtime.core import limits
from runtime.core.bounds import TurnBounds
from runtime.core.calls import LAST_STEPS
from runtime.core.errors import ProtocolError
from runtime.core.protocol import VERSION, Call, Pong, Ready


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionLimits:
    """Budgets of a connection. The defaults are what a node runs with."""

    handshake_s: float = 10.0
    """A start takes 0.1 s; a loaded machine may need fifty times that."""
    pong_s: float = 20.0
    """An agent that computes this long without looking at its socket hangs."""
    turn_open: int = limits.TURN_OPEN_MAX
    turn_bytes: int = limits.TURN_BYTES_MAX
    frames_per_second: int = 200
    """A turn of 50 steps in a quarter of a second."""
    bytes_per_second: int = 16 * 1024 * 1024
    """Four of the largest frames."""

    def __post_init__(self) -> None:
        for name in self.__slots__:
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} is {getattr(self, name)}, expected more than 0")


class Verdict(StrEnum):
    """What is to be done with a call."""

    SERVE = "serve"
    OVER = "over"
    LIMIT = "limit"


@dataclass(slots=True, kw_only=True)
class _Given:
    position: int
    bounds: TurnBounds
    deadline: float
    steps: int = 0
    bytes: int = 0
    open: int = 0


@dataclass(slots=True, kw_only=True)
class _Window:
    """What came within the running second."""

    start: float
    frames: int = 0
    bytes: int = 0


@dataclass(slots=True)
class Session:
    """One connection, from hello to its end. `started` is the clock at hello."""

    limits: SessionLimits
    started: float
    ready: bool = False
    _calls: int = 0
    _given: dict[bytes, _Given] = field(default_factory=dict)
    _ended: set[bytes] = field(default_factory=set)
    _window: _Window = field(default_factory=lambda: _Window(start=float("-inf")))
    _pings: int = 0
    _looked: float | None = None
    _unanswered: dict[int, float] = field(default_factory=dict)

    @property
    def in_flight(self) -> dict[bytes, int]:
        """The turns given and not ended: id to position of the message."""
        return {turn: given.position for turn, given in self._given.items()}

    def give(self, turn: bytes, position: int, bounds: TurnBounds, now: float) -> None:
        """Note that a turn frame is sent; these bounds are the turn's to its end."""
        deadline = now + bounds.seconds
        self._given[turn] = _Given(position=position, bounds=bounds, deadline=deadline)

    def end(self, turn: bytes) -> None:
        """Note that a turn is over; an open call of it may still be answered."""
        if self._given.pop(turn, None) is not None:
            self._ended.add(turn)

    def ping(self, now: float) -> int:
        """Return the number of a ping that is sent now."""
        self._pings += 1
        self._unanswered[self._pings] = now
        return self._pings

    def received(self, size_bytes: int, now: float) -> None:
        """Count a frame against the second's budget."""
        window = self._window
        if now - window.start >= 1.0:
            window = self._window = _Window(start=now)
        window.frames += 1
        window.bytes += size_bytes
        if window.frames > self.limits.frames_per_second:
            raise ProtocolError(f"more than {self.limits.frames_per_second} frames in a second")
        if window.bytes > self.limits.bytes_per_second:
            raise ProtocolError(
                f"{window.bytes} bytes in a second, at most {self.limits.bytes_per_second}"
            )

    def on_ready(self, frame: Ready) -> None:
        """Take the agent's first frame."""
        if self.ready:
            raise ProtocolError("ready came twice")
        if frame.protocol != VERSION:
            raise ProtocolError(f"protocol {frame.protocol}, expected {VERSION}")
        self.ready = True

    def on_pong(self, frame: Pong) -> None:
        """Take the answer to a ping, which answers the earlier ones too."""
        if frame.n not in self._unanswered:
            raise ProtocolError(f"pong {frame.n} answers no ping")
        self._unanswered = {n: at for n, at in self._unanswered.items() if n > frame.n}

    def on_call(self, frame: Call, size_bytes: int) -> Verdict:
        """Judge a call; SERVE opens it until `answered`."""
        if not self.ready:
            raise ProtocolError("a call came before ready")
        if frame.call != self._calls + 1:
            raise ProtocolError(f"call number {frame.call}, expected {self._calls + 1}")
        self._calls += 1
        given = self._given.get(frame.turn)
        if given is None:
            if frame.turn in self._ended:
                return Verdict.OVER
            raise ProtocolError(f"call {frame.call} names a turn that was not given")
        most = 1 if frame.op in LAST_STEPS else self.limits.turn_open
        if given.open >= most:
            raise ProtocolError(
                f"call {frame.call} came while {given.open} of its turn are open, "
                f"{frame.op[:20]!r} allows {most - 1}"
            )
        if frame.step != given.steps:
            raise ProtocolError(f"step {frame.step}, expected {given.steps}")
        given.steps += 1
        given.bytes += size_bytes
        if given.steps > given.bounds.steps or given.bytes > self.limits.turn_bytes:
            return Verdict.LIMIT
        given.open += 1
        return Verdict.SERVE

    def answered(self, turn: bytes) -> None:
        """Note that an open call of `turn` has its result."""
        if turn in self._given:
            self._given[turn].open -= 1

    def check(self, now: float, waiting: Collection[bytes] = ()) -> None:
        """Raise ProtocolError if something that is due did not come.

        Turns that are `waiting` for a person have no time taken off since the last look.
        """
        passed = 0.0 if self._looked is None else now - self._looked
        self._looked = now
        for turn in self._given.keys() & set(waiting):
            self._given[turn].deadline += passed
        if not self.ready and now - self.started > self.limits.handshake_s:
            raise ProtocolError(f"no ready in {self.limits.handshake_s:g} s")
        if any(now - at > self.limits.pong_s for at in self._unanswered.values()):
            raise ProtocolError(f"no pong in {self.limits.pong_s:g} s")
        for given in self._given.values():
            if now > given.deadline:
                raise ProtocolError(f"a turn took longer than {given.bounds.seconds:g} s")
