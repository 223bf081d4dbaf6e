"""The projection: never raises, equal however it is fed, and agrees with a dumb twin."""

from types import SimpleNamespace

from hypothesis import given
from hypothesis import strategies as st

from ledger.core.event import Cause
from ledger.core.state import State
from runtime.core.agenda import STEPPED, reduce_agenda
from runtime.core.turns import Turns

TURNS = [bytes([n]) * 16 for n in range(3)]
KINDS = [
    "message.received", "message.sent", "turn.started", "turn.finished", "policy.decided",
    "policy.released", "model.requested", "model.replied", "memory.recalled", "memory.noted",
    STEPPED, "something.else",
]  # fmt: skip
FIELDS = {
    "conversation": st.sampled_from(["a", "b"]),
    "author": st.sampled_from(["x", "y"]),
    "screen": st.sampled_from(["pass", "pass", "pass", "crisis"]),
    "message": st.integers(0, 12),
    "turn": st.sampled_from(TURNS),
    "attempt": st.integers(1, 3),
    "step": st.integers(0, 2),
    "op": st.sampled_from(["model", "recall"]),
    "args": st.just(bytes(32)),
    "action": st.sampled_from(["hold", "held", "other"]),
}
good = st.fixed_dictionaries(FIELDS)
junk = st.none() | st.integers() | st.text(max_size=2) | st.binary(max_size=2) | st.lists(st.none())
broken = st.dictionaries(st.sampled_from([*FIELDS, "else"]), junk | st.one_of(*FIELDS.values()))


releases = st.fixed_dictionaries({"author": FIELDS["author"]})
"""As this version writes them; one with a conversation is an earlier version's."""


def event(position: int, kind: str, payload: dict):
    """What the projection reads of an event; a log would refuse most of what is tried here."""
    cause = Cause(position=position, id=bytes(32))
    return SimpleNamespace(
        position=position, type=kind, payload=payload, stream=bytes(16), cause=cause
    )


def fold(rows) -> Turns:
    return Turns(state_of(rows))


def state_of(rows) -> State:
    state = State((reduce_agenda,))
    for position, (kind, payload) in enumerate(rows):
        state.apply(event(position, kind, payload))
    return state


@given(st.lists(st.tuples(st.sampled_from(KINDS), good | broken), max_size=30))
def test_no_payload_breaks_it(rows):
    turns = fold(rows)
    turns.to_settle()
    turns.next_messages()
    assert turns.next_position == len(rows)
    assert {opened.message for opened in turns.open.values()} <= set(turns.pending)


@given(
    st.lists(
        st.tuples(st.sampled_from(KINDS), good) | st.tuples(st.just("policy.released"), releases),
        max_size=30,
    )
)
def test_it_agrees_with_a_twin_that_looks_at_everything_each_time(rows):
    turns = fold(rows)

    def received(at: int) -> bool:
        return rows[at][0] == "message.received"

    def ended(at: int) -> bool:
        return any(
            kind == "turn.finished" or (kind == "policy.decided" and p["action"] != "other")
            for kind, p in rows[at + 1 :]
            if kind in ("turn.finished", "policy.decided") and p["message"] == at
        )

    def begun(who: str, upto: int) -> dict[str, int]:
        rooms: dict[str, int] = {}
        for at, (kind, p) in enumerate(rows[:upto]):
            if p["author"] == who:
                crisis = kind == "message.received" and p["screen"] == "crisis"
                if crisis or (kind == "policy.decided" and p["action"] == "hold"):
                    rooms.setdefault(p["conversation"], at)
                elif kind == "policy.released" and "conversation" in p:
                    rooms.pop(p["conversation"], None)
                elif kind == "policy.released":
                    rooms = {}
        return rooms

    def held(who: str, upto: int) -> bool:
        return bool(begun(who, upto))

    def author(at: int) -> str:
        return rows[at][1]["author"]

    messages = [at for at in range(len(rows)) if received(at)]
    pending = [at for at in messages if not ended(at)]
    withheld = {at for at in messages if held(author(at), at + 1)}
    noted = [at for at in range(len(rows)) if rows[at][0] == "memory.noted"]
    unseen = {at for at in noted if rows[at][1]["screen"] == "crisis" or held(author(at), at)}
    givable = [at for at in pending if at not in withheld and not held(author(at), len(rows))]
    assert list(turns.pending) == pending
    assert turns.withheld == withheld | unseen
    now = {who: begun(who, len(rows)) for who in ("x", "y")}
    assert dict(turns.holds) == {who: rooms for who, rooms in now.items() if rooms}
    assert [m.position for m in turns.to_settle()] == [at for at in pending if at not in givable]
    firsts = {rows[at][1]["conversation"]: at for at in reversed(givable)}
    assert {m.conversation: m.position for m in turns.next_messages()} == firsts


def test_steps_of_a_turn_are_found_again_until_it_ends():
    base = {"conversation": "a", "author": "x", "screen": "pass"}
    step = {"turn": TURNS[0], "step": 0, "op": "model", "args": bytes(32)}
    rows = [
        ("message.received", base),
        ("turn.started", {"turn": TURNS[0], "message": 0, "attempt": 2}),
        ("model.requested", step),
        ("model.replied", step),
    ]
    state = state_of(rows)
    turns = Turns(state)
    found = turns.step(TURNS[0], 0)
    assert (found.asked, found.result, turns.attempt(TURNS[0])) == (2, 3, 2)
    state.apply(event(4, "turn.finished", {"turn": TURNS[0], "message": 0}))
    assert (turns.step(TURNS[0], 0), turns.attempt(TURNS[0]), turns.pending) == (None, 0, {})
