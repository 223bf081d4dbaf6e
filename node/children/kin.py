"""`<home>/kin.json`: where parent and children are reached, and when they were heard.

Nothing in it is believed: letters are signed. If it is lost, a child says where it is at its next
check, and the parent's address is given anew (`[lineage] parent` of node.toml).
"""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from ledger.files import write_atomically

_BYTES_MAX: Final = 4 * 1024 * 1024
"""Ten thousand children; more do not fit one parent."""
_URL: Final = re.compile(r"https?://[!-~]{1,300}")


def address(text: str) -> str:
    """Return the address of a node, or the empty text for what is none."""
    plain = _URL.fullmatch(text) is not None and not set("?#@\\") & set(text)
    return text.rstrip("/") if plain else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Contact:
    """One child as it was heard last. Times are Unix milliseconds, by this node's clock."""

    url: str = ""
    heard_ms: int = 0
    alive_ms: int = 0
    """The time in its last word that it lives, by its own clock."""
    size: int = 0
    gate: str = ""
    alarms: int = 0
    home: str = ""
    """Its folder, where it was fathered on this machine."""


class Kin:
    """The file of one home."""

    def __init__(self, home: Path) -> None:
        self._path = home / "kin.json"

    def parent_url(self) -> str:
        """Where the parent was when it fathered; empty if nobody knows."""
        return str(self._read().get("parent", ""))

    def set_parent(self, url: str) -> None:
        """Remember where the parent is."""
        self._write(self._read() | {"parent": url})

    def looked_ms(self) -> int:
        """When the parent's last request to look was made, by its clock."""
        found = self._read().get("looked_ms", 0)
        return found if type(found) is int else 0

    def set_looked(self, at_ms: int) -> None:
        """Remember a request to look: it is granted once."""
        self._write(self._read() | {"looked_ms": at_ms})

    def child(self, ledger_id: bytes) -> Contact:
        """Return what is known of a child; empty for one that was never heard."""
        found = self._children().get(ledger_id.hex(), {})
        wanted = {name: one.type for name, one in Contact.__dataclass_fields__.items()}
        known = found if isinstance(found, dict) else {}
        return Contact(
            **{name: value for name, value in known.items() if type(value) is wanted.get(name)}
        )

    def set_child(self, ledger_id: bytes, contact: Contact) -> None:
        """Remember what a child said."""
        value = {name: getattr(contact, name) for name in Contact.__dataclass_fields__}
        children = self._children() | {ledger_id.hex(): value}
        self._write(self._read() | {"children": children})

    def _children(self) -> dict[str, Any]:
        found = self._read().get("children", {})
        return found if isinstance(found, dict) else {}

    def _read(self) -> dict[str, Any]:
        try:
            with self._path.open("rb") as file:
                found = json.loads(file.read(_BYTES_MAX))
        except (OSError, ValueError, RecursionError):
            return {}
        return found if isinstance(found, dict) else {}

    def _write(self, value: dict[str, Any]) -> None:
        write_atomically(self._path, json.dumps(value).encode())
