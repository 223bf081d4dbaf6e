"""Consensus-critical: the reducer of proposals: which are open, and which try each is.

A proposal (`patch.proposed`) is counted twice. `attempt` counts along its lineage: one that takes
up another again (`follows`) is the next attempt at the same thing. `on_base` counts every proposal
against the same architecture, whoever made it and whatever it says it follows: who tries until he
is lucky is found by that number, which no words change. Both are counted here, from the events, and
what an event says of them is passed over.

Entries:

    proposals               positions, oldest first
    proposal/<position>     {author, base, root, document, attempt, on_base, follows, state,
                             comments, verdicts}: base, root, document, follows may be absent
    proposed-on/<base hex>  how many there were on this base
    proposed-as/<hex>       position of the open proposal with this document
    patch-refusals          [[position, author, reason, line], ...] newest last

Not covered: documents and comments, which are content and may be erased.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, TypeAlias

from ledger.core import types
from ledger.core.event import Event
from ledger.core.state import Change
from runtime.core.limits import (
    NAME_CHARS_MAX,
    PROPOSAL_VERDICTS_MAX,
    PROPOSALS_KEPT_MAX,
    REFUSALS_KEPT_MAX,
)

Entries: TypeAlias = Mapping[str, Any]
_DIGEST_BYTES: Final = 32
_REASON_CHARS_MAX: Final = 32


class Standing(StrEnum):
    """What became of a proposal."""

    OPEN = "open"
    WITHDRAWN = "withdrawn"
    ADOPTED = "adopted"
    ROLLED_BACK = "rolled back"


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposed:
    """A proposal without its words. Roots and digests are 32 bytes; None of one before them."""

    position: int
    author: str
    base: bytes | None
    root: bytes | None
    document: bytes | None
    attempt: int
    on_base: int
    follows: int | None
    state: Standing
    comments: int
    verdicts: tuple[str, ...]


class Proposals:
    """Proposals in the entries of a state that has `reduce_proposals` among its reducers."""

    def __init__(self, entries: Entries) -> None:
        self._entries = entries

    def __iter__(self) -> Iterator[Proposed]:
        """Every one that is kept, oldest first."""
        for position in self._entries.get("proposals", ()):
            yield _proposed(position, self._entries[_key(position)])

    def get(self, position: int) -> Proposed | None:
        """The proposal at a position."""
        entry = self._entries.get(_key(position))
        return None if entry is None else _proposed(position, entry)

    @property
    def open(self) -> list[Proposed]:
        """Those that wait for somebody, oldest first."""
        return [one for one in self if one.state is Standing.OPEN]

    def with_document(self, digest: bytes) -> int | None:
        """Position of the open proposal with this very document."""
        position: int | None = self._entries.get(_as_key(digest))
        return position

    def on_base(self, base: bytes) -> int:
        """How many proposals there were on this architecture."""
        count: int = self._entries.get(_on_key(base), 0)
        return count

    @property
    def refusals(self) -> list[tuple[int, str, str, int]]:
        """Position, author, reason and line of the newest refused ones, oldest first."""
        return [(at, who, why, line) for at, who, why, line in self._entries.get(_REFUSALS, ())]


_REFUSALS: Final = "patch-refusals"


def _key(position: int) -> str:
    return f"proposal/{position}"


def _on_key(base: bytes) -> str:
    return f"proposed-on/{base.hex()}"


def _as_key(document: bytes) -> str:
    return f"proposed-as/{document.hex()}"


def _proposed(position: int, entry: Mapping[str, Any]) -> Proposed:
    return Proposed(
        position=position,
        author=entry["author"],
        base=entry.get("base"),
        root=entry.get("root"),
        document=entry.get("document"),
        attempt=entry["attempt"],
        on_base=entry["on_base"],
        follows=entry.get("follows"),
        state=Standing(entry["state"]),
        comments=entry["comments"],
        verdicts=tuple(entry["verdicts"]),
    )


def reduce_proposals(entries: Entries, event: Event) -> Iterable[Change]:
    """See the module. Never raises for an event that `Event.open` accepted."""
    handler = _HANDLERS.get(event.type)
    return () if handler is None else handler(entries, event)


def _opened(entries: Entries, event: Event) -> Iterator[Change]:
    author = _name(event)
    if author is None:
        return
    base, root, document = (_digest(event, name) for name in ("base", "root", "document"))
    follows = _get(event, "follows", int)
    before = None if follows is None else entries.get(_key(follows))
    on_base = 1 if base is None else entries.get(_on_key(base), 0) + 1
    entry: dict[str, Any] = {
        "author": author,
        "attempt": 1 if before is None else before["attempt"] + 1,
        "on_base": on_base,
        "state": Standing.OPEN.value,
        "comments": 0,
        "verdicts": [],
    }
    known = {"base": base, "root": root, "document": document}
    known["follows"] = None if before is None else follows
    yield _key(event.position), entry | {k: v for k, v in known.items() if v is not None}
    kept = [*entries.get("proposals", ()), event.position]
    for position in kept[:-PROPOSALS_KEPT_MAX]:
        yield from _unnamed(entries, position)
        yield _key(position), None
    yield "proposals", kept[-PROPOSALS_KEPT_MAX:]
    if base is not None:
        yield _on_key(base), on_base
    if document is not None:
        yield _as_key(document), event.position


def _unnamed(entries: Entries, position: int) -> Iterator[Change]:
    """Forget that a document is proposed, if it is this proposal that it names."""
    document = entries[_key(position)].get("document")
    if document is not None and entries.get(_as_key(document)) == position:
        yield _as_key(document), None


def _refused(entries: Entries, event: Event) -> Iterator[Change]:
    author, reason = _name(event), _get(event, "reason", str)
    if author is None or not reason or len(reason) > _REASON_CHARS_MAX:
        return
    row = [event.position, author, reason, _get(event, "line", int) or 0]
    yield _REFUSALS, [*entries.get(_REFUSALS, ()), row][-REFUSALS_KEPT_MAX:]


def _commented(entries: Entries, event: Event) -> Iterator[Change]:
    for position, entry in _named(entries, event):
        if _name(event) is not None:
            yield _key(position), {**entry, "comments": entry["comments"] + 1}


def _withdrawn(entries: Entries, event: Event) -> Iterator[Change]:
    for position, entry in _named(entries, event):
        if _name(event) is not None and entry["state"] == Standing.OPEN:
            yield _key(position), {**entry, "state": Standing.WITHDRAWN.value}
            yield from _unnamed(entries, position)


def _adopted(entries: Entries, event: Event) -> Iterator[Change]:
    """It is in force, or was: open no more, and may be proposed again."""
    adopted = event.type == types.PATCH_ADOPTED.name
    for position, entry in _named(entries, event):
        if entry["state"] != Standing.WITHDRAWN:
            state = Standing.ADOPTED if adopted else Standing.ROLLED_BACK
            yield _key(position), {**entry, "state": state.value}
            yield from _unnamed(entries, position)


def _judged(entries: Entries, event: Event) -> Iterator[Change]:
    decision = _get(event, "decision", str)
    for position, entry in _named(entries, event):
        if decision and len(decision) <= _REASON_CHARS_MAX:
            verdicts = [*entry["verdicts"], decision][-PROPOSAL_VERDICTS_MAX:]
            yield _key(position), {**entry, "verdicts": verdicts}


def _named(entries: Entries, event: Event) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """Yield the proposal that an event is about, if it is known."""
    position = _get(event, "patch", int)
    entry = None if position is None else entries.get(_key(position))
    if position is not None and entry is not None:
        yield position, entry


def _name(event: Event) -> str | None:
    author = _get(event, "author", str)
    return author if author and len(author) <= NAME_CHARS_MAX else None


def _digest(event: Event, name: str) -> bytes | None:
    value = _get(event, name, bytes)
    return value if value is not None and len(value) == _DIGEST_BYTES else None


def _get(event: Event, name: str, kind: type) -> Any:
    value = event.payload.get(name)
    return value if type(value) is kind else None


_HANDLERS: Final[Mapping[str, Callable[[Entries, Event], Iterable[Change]]]] = {
    types.PATCH_PROPOSED.name: _opened,
    types.PATCH_REFUSED.name: _refused,
    types.PATCH_COMMENTED.name: _commented,
    types.PATCH_WITHDRAWN.name: _withdrawn,
    types.PATCH_JUDGED.name: _judged,
    types.PATCH_ADOPTED.name: _adopted,
    types.PATCH_ROLLED_BACK.name: _adopted,
}
