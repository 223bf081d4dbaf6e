"""SOUL.md: who the agent is, in its operator's words, fixed at birth.

The bytes are what counts: nothing is normalised, and the digests in genesis are those that
`sha256sum` and `b3sum` print. The keys are derived under the digest, so another SOUL is another
agent; an edited file is refused at start and never adopted silently.

The text is not in the ledger: keep a copy of the file with the backups.
"""

import os
import re
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path

from genesis.core.errors import InvalidSoul, PrivateFileError
from genesis.keys.private import open_regular
from ledger.core.genesis import SOUL_BYTES_MAX, SoulDigest

FILE_NAME = "SOUL.md"
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Soul:
    """A SOUL.md that may be born: UTF-8, 1 byte to 64 KiB, not blank, no control characters."""

    data: bytes = field(repr=False)
    text: str = field(repr=False)
    digest: SoulDigest

    @classmethod
    def from_bytes(cls, data: bytes) -> "Soul":
        """Check the bytes of a SOUL.md. Raises InvalidSoul."""
        if len(data) > SOUL_BYTES_MAX:
            raise InvalidSoul(
                f"SOUL is {len(data)} bytes or more, at most {SOUL_BYTES_MAX}",
                hint="it goes into every prompt: a page or two serves the agent best",
            )
        try:
            text = data.decode()
        except UnicodeDecodeError as error:
            raise InvalidSoul(
                f"SOUL is not UTF-8 at byte {error.start}",
                hint="save it as UTF-8; iconv turns other encodings into it",
            ) from error
        if not text.strip():
            raise InvalidSoul("SOUL is empty", hint="say in it who the agent is")
        control = _CONTROL.search(text)
        if control is not None:
            line = text.count("\n", 0, control.start()) + 1
            raise InvalidSoul(
                f"SOUL holds control character U+{ord(control.group()):04X} in line {line}",
                hint="take it out: it is text for people and models",
            )
        return cls(data=data, text=text, digest=SoulDigest.of(data))


def default_soul() -> Soul:
    """Return the SOUL of an agent born without one."""
    return Soul.from_bytes((files("genesis") / "data" / FILE_NAME).read_bytes())


def read_soul(path: Path) -> Soul:
    """Read a SOUL.md, never more than its bound. Raises InvalidSoul."""
    try:
        descriptor = open_regular(path)
    except PrivateFileError as error:
        raise InvalidSoul(
            str(error), hint="name a text file that you may read: timmy init --soul FILE"
        ) from error
    with os.fdopen(descriptor, "rb") as file:
        return Soul.from_bytes(file.read(SOUL_BYTES_MAX + 1))
