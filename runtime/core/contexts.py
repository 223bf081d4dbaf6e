"""Consensus-critical: context files, and the reducer of which of them a prompt may refer to.

A context file (AGENTS.md and its like) tells the agent about the folder it works in. The host reads
it, bounded and screened (`runtime.core.injection`), and records it when it changed; a prompt refers
to that event. One with a finding is recorded and shown to nobody until the operator allows that
very content.

Entries:

    contexts               [name, ...]
    context/<name>         [position of context.read, SHA-256, whether it is suspect]
    context_allowed        [SHA-256, ...], newest last
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from ledger.core import types
from ledger.core.event import Event
from ledger.core.state import Change

SHOWN_CHARS_MAX: Final = 20_000
"""Five thousand tokens: a tenth of a small model's context is what a description may take."""
_HEAD_PERCENT, _TAIL_PERCENT = 70, 20
"""What a long file keeps: most say what matters first, and what changed last."""
_ALLOWED_MAX: Final = 256
"""Contents the operator looked at; older ones are asked for again."""
FILES_MAX: Final = 8

Entries: TypeAlias = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """A context file as it was read last."""

    name: str
    position: int
    sha256: bytes
    suspect: bool
    allowed: bool

    @property
    def shown(self) -> bool:
        """Whether prompts refer to it."""
        return self.allowed or not self.suspect


def fit(text: str) -> tuple[str, int]:
    """Return a text as prompts show it, and how many characters were left out of its middle."""
    if len(text) <= SHOWN_CHARS_MAX:
        return text, 0
    head = SHOWN_CHARS_MAX * _HEAD_PERCENT // 100
    tail = SHOWN_CHARS_MAX * _TAIL_PERCENT // 100
    left_out = len(text) - head - tail
    note = f"\n\n[{left_out} characters are left out here]\n\n"
    return text[:head] + note + text[-tail:], left_out


def known(entries: Entries) -> list[Known]:
    """Return every context file, in the order in which they were first read."""
    allowed = entries.get("context_allowed", ())
    found = []
    for name in entries.get("contexts", ()):
        position, sha256, suspect = entries[f"context/{name}"]
        found.append(
            Known(
                name=name,
                position=position,
                sha256=sha256,
                suspect=suspect,
                allowed=sha256 in allowed,
            )
        )
    return found


def reduce_contexts(entries: Entries, event: Event) -> Iterable[Change]:
    """See the module. Never raises for an event that `Event.open` accepted."""
    handler = _HANDLERS.get(event.type)
    return () if handler is None else handler(entries, event)


def _read(entries: Entries, event: Event) -> Iterable[Change]:
    match event.payload:
        case {"name": str(name), "sha256": bytes(sha256), "findings": list(findings)}:
            names = entries.get("contexts", ())
            yield f"context/{name}", [event.position, sha256, bool(findings)]
            if name not in names:
                yield "contexts", [*names, name]


def _gone(entries: Entries, event: Event) -> Iterable[Change]:
    match event.payload:
        case {"name": str(name)} if f"context/{name}" in entries:
            left = [other for other in entries["contexts"] if other != name]
            yield f"context/{name}", None
            yield "contexts", left or None


def _allowed(entries: Entries, event: Event) -> Iterable[Change]:
    match event.payload:
        case {"sha256": bytes(sha256)}:
            others = [one for one in entries.get("context_allowed", ()) if one != sha256]
            yield "context_allowed", [*others, sha256][-_ALLOWED_MAX:]


_Handler: TypeAlias = Callable[[Entries, Event], Iterable[Change]]
_HANDLERS: Final[Mapping[str, _Handler]] = {
    types.CONTEXT_READ.name: _read,
    types.CONTEXT_GONE.name: _gone,
    types.CONTEXT_ALLOWED.name: _allowed,
}
