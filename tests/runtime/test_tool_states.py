"""The reducers of questions and of lists of things to do: folded, forgotten, never raising."""

from hypothesis import given
from hypothesis import strategies as st

from ledger.core import types
from ledger.core.event import Draft, seal
from runtime.core.approving import questions, reduce_approvals
from runtime.core.todos import reduce_todos, todo_key

NAMES = [
    types.APPROVAL_ASKED.name, types.APPROVAL_ANSWERED.name, types.TURN_FINISHED.name,
    types.POLICY_DECIDED.name, types.TODO_SET.name, "other.kind",
]  # fmt: skip
ASKED = {"turn": bytes(16), "name": "put", "deadline_ms": 5, "conversation": "main"}


def event(position: int, kind: str, payload: dict):
    return seal(
        Draft(type=kind, stream=bytes(16), payload=payload), position=position,
        stream_sequence=position, ts_ms=1, salts=bytes(64),
    )  # fmt: skip


class Folded:
    """Entries after events, as the state keeps them: None takes an entry away."""

    def __init__(self, *events: tuple[str, dict]) -> None:
        self.entries: dict = {}
        for position, (kind, payload) in enumerate(events):
            for reducer in (reduce_approvals, reduce_todos):
                for key, value in reducer(self.entries, event(position, kind, payload)):
                    if value is None:
                        self.entries.pop(key, None)
                    else:
                        self.entries[key] = value

    @property
    def open(self) -> list[int]:
        return [question.position for question in questions(self.entries)]


def asked(message: int) -> tuple[str, dict]:
    return types.APPROVAL_ASKED.name, ASKED | {"message": message}


def test_a_question_is_open_until_it_is_answered_or_its_turn_is_over():
    three = (asked(7), asked(8), asked(8))
    assert Folded(*three).open == [0, 1, 2]
    assert Folded(*three, (types.APPROVAL_ANSWERED.name, {"approval": 1})).open == [0, 2]
    over = Folded(*three, (types.TURN_FINISHED.name, {"message": 8}))
    assert over.open == [0]
    assert Folded(*three, (types.POLICY_DECIDED.name, {"message": 7})).open == [1, 2]
    rest = (types.APPROVAL_ANSWERED.name, {"approval": 0})
    assert Folded(asked(7), rest, rest).entries == {}


def test_the_newest_list_of_a_conversation_stands():
    one, two = ({"conversation": name, "count": 1} for name in ("a", "b"))
    kind = types.TODO_SET.name
    folded = Folded((kind, one), (kind, two), (kind, one), (kind, {"count": 1}))
    assert folded.entries == {todo_key("a"): 2, todo_key("b"): 1}


VALUES = st.one_of(
    st.none(), st.booleans(), st.integers(0, 9), st.text(max_size=3), st.just(bytes(16)),
    st.lists(st.integers(0, 3), max_size=2),
)  # fmt: skip
PAYLOADS = st.dictionaries(
    st.sampled_from([*ASKED, "message", "approval", "count"]), VALUES, max_size=7
)


@given(
    st.lists(
        st.tuples(st.sampled_from(NAMES), PAYLOADS | st.just(ASKED | {"message": 3})), max_size=9
    )
)
def test_no_event_makes_a_reducer_raise_and_nothing_is_left_behind(events):
    folded = Folded(*events, *((types.APPROVAL_ANSWERED.name, {"approval": n}) for n in range(9)))
    assert folded.open == []
    assert all(key.startswith("todo/") for key in folded.entries)
