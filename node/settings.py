"""Changing a home's node.toml from a command: one value, or tables at its end; comments stay.

What is written is read back before it stays: a file that would not load is left as it was. Not
covered: a key that stands in an inline table or in quotes. Those are the user's to change.
"""

import json
import re
from pathlib import Path
from typing import Any, Final

from genesis.keys import private
from ledger.core.errors import TimmyError
from node.config import Config, load

_HEADER: Final = r"^[ \t]*\[{name}\][ \t]*(?:#.*)?$"
_ANY_HEADER: Final = re.compile(r"^[ \t]*\[", re.MULTILINE)


def written(value: Any) -> str:
    """Write a value as TOML: its basic strings, numbers and booleans are those of JSON."""
    return json.dumps(value, ensure_ascii=False)


def with_value(text: str, section: str, key: str, toml: str) -> str:
    """Return node.toml with `section.key` set to what `toml` says. The old one is in one line."""
    line = f"{key} = {toml}"
    header = re.compile(_HEADER.format(name=re.escape(section)), re.MULTILINE).search(text)
    if header is None:
        gap = "\n\n" if text.strip() else ""
        return f"{text.rstrip()}{gap}[{section}]\n{line}\n"
    following = _ANY_HEADER.search(text, header.end())
    end = len(text) if following is None else following.start()
    inside = text[header.end() : end]
    known = re.compile(rf"^[ \t]*{re.escape(key)}[ \t]*=[^\n]*", re.MULTILINE)
    if known.search(inside):
        inside = known.sub(lambda _: line, inside, count=1)
    else:
        inside = f"\n{line}{inside}"
    return text[: header.end()] + inside + text[end:]


def change(path: Path, text: str) -> Config:
    """Write a home's node.toml and return what it says. Raises TimmyError and changes nothing."""
    before = path.read_text() if path.exists() else None
    put(path, text)
    try:
        return load(path)
    except TimmyError:
        if before is None:
            path.unlink()
        else:
            put(path, before)
        raise


def put(path: Path, text: str) -> None:
    """Write node.toml, for its owner alone."""
    (private.replace if path.exists() else private.create)(path, text.encode())
