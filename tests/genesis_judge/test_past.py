"""What a subject is told of a long past: read from its end, and from a state that is at hand."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genesis.core import limits
from genesis.core.verdict import Decision
from genesis.judge import Head, judge
from genesis.judging.past import Snapshot
from genesis.judging.scenes import Past
from ledger.core import types
from ledger.core.state import BASIC_REDUCERS, State
from runtime.core.agenda import STREAMED
from runtime.core.protocol import encode as encode_frame
from runtime.core.reducers import REDUCERS as RUNTIME_REDUCERS
from runtime.sandbox import Engine

from .diffs import agent_tree, architecture
from .ledgers import STREAM, told
from .test_judge import QUICK, ROOT, SEED, SIGNER
from .test_replayed import REAL_ONLY

REDUCERS = (*BASIC_REDUCERS, *RUNTIME_REDUCERS)


def folded(events):
    state = State(REDUCERS)
    for event in events:
        state.apply(event)
    return state


class Naive(Snapshot):
    """As it is defined: every event looked at."""

    def _told(self, start, stop, worded):
        shown = self.events[start:stop]
        told = [event for event in shown if event.type in STREAMED][-limits.HISTORY_EVENTS_MAX :]
        frames = [self.frame(event) for event in told]
        return Past(
            frames=b"".join(map(encode_frame, frames)),
            words={
                event.position: self.words(event) is not None
                for event in shown
                if worded is None or event.type in worded
            },
            said={frame.position: frame for frame in frames},
        )


@given(st.data())
def test_the_past_is_the_same_read_from_the_end_and_from_a_state(data):
    """From a state, and without looking at every event, exactly what a fold from event 0 gives."""
    ledger = told()
    who = {"conversation": STREAM.hex(), "author": "npub", "gateway": "cli"}
    for n, screen in enumerate(
        data.draw(st.lists(st.sampled_from(["pass", "crisis"]), max_size=5))
    ):
        ledger.add(types.MESSAGE_RECEIVED.name, who | {"screen": screen}, f"word {n}")
        ledger.turn(f"question {n}", f"answer {n}")
    size = len(ledger.events)
    ledger.redact(*data.draw(st.sets(st.integers(0, size - 1), max_size=4)))
    slow = Snapshot.of(ledger.events)
    assert Snapshot.of(ledger.events, folded(ledger.events)).withheld == slow.withheld
    old = folded(ledger.events[:-1])
    assert Snapshot.of(ledger.events, old).withheld == slow.withheld  # of another size: not taken
    start = data.draw(st.integers(0, size))
    stop = data.draw(st.integers(start, size))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(limits, "HISTORY_EVENTS_MAX", data.draw(st.sampled_from([1, 3, 7, 2_000])))
        naive = Naive(events=slow.events, withheld=slow.withheld)
        for ours, theirs in (
            (slow.past, naive.past),
            (slow.between(start, stop), naive.between(start, stop)),
        ):
            assert (ours.frames, ours.said) == (theirs.frames, theirs.said)
            assert dict(ours.words) == theirs.words
            assert len(ours.words) == len(theirs.words)
            for position in range(-2, size + 2):
                assert ours.words.get(position) == theirs.words.get(position)


async def test_a_state_at_hand_changes_no_digest():
    ledger = told()
    with_it, without = [
        await judge(
            REAL_ONLY, architecture(agent_tree()), snapshot=ledger.events, state=state,
            head=Head(size=len(ledger.events), root=ROOT), signer=SIGNER, seed=SEED,
            engine=Engine.BUBBLEWRAP, clock=lambda: 1_790_000_000_000, budget=QUICK,
        )
        for state in (folded(ledger.events), None)
    ]  # fmt: skip
    assert with_it.verdict.decision is without.verdict.decision is Decision.REJECT
    assert with_it.verdict.digest == without.verdict.digest
