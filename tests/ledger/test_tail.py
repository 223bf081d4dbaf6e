"""Events above the last released head, put there by somebody who is not the node."""

import pytest

from ledger import tail
from ledger.core.errors import StoreDamaged
from ledger.core.event import Cause, Draft, Envelope, Event
from ledger.memory import MemoryStore
from ledger.store import Batch
from ledger.tail import check_tail, checked
from tests.ledger.makers import open_log
from tests.spec import agent

RELEASED = 3


def log_with(*added):
    """A log of three released events and what `added` put behind them, with no rule kept."""
    ledger = agent.Ledger()
    ledger.add(agent.genesis_draft())
    ledger.add(agent.words("asked"))
    ledger.add(agent.words("answered", kind="message.sent"))
    for add in added:
        add(ledger)
    store = MemoryStore()
    batch = Batch(events=[(record, Envelope.parse(record.envelope)) for record in ledger.records])
    store.append(batch)
    return open_log(store)


def adding(draft, **more):
    return lambda ledger: ledger.add(draft, **more)


GOOD = [
    adding(agent.fact(1)),
    adding(agent.fact(2, stream=agent.OTHER_STREAM)),
    adding(agent.words("more", causes=(Cause(position=7, id=bytes(32), ledger=b"\xee" * 32),))),
    adding(agent.redaction(1)),
]
BAD = {
    "time goes back": (adding(agent.fact(1), ts_ms=agent.BORN_MS), "is before its predecessor's"),
    "a gap in its stream": (adding(agent.fact(1), stream_sequence=9), "stream sequence 9, expected 2"),
    "a stream that begins at one": (
        adding(agent.fact(1, stream=b"one more stream "), stream_sequence=1),
        "stream sequence 1, expected 0",
    ),
    "a cause with another id": (
        adding(agent.fact(1, causes=(Cause(position=0, id=bytes(32)),))),
        "cause 0 is not an earlier event",
    ),
    "a cause that is far away": (
        adding(agent.fact(1, causes=(Cause(position=2**40, id=bytes(32)),))),
        "is not an earlier event",
    ),
    "targets that are none": (
        adding(Draft(type="ledger.redacted", stream=bytes(16), payload={"targets": 5})),
        "targets is not an array",
    ),
}  # fmt: skip


def test_what_a_node_could_have_written_is_taken():
    for count in range(len(GOOD) + 1):
        with log_with(*GOOD[:count]) as log:
            check_tail(log, RELEASED)
            check_tail(log, 0)


@pytest.mark.parametrize(("add", "why"), BAD.values(), ids=BAD)
def test_what_no_verifier_would_take_is_never_signed_over(add, why):
    for before in ((), GOOD[:2]):
        with log_with(*before, add) as log:
            if "stream sequence" in why and before:
                why = "stream sequence"
            with pytest.raises(StoreDamaged, match=why) as caught:
                check_tail(log, RELEASED)
            assert caught.value.position == RELEASED + len(before)


def test_what_is_below_the_released_head_is_not_looked_at():
    with log_with(BAD["time goes back"][0]) as log:
        check_tail(log, log.size)


def test_what_passes_is_passed_on_and_only_the_tail_is_checked():
    with log_with(*GOOD) as log:
        assert list(checked(log, RELEASED, log.events(1))) == list(log.events(1))


def test_causes_far_back_are_looked_up_and_near_ones_remembered(monkeypatch):
    monkeypatch.setattr(tail, "_IDS_MAX", 3)

    def citing(position):
        def add(ledger):
            cited = ledger.records[position]
            ledger.add(agent.fact(1, causes=(Event.open(cited).cause,)))

        return add

    many = [adding(agent.fact(n)) for n in range(9)]
    with log_with(*many, citing(2), citing(4), citing(11), citing(14)) as log:
        check_tail(log, RELEASED)
    wrong = adding(agent.fact(1, causes=(Cause(position=5, id=bytes(32)),)))
    with log_with(*many, wrong) as log, pytest.raises(StoreDamaged, match="cause 5"):
        check_tail(log, RELEASED)


def test_what_is_filed_under_a_stream_of_the_tail_must_be_of_it(monkeypatch):
    with log_with(*GOOD) as log:
        filed = log._store.stream_positions
        monkeypatch.setattr(log._store, "stream_positions", lambda *of: [*filed(*of), 0])
        with pytest.raises(StoreDamaged, match="event 0: it is filed under another stream"):
            check_tail(log, log.size - 2)
