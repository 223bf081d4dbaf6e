"""NIP-13, and the policies that ask for it."""

import json
from pathlib import Path

import nostr_sdk
import pytest

from mesh.core.nip01 import Event, verify
from mesh.core.relay import work
from mesh.core.relay.policy import WritePolicy
from tests.mesh.peers import ALICE, BOB, CAROL, NOW, make

FILE = Path(__file__).parents[1] / "vectors" / "nostr" / "nip13.vectors.json"
VECTORS = json.loads(FILE.read_text())


def mined(bits, aim=None, **given):
    """The first event with exactly `bits` leading zero bits, found by counting up."""
    tags = given.pop("tags", ())
    for nonce in range(100_000):
        event = make(
            **given, tags=(*tags, ("nonce", str(nonce), str(bits if aim is None else aim)))
        )
        if work.bits(event.id) == bits:
            return event
    raise AssertionError("no luck")


def test_public_vectors():
    for one in VECTORS["difficulty"]:
        assert work.bits(one.get("id") or one["id_prefix"].ljust(64, "f")) == one["bits"]
    for given, bits, aim in zip(
        VECTORS["mined"], VECTORS["mined_bits"], VECTORS["mined_target"], strict=True
    ):
        event = verify(Event.from_object(given))
        assert (work.bits(event.id), work.aimed_at(event)) == (bits, aim)


@pytest.mark.parametrize("event_id", ["f" * 64, "0" * 63 + "1", "00" + "7f" * 31])
def test_bits_are_those_that_rust_nostr_counts(event_id):
    assert work.bits(event_id) == nostr_sdk.get_leading_zero_bits(bytes.fromhex(event_id))


@pytest.mark.parametrize(
    ("tags", "aim"),
    [
        ((), None),
        ((("nonce", "1"),), None),
        ((("nonce", "1", "x"),), None),
        ((("nonce", "1", "٣"),), None),
        ((("nonce", "1", "-3"),), None),
        ((("nonce", "1", "20"), ("nonce", "1", "5")), 20),
        ((("nonce", "1", "9" * 10_000),), 256),
    ],
    ids=["none", "no aim", "text", "arabic", "negative", "first", "huge"],
)
def test_what_was_aimed_at(tags, aim):
    assert work.aimed_at(make(tags=tags)) == aim


def test_luck_does_not_count():
    lucky = mined(9, aim=4)
    assert work.refusal(lucky, 8) == "pow: aimed at 4 bits, 8 needed"
    assert work.refusal(lucky, 4) is None
    assert work.refusal(mined(9), 10) == "pow: 9 bits of work, 10 needed"
    assert work.refusal(mined(9), 9) is None


FLEET = frozenset({ALICE.pubkey})
TO_US = (("p", ALICE.pubkey),)


@pytest.mark.parametrize(
    ("policy", "plain", "worked", "wrap", "worked_wrap"),
    [
        (WritePolicy(authors=FLEET), "blocked", "blocked", "auth-required", "auth-required"),
        (WritePolicy(authors=None), None, None, None, None),
        (WritePolicy(authors=FLEET, strangers_work_bits=0), None, None, None, None),
        (WritePolicy(authors=FLEET, strangers_work_bits=6), "pow", None, "pow", None),
        (WritePolicy(authors=FLEET, inbox_work_bits=0), "blocked", "blocked", None, None),
        (WritePolicy(authors=FLEET, inbox_work_bits=6), "blocked", "blocked", "pow", None),
        (
            WritePolicy(authors=FLEET, strangers_work_bits=6, inbox_work_bits=0),
            "pow",
            None,
            None,
            None,
        ),
    ],
    ids=["fleet", "public", "open", "work", "inbox", "inbox work", "both"],
)
def test_policies(policy, plain, worked, wrap, worked_wrap):
    events = {
        make(BOB): plain,
        mined(6, signer=BOB): worked,
        make(CAROL, kind=1059, tags=TO_US): wrap,
        mined(6, signer=CAROL, kind=1059, tags=TO_US): worked_wrap,
        make(ALICE): None,
    }
    for event, prefix in events.items():
        refusal = policy.refusal(event, now=NOW)
        assert (refusal and refusal.split(":")[0]) == prefix
