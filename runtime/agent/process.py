"""The agent process: reads frames and serves them one by one.

Turns of several conversations may be under way at once; each is a generator waiting for its
call's answer, so nothing here blocks but the read. An exception ends the process on purpose: the
host starts another, gives the turn again, and gives it up if it keeps failing.
"""

import socket
from typing import Any

from .loop import Refused, Turn, answer
from .memory import Memory
from .wire import Channel, Closed

PROTOCOL = 1


class Agent:
    """Turns frames of the host into calls."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._memory = Memory()
        self._name = ""
        self._soul = ""
        self._turns: dict[bytes, Turn] = {}
        self._steps: dict[bytes, int] = {}
        self._waiting: dict[int, bytes] = {}

    def serve(self) -> None:
        """Serve until the host says stop. Raises Closed if it goes away."""
        while (frame := self._channel.read())["t"] != "stop":
            self._take(frame)

    def _take(self, frame: dict[str, Any]) -> None:
        match frame["t"]:
            case "hello":
                self._name, self._soul = frame["name"], frame["soul"]
                self._channel.write({"t": "ready", "protocol": PROTOCOL})
            case "event":
                self._memory.apply(frame)
            case "turn":
                self._begin(frame["turn"], frame["position"])
            case "result":
                self._go_on(self._waiting.pop(frame["call"]), frame["value"])
            case "error":
                self._go_on(self._waiting.pop(frame["call"]), Refused(frame["reason"]))
            case "ping":
                self._channel.write({"t": "pong", "n": frame["n"]})

    def _begin(self, turn: bytes, position: int) -> None:
        self._turns[turn] = answer(position, memory=self._memory, name=self._name, soul=self._soul)
        self._steps[turn] = 0
        self._go_on(turn, None)

    def _go_on(self, turn: bytes, came: dict[str, Any] | Refused | None) -> None:
        """Send a turn what came for it and pass on what it asks for next."""
        running = self._turns[turn]
        try:
            if isinstance(came, Refused):
                op, args = running.throw(came)
            else:
                op, args = running.send(came)  # type: ignore[arg-type]
        except (StopIteration, Refused):  # a refused last step: the host has ended the turn
            del self._turns[turn], self._steps[turn]
            return
        step = self._steps[turn]
        self._steps[turn] = step + 1
        self._waiting[self._channel.call(turn, step, op, args)] = turn


def main() -> int:
    """Serve the host on file descriptor 0; return the exit status."""
    with socket.socket(fileno=0) as host:
        try:
            Agent(Channel(host)).serve()
        except Closed:
            return 1
    return 0
