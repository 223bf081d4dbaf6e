"""Filters of NIP-01: which events a subscription is for.

Fields of a filter are ANDed, the values of a field ORed; `since` and `until` are inclusive; only
the first value of single-letter tags counts; `limit` bounds the stored events only. An empty list
matches nothing. A field that we do not know is refused: ignoring a restriction would answer more
than was asked for.
"""

from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any, TypeAlias

from mesh.core import limits
from mesh.core.errors import InvalidFilter, UnsupportedFilter
from mesh.core.nip01 import Event, is_hex32, is_indexed

_HEX_TAGS = frozenset("ep")
"""NIP-01 prescribes hex for the values of these two."""


TagValues: TypeAlias = Mapping[str, AbstractSet[str]]
"""Of an event: the first values of its tags, by name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """One filter. None means "not restricted"; times are Unix seconds; keys lower-case hex."""

    ids: frozenset[str] | None = None
    authors: frozenset[str] | None = None
    kinds: frozenset[int] | None = None
    tags: tuple[tuple[str, frozenset[str]], ...] = ()
    since: int | None = None
    until: int | None = None
    limit: int | None = None

    @property
    def rows_max(self) -> int:
        """Stored events to return: `limit`, lowered to what we serve (NIP-11)."""
        if self.limit is None:
            return limits.FILTER_LIMIT_MAX
        return min(self.limit, limits.FILTER_LIMIT_MAX)

    @property
    def values(self) -> int:
        """How many values it lists, of all fields together."""
        listed = (self.ids, self.authors, self.kinds, *(wanted for _, wanted in self.tags))
        return sum(len(one) for one in listed if one is not None)

    def matches(self, event: Event, tags: TagValues | None = None) -> bool:
        """Tell whether the event is asked for, `limit` apart.

        `tags` are its `tag_values`, if they were made before.
        """
        return (
            (self.kinds is None or event.kind in self.kinds)
            and (self.authors is None or event.pubkey in self.authors)
            and (self.ids is None or event.id in self.ids)
            and (self.since is None or event.created_at >= self.since)
            and (self.until is None or event.created_at <= self.until)
            and (not self.tags or self._has_tags(tag_values(event) if tags is None else tags))
        )

    def _has_tags(self, tags: TagValues) -> bool:
        return all(not wanted.isdisjoint(tags.get(name, ())) for name, wanted in self.tags)


def tag_values(event: Event) -> TagValues:
    """Return the first values of the tags of each name.

    Made once for an event, or each filter of each subscription would look through all its tags.
    """
    found: dict[str, set[str]] = {}
    for tag in event.tags:
        if len(tag) > 1:
            found.setdefault(tag[0], set()).add(tag[1])
    return found


def parse_filter(value: Any) -> Filter:
    """Take a filter decoded from JSON. Raises InvalidFilter, or UnsupportedFilter."""
    if not isinstance(value, dict):
        raise InvalidFilter(f"a filter is an object, got {type(value).__name__}")
    fields: dict[str, Any] = {}
    tags = []
    for name, given in value.items():
        match name:
            case "ids" | "authors":
                fields[name] = _hex_list(name, given)
            case "kinds":
                fields[name] = _kinds(given)
            case "since" | "until" | "limit":
                fields[name] = _number(name, given)
            case str() if name[:1] == "#" and is_indexed(name[1:]):
                tags.append((name[1:], _tag_values(name, given)))
            case _:
                raise UnsupportedFilter("filter contains unknown elements")
    return Filter(tags=tuple(sorted(tags, key=lambda tag: tag[0])), **fields)


def to_object(one: Filter) -> dict[str, Any]:
    """Return the filter as JSON has it: what `parse_filter` takes, lists sorted."""
    found: dict[str, Any] = {
        name: sorted(value) if isinstance(value, frozenset) else value
        for name in ("ids", "authors", "kinds", "since", "until", "limit")
        if (value := getattr(one, name)) is not None
    }
    return found | {f"#{name}": sorted(values) for name, values in one.tags}


def matches_any(filters: Iterable[Filter], event: Event, tags: TagValues | None = None) -> bool:
    """Tell whether one of the filters matches: those of a REQ are ORed (NIP-01)."""
    known = tag_values(event) if tags is None else tags
    return any(one.matches(event, known) for one in filters)


def _list(name: str, value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise InvalidFilter(f"{name} must be a list")
    if len(value) > limits.FILTER_VALUES_MAX:
        bound = limits.FILTER_VALUES_MAX
        raise InvalidFilter(f"{len(value)} {name} in a filter, at most {bound} allowed")
    return value


def _hex_list(name: str, value: Any) -> frozenset[str]:
    found = _list(name, value)
    if not all(is_hex32(item) for item in found):
        raise InvalidFilter(f"{name} must be 64 characters of lower-case hex each")
    return frozenset(found)


def _kinds(value: Any) -> frozenset[int]:
    found = _list("kinds", value)
    if not all(type(item) is int and 0 <= item <= limits.KIND_MAX for item in found):
        raise InvalidFilter(f"kinds must be 0 to {limits.KIND_MAX} each")
    return frozenset(found)


def _number(name: str, value: Any) -> int:
    if type(value) is not int or not 0 <= value <= limits.CREATED_AT_MAX_SECONDS:
        raise InvalidFilter(f"{name} must be 0 to {limits.CREATED_AT_MAX_SECONDS}")
    return value


def _tag_values(name: str, value: Any) -> frozenset[str]:
    if name[1:] in _HEX_TAGS:
        return _hex_list(name, value)
    found = _list(name, value)
    if not all(isinstance(item, str) for item in found):
        raise InvalidFilter(f"{name} must be texts")
    return frozenset(found)
