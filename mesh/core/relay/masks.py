"""Looks at the frame headers of a WebSocket client and tells a frame that is not masked.

RFC 6455 section 5.1: a client masks every frame, and a server closes on one that is not. Only the
headers are read (section 5.2); whether a frame is otherwise sound is the business of whoever takes
it in. Sans-I/O: feed it the bytes as they come, however they are cut.
"""

from typing import Final

_MASK_BIT: Final = 0x80
_LENGTH_BYTES: Final = {126: 2, 127: 8}
_MASK_BYTES: Final = 4


class MaskWatch:
    """One client's bytes after the handshake. Once false, always false."""

    __slots__ = ("_header", "_masked", "_payload")

    def __init__(self) -> None:
        self._header = b""
        self._payload = 0
        self._masked = True

    def feed(self, data: bytes) -> bool:
        """Take in bytes; return whether every frame begun so far is masked."""
        at = 0
        while self._masked and at < len(data):
            if self._payload:
                step = min(self._payload, len(data) - at)
                self._payload -= step
            else:
                step = min(self._missing(), len(data) - at)
                self._header += data[at : at + step]
                self._look()
            at += step
        return self._masked

    def _missing(self) -> int:
        if len(self._header) < 2:
            return 2 - len(self._header)
        more = _LENGTH_BYTES.get(self._header[1] & ~_MASK_BIT, 0) + _MASK_BYTES
        return 2 + more - len(self._header)

    def _look(self) -> None:
        header = self._header
        if len(header) < 2:
            return
        if not header[1] & _MASK_BIT:
            self._masked = False
        elif not self._missing():
            short = header[1] & ~_MASK_BIT
            wide = _LENGTH_BYTES.get(short)
            self._payload = short if wide is None else int.from_bytes(header[2 : 2 + wide])
            self._header = b""
