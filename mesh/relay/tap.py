"""A look at a client's bytes on their way to aiohttp, which does not ask whether frames are masked.

asyncio lets a transport change its protocol (`Transport.set_protocol`): the tap takes the place of
aiohttp's and hands everything on to it, except what comes with or after an unmasked frame.
"""

import asyncio
from typing import Final

from aiohttp import web

from mesh.core.relay.masks import MaskWatch

UNMASKED: Final = "an unmasked frame (RFC 6455 section 5.1)"


class Tap(asyncio.Protocol):
    """Stands before `protocol`. `refused` is set by the first unmasked frame."""

    def __init__(self, protocol: web.RequestHandler) -> None:
        self.refused = asyncio.Event()
        self._protocol = protocol
        self._watch = MaskWatch()
        self._look(protocol._message_tail)  # noqa: SLF001 - frames that came with the handshake

    @classmethod
    def of(cls, request: web.Request) -> "Tap":
        """Put a tap on the connection of a request that is about to become a websocket."""
        tap = cls(request.protocol)
        if request.transport is not None:
            request.transport.set_protocol(tap)
        return tap

    def data_received(self, data: bytes) -> None:
        """Hand on what is masked."""
        if self._look(data):
            self._protocol.data_received(data)

    def eof_received(self) -> None:
        """Hand on."""
        self._protocol.eof_received()

    def connection_lost(self, exc: BaseException | None) -> None:
        """Hand on."""
        self._protocol.connection_lost(exc)

    def pause_writing(self) -> None:
        """Hand on."""
        self._protocol.pause_writing()

    def resume_writing(self) -> None:
        """Hand on."""
        self._protocol.resume_writing()

    def _look(self, data: bytes) -> bool:
        if not self._watch.feed(data):
            self.refused.set()
        return not self.refused.is_set()
