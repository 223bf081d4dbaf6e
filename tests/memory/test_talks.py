"""The reducer of talks against a twin that keeps plain lists, on lives that are made up."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.core import types
from ledger.core.event import Cause, Draft, Event, seal
from ledger.core.state import State
from runtime.core.talks import TALK_MAX, Talks, reduce_talks

NAMES = ("a", "b")
ANY = st.integers(-2, 60) | st.sampled_from([2**62, -(2**62)])
"""Positions that a payload may name, also such as never were."""


class Twin:
    """What is known of one conversation."""

    def __init__(self) -> None:
        self.exchanges: list[list[int]] = []
        self.parked: list[int] = []
        self.read = 0
        self.summaries: list[tuple[int, int, list[int]]] = []

    @property
    def summed(self) -> int:
        return max((last for _, last, _ in self.summaries), default=0)

    @property
    def open(self) -> list[tuple[int, int, bool]]:
        return [(m, a, bool(c)) for m, a, c in self.exchanges if m > self.summed]

    @property
    def fresh(self) -> list[int]:
        return [m for m, _, _ in self.exchanges if m > self.read]


steps = st.one_of(
    st.tuples(st.just("asks"), st.sampled_from(NAMES)),
    st.tuples(st.just("parks"), st.sampled_from(NAMES)),
    st.tuples(st.just("takes"), st.sampled_from(NAMES)),
    st.tuples(st.just("answers"), st.sampled_from(NAMES), ANY),
    st.tuples(st.just("ends"), ANY),
    st.tuples(st.just("distils"), st.sampled_from(NAMES), ANY),
    st.tuples(st.just("sums up"), st.sampled_from(NAMES), ANY, st.lists(st.integers(1, 30))),
    st.tuples(st.just("erases"), st.lists(ANY, max_size=3)),
)


def told(step, twins):
    """A step as an event's type and payload, and whom it is caused by."""
    what, *rest = step
    if what == "asks":
        return types.MESSAGE_RECEIVED.name, {"conversation": rest[0], "author": "operator"}, ()
    if what == "parks":
        payload = {"conversation": rest[0], "author": "operator", "forwarded": True}
        return types.MESSAGE_RECEIVED.name, payload, ()
    if what == "takes":
        payload = {"conversation": rest[0], "message": min(twins[rest[0]].parked, default=-1)}
        return types.ROUTE_TAKEN.name, payload, ()
    if what == "answers":
        return types.MESSAGE_SENT.name, {"conversation": rest[0], "message": rest[1]}, ()
    if what == "ends":
        return types.TURN_FINISHED.name, {"message": rest[0]}, ()
    if what == "distils":
        return types.MEMORY_DISTILLED.name, {"conversation": rest[0], "to": rest[1]}, ()
    if what == "sums up":
        before = twins[rest[0]].summaries
        previous = {"previous": before[-1][0]} if before else {}
        payload = {"conversation": rest[0], "from": 1, "to": rest[1], **previous}
        return types.CONTEXT_COMPACTED.name, payload, rest[2]
    return types.REDACTED.name, {"targets": rest[0]}, ()


def follow(twins, step, position):
    what, *rest = step
    known = {m for twin in twins.values() for m, _, _ in twin.exchanges}
    if what == "asks":
        twins[rest[0]].exchanges.append([position, 0, 0])
    elif what == "parks":
        twins[rest[0]].parked.append(position)
    elif what == "takes" and twins[rest[0]].parked:
        twin = twins[rest[0]]
        twin.exchanges.append([twin.parked.pop(0), 0, 0])
        twin.exchanges.sort()
    elif what == "answers":
        for exchange in twins[rest[0]].exchanges:
            if exchange[0] == rest[1]:
                exchange[1] = position
    elif what == "ends" and rest[0] in known:
        for twin in twins.values():
            for exchange in twin.exchanges:
                if exchange[0] == rest[0]:
                    exchange[2] = 1
    elif what == "distils":
        twin = twins[rest[0]]
        if twin.exchanges:
            twin.read = max(twin.read, min(rest[1], position))
    elif what == "sums up":
        twin = twins[rest[0]]
        if twin.exchanges:
            twin.summaries.append((position, min(rest[1], position), rest[2]))
    elif what == "erases":
        for twin in twins.values():
            for number, (at, _, sources) in enumerate(twin.summaries):
                if {at, *sources} & set(rest[0]):
                    del twin.summaries[number:]
                    break


def event_of(kind, payload, position, sources):
    """An event of the agent's own ledger, its causes at these positions."""
    causes = tuple(Cause(position=at, id=bytes(32)) for at in sorted(set(sources)))
    draft = Draft(type=kind, stream=b"s" * 16, payload=payload, causes=causes)
    sealed: Event = seal(
        draft, position=position, stream_sequence=position, ts_ms=position, salts=bytes(64)
    )
    return sealed


@settings(max_examples=200, deadline=None)
@given(st.lists(steps, max_size=60))
def test_talks_are_what_a_twin_of_plain_lists_says(life):
    state, twins = State((reduce_talks,), size=100), {name: Twin() for name in NAMES}
    for position, step in enumerate(map(shifted, life), 100):
        kind, payload, sources = told(step, twins)
        sources = [at for at in sources if at < position]
        state.apply(event_of(kind, payload, position, sources))
        follow(twins, (*step[:3], sources) if step[0] == "sums up" else step, position)
        talks = Talks(state.entries)
        for name, twin in twins.items():
            found = talks.get(name)
            if found is None:
                assert not twin.exchanges
                continue
            assert [(e.message, e.answer, e.closed) for e in found.open] == twin.open
            assert list(found.fresh) == twin.fresh
            assert talks.summaries(name) == [at for at, _, _ in twin.summaries]
            assert (name in talks.restless) == bool(twin.fresh)
            if found.open:
                assert name in talks.long(len(found.open))


def shifted(step):
    """Positions of a step as those of a life that begins at 100."""

    def moved(value):
        return value + 100 if isinstance(value, int) and abs(value) < 100 else value

    return tuple(
        [moved(v) for v in part] if isinstance(part, list) else moved(part) for part in step
    )


@pytest.mark.parametrize("count", [TALK_MAX, TALK_MAX + 7])
def test_the_newest_messages_are_kept(count):
    state = State((reduce_talks,))
    for position in range(count):
        payload = {"conversation": "a", "author": "operator"}
        state.apply(event_of(types.MESSAGE_RECEIVED.name, payload, position, ()))
    talk = Talks(state.entries).get("a")
    assert talk is not None
    kept = [position for position in range(count)[-TALK_MAX:] if position > 0]
    assert [exchange.message for exchange in talk.open] == kept == list(talk.fresh)
