"""Consensus-critical: payloads of older schemas, read as this version writes them.

A schema changes by a pure function from a payload of version n to one of version n + 1, applied
when an event is read by something that interprets it: the runtime's projections, search, displays.
Nothing that is stored, hashed, proven, verified or folded into `ledger.core.state` sees its result
(docs/adr/0007-upcasting-on-read.md says why): ids, commitments, proofs, verdicts and state digests
are the same whatever steps there are.

What this version cannot read, it does not guess at: a type that is not in the table, and a schema
of a known type that is newer than the table's, are opaque. Content is never upcast: it may be
erased, and a step that needs it would make one event read in two ways.
"""

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Final, TypeAlias

from ledger.core import types
from ledger.core.event import CONTENT_KEY, Event

Step: TypeAlias = Callable[[dict[str, Any]], dict[str, Any]]
"""A payload of schema n to one of n + 1. Pure and total: any map in, a map out, never an error.

It is given a copy that it may change, and leaves the key `content` alone: that is a commitment.
"""

FIRST_SCHEMA: Final = 1
FROZEN: Final = frozenset(
    {
        types.GENESIS.name,
        types.REDACTED.name,
        types.EPOCH.name,
        types.SEAL_OPENED.name,
        types.STATE_ATTESTED.name,
    }
)
"""Types that verifiers interpret, which read payloads raw: a new meaning is a new type."""


class Standing(StrEnum):
    """How this version reads an event."""

    CURRENT = "current"
    OLDER = "older"
    """Of an older schema: its payload is brought forward."""
    NEWER = "newer"
    """A known type of a schema that this version does not know: opaque."""
    UNKNOWN = "unknown"
    """A type (or a schema 0) that no table of this version names: opaque."""

    @property
    def opaque(self) -> bool:
        """Whether the payload means nothing to this version."""
        return self in (Standing.NEWER, Standing.UNKNOWN)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """An event as this version reads it. An opaque one is as it was written."""

    standing: Standing
    event: Event


@dataclass(frozen=True, slots=True, kw_only=True)
class Upcasters:
    """The types a version knows, with their newest schema, and every step that leads there.

    Raises ValueError unless there is exactly one step from each older schema of each type.
    """

    types: Mapping[str, types.EventType]
    steps: Mapping[tuple[str, int], Step]
    """From (type, schema) to the next schema."""

    def __post_init__(self) -> None:
        needed = {
            (kind.name, schema)
            for kind in self.types.values()
            for schema in range(FIRST_SCHEMA, kind.schema)
        }
        if missing := sorted(needed - self.steps.keys()):
            raise ValueError(f"no step leads on from {missing}")
        if stray := sorted(self.steps.keys() - needed):
            raise ValueError(f"no type of this version needs the steps {stray}")
        if frozen := sorted(name for name, _ in needed if name in FROZEN):
            raise ValueError(f"verifiers read {frozen} raw: a new meaning is a new type")

    def standing(self, kind: str, schema: int) -> Standing:
        """Tell how an event of this type and schema is read."""
        known = self.types.get(kind)
        if known is None or schema < FIRST_SCHEMA:
            return Standing.UNKNOWN
        if schema == known.schema:
            return Standing.CURRENT
        return Standing.OLDER if schema < known.schema else Standing.NEWER

    def read(self, event: Event) -> Reading:
        """Return `event` with its payload brought forward; id, envelope and record as they were."""
        standing = self.standing(event.type, event.envelope.schema)
        if standing is Standing.OLDER:
            event = event._replace(payload=self._forward(event))
        return Reading(standing=standing, event=event)

    def _forward(self, event: Event) -> dict[str, Any]:
        payload = copy.deepcopy(event.payload)
        for schema in range(event.envelope.schema, self.types[event.type].schema):
            payload = self.steps[event.type, schema](payload)
        if payload.get(CONTENT_KEY) != event.payload.get(CONTENT_KEY):
            raise ValueError(f"a step of {event.type} changed the commitment to its content")
        return payload


UPCASTERS: Final = Upcasters(types=MappingProxyType(types.KNOWN), steps=MappingProxyType({}))
"""This version's. No type has had a second schema yet."""
