"""A file that proves two histories: DIVERGED for the true one, BROKEN for all that only claim it."""

import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from attest.verify.bundle import verify_bundle
from tests.spec import agent
from tests.spec.make_equivocations import FALSE_ONES, ONE_SIZE, TRUE, TWO_SIZES, turned
from tests.spec.stranger.bundle import verify as stranger

SOUL = agent.SOUL


def verdict(data, soul=SOUL):
    report = verify_bundle(io.BytesIO(data), soul)
    assert not report.good
    assert report.lines[-1][0] == "failing link"
    assert stranger(data, soul).verdict == report.verdict
    return report.verdict, report.lines[-1][1]


@pytest.mark.parametrize("found", [ONE_SIZE, TWO_SIZES], ids=("one size", "two sizes"))
def test_two_signed_histories_are_diverged(found):
    said = verdict(found.encode())
    assert said[0] == "DIVERGED"
    assert verdict(found.encode(), None)[0] == "DIVERGED"
    assert verdict(turned(found).encode())[0] == "DIVERGED"


def test_it_says_where_and_whose():
    assert "two signed roots at size 5" in verdict(ONE_SIZE.encode())[1]
    assert "event 3 is one under the signed head of size 5" in verdict(TWO_SIZES.encode())[1]
    report = verify_bundle(io.BytesIO(ONE_SIZE.encode()), SOUL)
    told = dict(report.lines)
    assert TRUE.id.hex() in told["identity"]
    assert (told["integrity"], report.question) == ("does not hold", "integrity")


FALSE = {
    "one head twice": "one root",
    "two sizes, and no paths": "nothing that shows why",
    "two sizes of one history": "nothing that shows why",
    "a note by another key": "no signature of",
    "a note of another ledger": "another log",
    "a note of another epoch": "another log",
    "a header of another epoch": "epoch 0",
    "a header of another ledger": "same ledger",
    "one size, with paths": "different sizes",
    "paths to other sizes than the notes'": "different sizes",
    "two indices": "one index",
    "an index before they part": "different leaves",
    "two sizes of one history, a leaf of another": "size 5",
    "a proof of equivocation as the introduction": "no proof from the same ledger",
    "an export as the introduction": "no proof from",
    "no introduction in it": "truncated",
    "an introduction that was cut": "not good",
}


@pytest.mark.parametrize("name", FALSE)
def test_what_is_no_proof_accuses_nobody(name):
    found = verdict(FALSE_ONES[name][1].encode())
    assert found[0] == "BROKEN"
    assert FALSE[name] in found[1]


def test_a_swapped_soul_is_named():
    assert "SOUL" in verdict(ONE_SIZE.encode(), b"another")[1]


@pytest.mark.parametrize("at", range(3))
def test_records_that_do_not_belong_are_refused(at):
    more = [
        ["subject", 0],
        agent.event_record(TRUE.records[0]),
        ["attachment", "more", {}],
    ][at]
    frames = agent.open_frames(ONE_SIZE.encode())
    assert verdict(agent.bundle([*frames, more]))[0] == "BROKEN"
    assert verdict(agent.bundle(frames[:-1]))[0] == "BROKEN"
    assert verdict(agent.bundle([frames[0], *frames[2:]]))[0] == "BROKEN"
    assert verdict(agent.bundle([*frames, frames[1]]))[0] == "BROKEN"
    assert verdict(agent.bundle(frames + [frames[2]] * 9))[0] == "BROKEN"


@settings(max_examples=60, deadline=None)
@given(st.booleans(), st.integers(0, 10**6), st.integers(1, 255))
def test_no_damage_makes_another_proof(two, at, change):
    """The closing digest finds every change of a byte; whatever is said, it is no crash."""
    data = bytearray((TWO_SIZES if two else ONE_SIZE).encode())
    data[at % len(data)] ^= change
    assert verdict(bytes(data))[0] == "BROKEN"
