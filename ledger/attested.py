"""What a `state.attested` says of a state, and which part of it, and whose code, is not as it says.

Beside the digest of the whole state an attestation holds one of each part of it, and one of each
reducer's code. A state that differs then differs in named parts, of named reducers, since a named
event; a reducer whose code is not what attested is told from data that is not what was folded.
Attestations of earlier versions hold neither: of them only the whole is compared.

Not covered: which entries of a part differ. That is known where somebody kept the attested entries,
as the newest snapshot does.
"""

import inspect
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any, Final, TypeAlias

from ledger.core import hashing
from ledger.core.codec import encode
from ledger.core.errors import LedgerError
from ledger.core.event import Event
from ledger.core.state import Owners, Reducer, State, part_of

CODE_BYTES: Final = 16
_KEYS_SHOWN_MAX: Final = 5
"""Entries that an error names; the others are counted."""

Entries: TypeAlias = Mapping[str, Any]


class ReplayDiffers(LedgerError):
    """The replayed state is not the attested one: `difference` tells where."""

    def __init__(
        self, message: str, *, hint: str | None = None, difference: "Difference | None" = None
    ) -> None:
        super().__init__(message, hint=hint)
        self.difference = difference


def name_of(reducer: Reducer) -> str:
    """Return the name of a reducer: where it is defined, and how it is called there."""
    return f"{reducer.__module__}.{reducer.__qualname__}"


def sources(reducers: Iterable[Reducer]) -> list[list[str]]:
    """[module, name, source of the module] each: a reducer is more than its first function."""
    return [[r.__module__, r.__qualname__, _source(r.__module__)] for r in reducers]


@cache
def _source(module: str) -> str:
    return inspect.getsource(sys.modules[module])


def code_of(reducers: Iterable[Reducer]) -> dict[str, bytes]:
    """Return a digest of each reducer's code, CODE_BYTES, by name."""
    return {name_of(r): _code(r.__module__, r.__qualname__) for r in reducers}


@cache
def _code(module: str, name: str) -> bytes:
    return hashing.xof(hashing.REDUCERS, CODE_BYTES, encode([module, name, _source(module)]))


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """A replayed state that is not the one attested at `position`.

    The first event that makes it so lies from `since` on, before `position`. `parts` and
    `reducers`: what differs, and whose it is, as far as the attestation tells. `changed`: other
    code attested. `keys`: entries that differ, where the attested ones were kept.
    """

    position: int
    since: int
    attested: Any
    found: bytes
    parts: tuple[str, ...] = ()
    reducers: tuple[str, ...] = ()
    changed: bool = False
    keys: tuple[str, ...] = ()

    def error(self) -> ReplayDiffers:
        """Say what differs, where, and what to do."""
        then = self.attested
        told = (
            f"state at {self.position} replays to {self.found.hex()}, attested"
            f" {then.hex() if isinstance(then, bytes) else repr(then)[:80]};"
            f" the first difference is in events {self.since} to {self.position - 1}"
        )
        if self.parts:
            whose = " or ".join(self.reducers) or "a reducer that is gone"
            told += f"; it is in {_some(self.parts, 'part')}, of {whose}"
        if self.keys:
            told += f"; {_some(self.keys, 'entry')}"
        if not self.changed:
            hint = "run: timmy verify; if it holds, code that the reducer uses is not what it was"
        else:
            hint = "other code attested: put that back, or start the node, which attests anew"
        return ReplayDiffers(told, hint=hint, difference=self)


def _some(names: tuple[str, ...], what: str) -> str:
    shown = ", ".join(names[:_KEYS_SHOWN_MAX])
    more = len(names) - _KEYS_SHOWN_MAX
    return f"{what} {shown}" + (f" and {more} more" if more > 0 else "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """The entries that were attested at one size."""

    size: int
    entries: Entries


@dataclass(slots=True)
class Comparison:
    """Attestations met on one replay by `reducers`, whose hash is `mine`.

    `agreed`: those of the same code that agree. `foreign`: those of other code, of which `alike`
    agree, and `silent` do not say enough to be compared. `differences`: one for each set of parts,
    where it was first seen; `settled` of them lie before an attestation of the same code that
    agrees: since then the state is what this code makes of the events.
    """

    reducers: tuple[Reducer, ...]
    mine: bytes
    start: int = 0
    owners: Owners = field(default_factory=dict)
    kept: Kept | None = None
    agreed: int = 0
    foreign: int = 0
    alike: int = 0
    silent: int = 0
    differences: list[Difference] = field(default_factory=list)
    settled: int = 0
    _code: dict[str, bytes] = field(default_factory=dict)
    _whole: int | None = None
    _parts: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._code = code_of(self.reducers)
        self._whole = self.start

    def look(self, event: Event, state: State) -> None:
        """Compare with the state before `event`, an attestation; only of its own size it tells."""
        payload = event.payload
        own = payload.get("reducers") == self.mine
        self.foreign += not own
        parts, code = _digests(payload, "parts"), _digests(payload, "code")
        told = own or (parts is not None and code is not None)
        if payload.get("size") != event.position or not told:
            self.silent += not own
            return
        found, attested = state.digest(), payload.get("digest")
        differing = _differing(state.parts(), parts) if parts is not None else ()
        if not differing and (found == attested or not own):
            self._agree(event.position, parts or {}, own=own)
            return
        difference = Difference(
            position=event.position,
            since=self._since(differing),
            attested=attested,
            found=found,
            parts=differing,
            reducers=self._blamed(differing, self._changed(code or {}) if not own else frozenset()),
            changed=not own,
            keys=self._keys(event.position, state.entries, differing),
        )
        self._differ(difference, parts or {})

    def _agree(self, position: int, parts: Iterable[str], *, own: bool) -> None:
        self.agreed += own
        self.alike += not own
        self._whole = position
        if own:
            self.settled = len(self.differences)
        self._parts |= dict.fromkeys(parts, position)

    def _differ(self, difference: Difference, attested: Iterable[str]) -> None:
        same = (part for part in attested if part not in difference.parts)
        self._parts |= dict.fromkeys(same, difference.position)
        known = next(
            (
                at
                for at, one in enumerate(self.differences)
                if at >= self.settled
                and (one.parts, one.changed) == (difference.parts, difference.changed)
            ),
            None,
        )
        if known is None:
            self.differences.append(difference)
        elif difference.keys:
            first = self.differences[known]
            self.differences[known] = replace(first, keys=difference.keys)

    def _since(self, parts: tuple[str, ...]) -> int:
        """The newest size at which each of these parts was still as attested, or all of them."""
        whole = self._whole or 0
        return min((max(whole, self._parts.get(part, whole)) for part in parts), default=whole)

    def _changed(self, code: Mapping[str, bytes]) -> frozenset[str]:
        """Names of reducers whose code is not what attested, or that only one of both has."""
        names = code.keys() | self._code.keys()
        return frozenset(name for name in names if code.get(name) != self._code.get(name))

    def _blamed(self, parts: tuple[str, ...], changed: frozenset[str]) -> tuple[str, ...]:
        """Whose these parts are. Several reducers write some: then those that other parts accuse.

        Where code changed, whose code changed; one that is gone owns what nobody owns any more.
        """
        found: set[str] = set()
        shared = []
        for part in parts:
            names = {name_of(reducer) for reducer in self.owners.get(part, ())} or set(changed)
            names = (names & changed) or names
            if len(names) == 1:
                found |= names
            else:
                shared.append(names)
        for names in shared:
            if not names & found:
                found |= names
        return tuple(sorted(found))

    def _keys(self, size: int, entries: Entries, parts: tuple[str, ...]) -> tuple[str, ...]:
        if self.kept is None or self.kept.size != size:
            return ()
        then = self.kept.entries
        return tuple(
            sorted(
                key
                for key in then.keys() | entries.keys()
                if then.get(key) != entries.get(key) and (not parts or part_of(key) in parts)
            )
        )


def _digests(payload: Mapping[str, Any], name: str) -> dict[str, bytes] | None:
    """A map of names to digests; None if there is none of this shape."""
    value = payload.get(name)
    if type(value) is not dict or not all(type(one) is bytes for one in value.values()):
        return None
    return value


def _differing(found: Mapping[str, bytes], attested: Mapping[str, bytes]) -> tuple[str, ...]:
    names = found.keys() | attested.keys()
    return tuple(sorted(name for name in names if found.get(name) != attested.get(name)))
