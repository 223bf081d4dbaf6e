"""Which events somebody has already, by id, with their dates: bounded, the longest known goes."""

from collections.abc import Iterable, Iterator

from mesh.core import limits


class Seen:
    """At most `events_max` ids, each with the created_at of its event (Unix seconds)."""

    def __init__(
        self, known: Iterable[tuple[int, str]] = (), *, events_max: int = limits.SEEN_EVENTS_MAX
    ) -> None:
        self._events_max = events_max
        self._at: dict[str, int] = {}
        for at, event_id in known:
            self.add(at, event_id)

    def __contains__(self, event_id: object) -> bool:
        return event_id in self._at

    def __len__(self) -> int:
        return len(self._at)

    def __iter__(self) -> Iterator[tuple[int, str]]:
        return ((at, event_id) for event_id, at in self._at.items())

    def at(self, event_id: str) -> int | None:
        """Return when an event was made, None if it is not known any more."""
        return self._at.get(event_id)

    def drop(self, event_id: str) -> None:
        """Forget an event."""
        self._at.pop(event_id, None)

    def add(self, at: int, event_id: str) -> None:
        """Note an event."""
        self._at[event_id] = at
        if len(self._at) > self._events_max:
            del self._at[next(iter(self._at))]
