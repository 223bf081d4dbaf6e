"""One agent process under judgment, from the host's end of the protocol.

Frames in, frames out, within time and size; whatever the process does wrong ends as a `Violation`
that says what in our words. Its own words (its output, malformed frames) are kept apart in
`Violation.detail`: they may quote the snapshot and never enter a verdict.
"""

import asyncio
import socket
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from genesis.core import limits
from runtime.cgroups import Usage
from runtime.core.errors import ProtocolError
from runtime.core.protocol import AGENT_FRAMES, Decoder, Frame, encode
from runtime.sandbox import Child, Engine, SandboxLimits, spawn

_READ_BYTES: Final = 64 * 1024


class Violation(Exception):
    """The subject broke the protocol, or the patience of the judge.

    `doubtful`: it was late or died, and that can also be the doing of the machine it ran on.
    `timed_out`: it was late.
    """

    def __init__(
        self, reason: str, *, detail: str = "", timed_out: bool = False, died: bool = False
    ) -> None:
        super().__init__(reason)
        self.reason = reason
        self.detail = detail
        self.timed_out = timed_out
        self.doubtful = timed_out or died


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long a subject may take. Generous, but no proof: a busy machine makes anybody late."""

    start_s: float = 10.0
    turn_s: float = 10.0
    """For one round of turns, all model calls being answered at once."""
    stop_s: float = 5.0
    case_s: float = 60.0


class Subject:
    """The conversation with one process. Made by `run_subject`."""

    def __init__(
        self, child: Child, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._child = child
        self._reader = reader
        self._writer = writer
        self._decoder = Decoder(AGENT_FRAMES)
        self._frames: deque[Frame] = deque()
        self._bytes = 0

    def send(self, *frames: Frame) -> None:
        """Queue frames; what is not taken in time shows at the next `receive`."""
        for frame in frames:
            self.send_encoded(encode(frame))

    def send_encoded(self, data: bytes) -> None:
        """Queue frames that are encoded already."""
        self._writer.write(data)

    async def receive(self) -> Frame:
        """Return the subject's next frame. Raises Violation."""
        while not self._frames:
            data = await self._read()
            if not data:
                words = await self._last_words()
                late = self._child.timed_out
                raise Violation("it ended", detail=words, timed_out=late, died=True)
            self._bytes += len(data)
            if self._bytes > limits.TRANSCRIPT_BYTES_MAX:
                raise Violation("it said too much")
            try:
                self._frames.extend(frame for frame, _ in self._decoder.feed(data))
            except ProtocolError as error:
                raise Violation("it sent what is no frame", detail=str(error)) from error
        return self._frames.popleft()

    async def ended(self) -> None:
        """See a subject that was told to stop to its end. Raises Violation."""
        if self._frames or await self._read():
            raise Violation("it spoke after stop")
        status = await self._child.wait()
        if status != 0:
            raise Violation(
                "it did not end with status 0", detail=await self._last_words(), died=True
            )

    def usage(self) -> Usage:
        """What it has used so far, where that was counted."""
        return self._child.usage()

    async def _read(self) -> bytes:
        try:
            await self._writer.drain()
            return await self._reader.read(_READ_BYTES)
        except ConnectionError:
            return b""

    async def _last_words(self) -> str:
        status = await self._child.wait()
        return f"exit status {status}: {self._child.stderr_tail().strip()[-2000:]}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cage:
    """Where and how subjects run."""

    engine: Engine
    limits: SandboxLimits
    patience: Patience


@asynccontextmanager
async def run_subject(tree: Path, cage: Cage) -> AsyncIterator[Subject]:
    """Start the agent of `tree`; on leaving, it is dead. Raises SandboxError, OSError."""
    ours, theirs = socket.socketpair()
    with ours:
        ours.setblocking(False)  # noqa: FBT003 - the socket module's own signature
        child = await spawn(tree, theirs, limits=cage.limits, engine=cage.engine)
        try:
            reader, writer = await asyncio.open_connection(sock=ours)
            try:
                yield Subject(child, reader, writer)
            finally:
                writer.transport.abort()
        finally:
            await child.end()
