"""The rules of one connection, each broken once."""

from dataclasses import replace

import pytest

from runtime.core.bounds import TurnBounds
from runtime.core.errors import ProtocolError
from runtime.core.protocol import Call, Pong, Ready
from runtime.core.session import Session, SessionLimits, Verdict

A, B = bytes(16), bytes([1]) * 16
BOUNDS = TurnBounds(steps=3)


def call(number: int, turn: bytes = A, step: int = 0) -> Call:
    return Call(call=number, turn=turn, step=step, op="status", args={})


@pytest.fixture
def session() -> Session:
    session = Session(SessionLimits(turn_bytes=100, frames_per_second=5), 0.0)
    session.on_ready(Ready(protocol=1))
    session.give(A, 7, BOUNDS, 0.0)
    return session


def test_a_turn_as_it_should_be(session: Session):
    for number in range(3):
        assert session.on_call(call(number + 1, step=number), 10) is Verdict.SERVE
        session.answered(A)
    assert session.in_flight == {A: 7}
    session.end(A)
    assert session.in_flight == {}
    assert session.on_call(call(4, step=3), 10) is Verdict.OVER


def test_calls_are_numbered_without_a_gap(session: Session):
    with pytest.raises(ProtocolError, match="call number 2, expected 1"):
        session.on_call(call(2), 10)


def test_a_number_is_not_used_twice(session: Session):
    session.on_call(call(1), 10)
    session.answered(A)
    with pytest.raises(ProtocolError, match="call number 1, expected 2"):
        session.on_call(call(1, step=1), 10)


def test_a_turn_must_have_been_given(session: Session):
    with pytest.raises(ProtocolError, match="not given"):
        session.on_call(call(1, turn=B), 10)


def test_steps_follow_each_other(session: Session):
    with pytest.raises(ProtocolError, match="step 1, expected 0"):
        session.on_call(call(1, step=1), 10)


def test_steps_of_two_turns_are_counted_apart(session: Session):
    session.give(B, 8, BOUNDS, 0.0)
    session.on_call(call(1), 10)
    with pytest.raises(ProtocolError, match="step 1, expected 0"):
        session.on_call(call(2, turn=B, step=1), 10)


def test_a_few_calls_of_a_turn_are_open_at_a_time():
    session = Session(SessionLimits(turn_open=2), 0.0)
    session.on_ready(Ready(protocol=1))
    session.give(A, 7, BOUNDS, 0.0)
    assert session.on_call(call(1), 10) is Verdict.SERVE
    assert session.on_call(call(2, step=1), 10) is Verdict.SERVE
    session.answered(A)
    assert session.on_call(call(3, step=2), 10) is Verdict.SERVE
    with pytest.raises(ProtocolError, match="came while 2 of its turn are open"):
        session.on_call(call(4, step=3), 10)


@pytest.mark.parametrize("op", ["answer", "fail"])
def test_the_last_call_of_a_turn_is_open_alone(session: Session, op: str):
    session.on_call(call(1), 10)
    with pytest.raises(ProtocolError, match="came while 1 of its turn are open"):
        session.on_call(replace(call(2, step=1), op=op), 10)


def test_waiting_for_a_person_is_no_time_of_the_turn(session: Session):
    session.give(B, 8, BOUNDS, 0.0)
    for second in range(0, 1000, 5):
        session.check(float(second), [A, B])
    session.check(1004.0, [A])
    with pytest.raises(ProtocolError, match="longer"):
        for second in range(1005, 1700, 5):
            session.check(float(second), [A])


def test_steps_and_bytes_have_a_limit(session: Session):
    assert session.on_call(call(1), 101) is Verdict.LIMIT
    session.end(A)
    session.give(B, 8, BOUNDS, 0.0)
    for number in range(3):
        assert session.on_call(call(number + 2, turn=B, step=number), 1) is Verdict.SERVE
        session.answered(B)
    assert session.on_call(call(5, turn=B, step=3), 1) is Verdict.LIMIT


def test_frames_have_a_limit_each_second(session: Session):
    for _ in range(5):
        session.received(1, 10.0)
    session.received(1, 11.0)
    for _ in range(4):
        session.received(1, 11.5)
    with pytest.raises(ProtocolError, match="5 frames"):
        session.received(1, 11.9)


def test_bytes_have_a_limit_each_second():
    session = Session(SessionLimits(bytes_per_second=100), 0.0)
    session.received(100, 0.0)
    with pytest.raises(ProtocolError, match="101 bytes"):
        session.received(1, 0.5)


def test_ready_comes_once_in_time_and_in_our_version():
    session = Session(SessionLimits(handshake_s=2.0), 0.0)
    with pytest.raises(ProtocolError, match="before ready"):
        session.on_call(call(1), 1)
    with pytest.raises(ProtocolError, match="protocol 2, expected 1"):
        session.on_ready(Ready(protocol=2))
    session.check(2.0)
    with pytest.raises(ProtocolError, match="no ready in 2 s"):
        session.check(2.1)
    session.on_ready(Ready(protocol=1))
    session.check(100.0)
    with pytest.raises(ProtocolError, match="twice"):
        session.on_ready(Ready(protocol=1))


def test_every_ping_is_answered_in_time(session: Session):
    first, second = session.ping(1.0), session.ping(2.0)
    session.on_pong(Pong(n=second))
    session.check(100.0 if not session.in_flight else 500.0)
    with pytest.raises(ProtocolError, match="answers no ping"):
        session.on_pong(Pong(n=first))
    session.ping(500.0)
    session.check(520.0)
    with pytest.raises(ProtocolError, match="no pong"):
        session.check(520.1)


def test_a_turn_has_a_deadline(session: Session):
    session.check(600.0)
    with pytest.raises(ProtocolError, match="longer than 600 s"):
        session.check(600.1)
    session.end(A)
    session.check(10_000.0)


def test_a_turn_keeps_the_bounds_that_it_began_with(session: Session):
    session.give(B, 8, TurnBounds(steps=1, seconds=5), 0.0)
    assert session.on_call(call(1, turn=B), 10) is Verdict.SERVE
    assert session.on_call(call(2, turn=B, step=1), 10) is Verdict.LIMIT
    assert session.on_call(call(3), 10) is Verdict.SERVE
    session.answered(A)
    assert session.on_call(call(4, step=1), 10) is Verdict.SERVE
    with pytest.raises(ProtocolError, match="longer than 5 s"):
        session.check(5.1)
    session.end(B)
    session.check(5.1)


def test_budgets_are_more_than_nothing():
    with pytest.raises(ValueError, match="pong_s"):
        SessionLimits(pong_s=0)
    with pytest.raises(ValueError, match="replies"):
        TurnBounds(replies=0)
