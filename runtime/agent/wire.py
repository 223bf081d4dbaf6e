"""Frames on a blocking socket: a 4-byte length and one CBOR map each (docs/spec/agent-protocol.md).

The agent trusts its host: what it reads is not checked again. What it writes must be deterministic
CBOR, or the host ends it.
"""

import socket
from typing import Any

import cbor2


class Closed(Exception):
    """The host closed the connection."""


class Channel:
    """Reads and writes whole frames."""

    def __init__(self, host: socket.socket) -> None:
        self._host = host
        self._calls = 0

    def read(self) -> dict[str, Any]:
        """Return the next frame. Raises Closed."""
        length = int.from_bytes(self._exactly(4), "big")
        frame: dict[str, Any] = cbor2.loads(self._exactly(length))
        return frame

    def write(self, frame: dict[str, Any]) -> None:
        """Send a frame."""
        body = cbor2.dumps(frame, canonical=True)
        self._host.sendall(len(body).to_bytes(4, "big") + body)

    def call(self, turn: bytes, step: int, op: str, args: dict[str, Any]) -> int:
        """Ask the host for something; return the number its answer will carry."""
        self._calls += 1
        self.write(
            {"t": "call", "call": self._calls, "turn": turn, "step": step, "op": op, "args": args}
        )
        return self._calls

    def _exactly(self, count: int) -> bytes:
        data = bytearray()
        while len(data) < count:
            chunk = self._host.recv(count - len(data))
            if not chunk:
                raise Closed
            data += chunk
        return bytes(data)
