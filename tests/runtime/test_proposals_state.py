"""Proposals as facts: counted beside a dumb twin, within bounds, unbreakable by any payload."""

from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.core.codec import encode
from ledger.core.state import State
from runtime.core import proposals
from runtime.core.proposals import Proposals, Standing, reduce_proposals

BASES = [bytes([n]) * 32 for n in range(3)]
KINDS = ["proposed", "refused", "commented", "withdrawn", "judged", "adopted", "rolledback"]


class Told:
    """A state that is told events one by one."""

    def __init__(self):
        self.state = State((reduce_proposals,))

    def tell(self, kind, **payload):
        position = self.state.size
        self.state.apply(SimpleNamespace(position=position, type=f"patch.{kind}", payload=payload))
        self.state.digest()  # encodes every entry that changed
        return position

    def propose(self, base=BASES[0], **more):
        facts = {
            "author": "ann",
            "base": base,
            "root": bytes(32),
            "document": more.pop("doc", base),
        }
        return self.tell("proposed", **facts | more)

    @property
    def all(self):
        return Proposals(self.state.entries)


def test_attempts_are_counted_along_a_lineage_and_on_a_base():
    told = Told()
    first = told.propose()
    other = told.propose(BASES[1])
    again = told.propose(follows=first)
    third = told.propose(BASES[1], follows=again)
    aside = told.propose()
    found = {one.position: (one.attempt, one.on_base, one.follows) for one in told.all}
    assert found == {
        first: (1, 1, None), other: (1, 1, None), again: (2, 2, first), third: (3, 2, again),
        aside: (1, 3, None),
    }  # fmt: skip
    assert told.all.on_base(BASES[0]) == 3
    assert told.all.on_base(BASES[2]) == 0


def test_what_an_event_says_of_its_own_count_is_passed_over():
    told = Told()
    at = told.propose(attempt=99, on_base=99, follows=12345)
    assert (told.all.get(at).attempt, told.all.get(at).on_base, told.all.get(at).follows) == (
        1,
        1,
        None,
    )


def test_withdrawn_it_may_be_proposed_again():
    told = Told()
    at = told.propose(doc=bytes(32))
    assert told.all.with_document(bytes(32)) == at
    told.tell("withdrawn", patch=at, author="ann")
    assert told.all.with_document(bytes(32)) is None
    assert told.all.open == []
    assert told.all.get(at).state is Standing.WITHDRAWN
    assert told.propose(doc=bytes(32)) == told.all.with_document(bytes(32))
    told.tell("withdrawn", patch=at, author="ann")
    assert told.all.with_document(bytes(32)) is not None


def test_comments_verdicts_and_refusals():
    told = Told()
    at = told.propose()
    told.tell("commented", patch=at, author="bob", path="", line=3)
    told.tell("judged", patch=at, decision="reject")
    told.tell("judged", patch=at, decision="accept")
    told.tell("commented", patch=at + 1, author="bob")
    refused = told.tell("refused", author="eve", reason="context", line=12)
    assert (told.all.get(at).comments, told.all.get(at).verdicts) == (1, ("reject", "accept"))
    assert told.all.refusals == [(refused, "eve", "context", 12)]


def test_one_from_before_there_were_documents_is_one_too():
    told = Told()
    at = told.tell("proposed", author="operator", sha256=bytes(32), parent_tree=bytes(32))
    found = told.all.get(at)
    assert (found.base, found.root, found.document, found.attempt) == (None, None, None, 1)
    assert [one.position for one in told.all.open] == [at]


def test_the_state_forgets_the_oldest(monkeypatch):
    monkeypatch.setattr(proposals, "PROPOSALS_KEPT_MAX", 3)
    told = Told()
    made = [told.propose(doc=bytes([n]) * 32) for n in range(5)]
    assert [one.position for one in told.all] == made[-3:]
    assert told.all.get(made[0]) is None
    assert told.all.with_document(bytes(32)) is None
    assert told.all.on_base(BASES[0]) == 5
    told.propose(follows=made[0])
    assert told.all.get(5).attempt == 1


@pytest.mark.parametrize(
    "payload", [{}, {"author": 1}, {"author": ""}, {"author": "x" * 129}, {"author": None}]
)
@pytest.mark.parametrize("kind", KINDS)
def test_another_shape_is_passed_over(kind, payload):
    told = Told()
    told.tell(kind, **payload)
    assert dict(told.state.entries) == {}


VALUE = st.sampled_from(
    [0, 1, 2, 7, -1, "ann", "open", "x" * 200, b"", BASES[0], BASES[1], True, None]
)
PAYLOAD = st.dictionaries(
    st.sampled_from(["author", "base", "root", "document", "follows", "patch", "reason", "line",
                     "decision"]), VALUE,
)  # fmt: skip


def twin(events):
    """Count by looking back over everything, each time."""
    rows = []
    for at, (kind, payload) in enumerate(events):
        author, base = payload.get("author"), payload.get("base")
        if kind != "proposed" or type(author) is not str or not 0 < len(author) <= 128:
            continue
        base = base if type(base) is bytes and len(base) == 32 else None
        follows = payload.get("follows")
        parent = next((row for row in rows if type(follows) is int and row["at"] == follows), None)
        rows.append({
            "at": at,
            "attempt": 1 if parent is None else parent["attempt"] + 1,
            "on_base": 1 + sum(row["base"] == base for row in rows) if base else 1,
            "base": base,
        })  # fmt: skip
    return [(row["at"], row["attempt"], row["on_base"], row["base"]) for row in rows]


@given(st.lists(st.tuples(st.sampled_from(KINDS), PAYLOAD), max_size=20))
@settings(deadline=None)
def test_any_events_are_folded_as_the_twin_counts_them(events):
    told = Told()
    for kind, payload in events:
        told.tell(kind, **payload)
    assert [(o.position, o.attempt, o.on_base, o.base) for o in told.all] == twin(events)
    encode(dict(told.state.entries))


def test_one_that_was_adopted_or_taken_back_is_open_no_more():
    told = Told()
    first = told.propose()
    told.tell("adopted", patch=first)
    assert told.all.get(first).state is Standing.ADOPTED
    assert told.all.with_document(BASES[0]) is None
    told.tell("rolledback", patch=first)
    assert told.all.get(first).state is Standing.ROLLED_BACK
    assert told.all.open == []
    gone = told.propose(doc=BASES[2])
    told.tell("withdrawn", patch=gone, author="ann")
    told.tell("adopted", patch=gone)
    assert told.all.get(gone).state is Standing.WITHDRAWN
