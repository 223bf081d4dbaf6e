"""The request of c2sp.org/tlog-witness, `add-checkpoint`: a head, and that it continues another.

    old <size>
    <hash, base64>      up to 63 of them: the consistency proof of RFC 6962 section 2.1.2
    <empty line>
    <the checkpoint, a signed note>

Text in, values out, and back. Nothing is verified here.
"""

import base64
import binascii
import re
from dataclasses import dataclass
from typing import Final

from ledger.core import limits as ledger_limits
from mesh.core.errors import InvalidRequest

PATH: Final = "add-checkpoint"
SIZE_TYPE: Final = "text/x.tlog.size"
"""Content type of an answer that names the size the witness knows."""
_HASH_LINE_CHARS: Final = 44
REQUEST_BYTES_MAX: Final = ledger_limits.NOTE_BYTES_MAX + (ledger_limits.PROOF_HASHES_MAX + 1) * (
    _HASH_LINE_CHARS + 1
)
"""A note, 63 hashes, and the first line."""
_OLD: Final = re.compile(r"old (0|[1-9][0-9]{0,14})")
SIZE: Final = re.compile(rb"(0|[1-9][0-9]{0,14})\n")
"""The body of an answer of `SIZE_TYPE`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AddCheckpoint:
    """`note` is a signed checkpoint, `path` leads from the tree of `old_size` to its tree."""

    old_size: int
    path: tuple[bytes, ...]
    note: bytes

    def encode(self) -> bytes:
        """The request's body."""
        hashes = "".join(base64.b64encode(one).decode() + "\n" for one in self.path)
        return f"old {self.old_size}\n{hashes}\n".encode() + self.note

    @classmethod
    def parse(cls, data: bytes) -> "AddCheckpoint":
        """Read what `encode` gives. Raises InvalidRequest."""
        if len(data) > REQUEST_BYTES_MAX:
            raise InvalidRequest(f"request of {len(data)} bytes, at most {REQUEST_BYTES_MAX}")
        head, blank, note = data.partition(b"\n\n")
        if not blank:
            raise InvalidRequest("no empty line ends the consistency proof")
        try:
            old, *hashes = head.decode("ascii").split("\n")
        except UnicodeDecodeError as error:
            raise InvalidRequest("the consistency proof is not ASCII") from error
        match = _OLD.fullmatch(old)
        if match is None:
            raise InvalidRequest(f"{old[:40]!r} is not `old` and a size")
        if len(hashes) > ledger_limits.PROOF_HASHES_MAX:
            raise InvalidRequest(f"{len(hashes)} hashes, at most {ledger_limits.PROOF_HASHES_MAX}")
        return cls(old_size=int(match[1]), path=tuple(map(_hash, hashes)), note=note)


def _hash(line: str) -> bytes:
    try:
        found = base64.b64decode(line, validate=True)
    except (binascii.Error, ValueError) as error:
        raise InvalidRequest(f"{line[:50]!r} is not base64") from error
    if len(found) != 32 or base64.b64encode(found).decode() != line:
        raise InvalidRequest(f"{line[:50]!r} is not one hash of 32 bytes in base64")
    return found
