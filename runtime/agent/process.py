"""The agent process: reads frames and serves them one by one.

Turns of several conversations may be under way at once; each is a generator waiting for what it
asked for, one call or several, so nothing here blocks but the read. An exception ends the process
on purpose: the host starts another, gives the turn again, and gives it up if it keeps failing.
"""

import socket
from typing import Any

from .loop import Came, Refused, Turn, answer
from .memory import Memory
from .wire import Channel, Closed

PROTOCOL = 1
LAST_STEPS = ("answer", "fail")


class Running:
    """A turn: what came of the calls it waits for, in their order, and how many are still out."""

    def __init__(self, turn: Turn) -> None:
        self.turn = turn
        self.steps = 0
        self.op = ""
        self.came: list[Came] = []
        self.out = 0
        self.several = False


class Agent:
    """Turns frames of the host into calls."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._memory = Memory()
        self._name = ""
        self._soul = ""
        self._turns: dict[bytes, Running] = {}
        self._waiting: dict[int, tuple[bytes, int]] = {}

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
                self._begin(frame["turn"], frame["position"], frame.get("given", {}))
            case "result":
                self._came(frame["call"], frame["value"])
            case "error":
                self._came(frame["call"], Refused(frame["reason"]))
            case "ping":
                self._channel.write({"t": "pong", "n": frame["n"]})

    def _begin(self, turn: bytes, position: int, given: dict[str, Any]) -> None:
        self._turns[turn] = Running(
            answer(position, memory=self._memory, name=self._name, soul=self._soul, given=given)
        )
        self._go_on(turn, None)

    def _came(self, call: int, came: Came) -> None:
        """Take what came of a call; the turn goes on when all it waits for is there."""
        turn, place = self._waiting.pop(call)
        running = self._turns.get(turn)
        if running is None:
            return
        running.came[place] = came
        running.out -= 1
        if not running.out:
            self._go_on(turn, running.came if running.several else came)

    def _go_on(self, turn: bytes, came: Came | list[Came] | None) -> None:
        """Send a turn what came for it and pass on what it asks for next."""
        running = self._turns[turn]
        try:
            if isinstance(came, Refused):
                asked = running.turn.throw(came)
            else:
                asked = running.turn.send(came)
        except StopIteration:
            del self._turns[turn]
            return
        except Refused:
            if running.op in LAST_STEPS:  # refused or not, the host has ended the turn
                del self._turns[turn]
                return
            asked = "fail", {"reason": "refused"}  # or its user would wait for nothing
        running.several = isinstance(asked, list)
        calls = asked if isinstance(asked, list) else [asked]
        running.came, running.out = [{} for _ in calls], len(calls)
        for place, (op, args) in enumerate(calls):
            self._waiting[self._channel.call(turn, running.steps, op, args)] = (turn, place)
            running.steps, running.op = running.steps + 1, op


def main() -> int:
    """Serve the host on file descriptor 0; return the exit status."""
    with socket.socket(fileno=0) as host:
        try:
            Agent(Channel(host)).serve()
        except Closed:
            return 1
    return 0
