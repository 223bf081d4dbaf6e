"""Heartbeats, acks, artifacts and receipts: what is minted is read, and nothing else is."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.core import bridge
from mesh.core.bridge import Artifact
from mesh.core.errors import InvalidEvent
from mesh.core.nip01 import UnsignedEvent
from mesh.core.relay import kinds
from tests.mesh.peers import ALICE, BOB, NOW, make

COMMIT = Artifact(kind="git-commit", digest="ab" * 20, recorded="cd" * 32)
BEAT = bridge.mint_beat(ALICE, "timmy is alive\x07", [BOB.pubkey], now=NOW)
ACK = bridge.mint_ack(BOB, BEAT, now=NOW + 1)
REPORT = bridge.mint_artifact(ALICE, COMMIT, now=NOW)
RECEIPT = bridge.mint_receipt(BOB, REPORT, COMMIT, now=NOW + 1)


def test_a_heartbeat_is_for_people_and_peers_and_expires():
    assert (BEAT.kind, BEAT.content) == (1, "timmy is alive�")
    assert ("t", "timmy-heartbeat") in BEAT.tags
    assert ("p", BOB.pubkey) in BEAT.tags
    assert kinds.expiration(BEAT) == NOW + 86_400
    assert bridge.is_beat(BEAT)


def test_an_ack_names_its_heartbeat():
    assert bridge.acknowledged(ACK) == BEAT.id
    assert ("p", ALICE.pubkey) in ACK.tags
    assert not bridge.is_beat(ACK)


def test_a_report_has_the_tags_of_the_seed():
    assert (REPORT.kind, REPORT.content) == (30078, COMMIT.digest)
    for tag in (
        ("e", COMMIT.recorded),
        ("t", "timmy-heartbeat"),
        ("t", "artifact-type:git-commit"),
    ):
        assert tag in REPORT.tags
    assert kinds.address(REPORT) == (30078, ALICE.pubkey, f"git-commit/{COMMIT.digest}")
    assert bridge.artifact_of(REPORT) == COMMIT


def test_a_receipt_names_the_report_and_the_digest():
    assert bridge.receipted(RECEIPT) == (REPORT.id, COMMIT.digest)
    assert ("p", ALICE.pubkey) in RECEIPT.tags


READERS = (bridge.is_beat, bridge.acknowledged, bridge.artifact_of, bridge.receipted)


def test_each_is_read_as_one_thing():
    for event in (BEAT, ACK, REPORT, RECEIPT):
        assert sum(bool(read(event)) for read in READERS) == 1


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (("d", f"git-commit/{COMMIT.digest}"), ("d", "git-commit/x")),
        (("e", COMMIT.recorded), ("e", "artifact-reference")),
        (("t", "artifact-type:git-commit"), ("t", "artifact-type:page")),
        (("t", "artifact-type:git-commit"), ("t", "artifact-type:")),
        (("t", "artifact-type:git-commit"), ("t",)),
        (("t", "timmy-artifact"), ("t", "other")),
    ],
)
def test_reports_that_are_none(old, new):
    assert old in REPORT.tags
    tags = tuple(new if tag == old else tag for tag in REPORT.tags)
    assert bridge.artifact_of(make(kind=30078, tags=tags, content=REPORT.content)) is None


def test_a_report_of_two_types_is_none():
    tags = (*REPORT.tags, ("t", "artifact-type:page"))
    assert bridge.artifact_of(make(kind=30078, tags=tags, content=REPORT.content)) is None


@pytest.mark.parametrize(
    "change",
    [{"kind": ""}, {"kind": "Git"}, {"kind": "x" * 33}, {"digest": "ab"}, {"digest": "AB" * 20},
     {"recorded": ""}],
    ids=str,
)  # fmt: skip
def test_artifacts_out_of_bounds(change):
    with pytest.raises(InvalidEvent, match="an artifact's"):
        replace(COMMIT, **change)


TEXT = st.sampled_from(
    ["t", "e", "p", "x", "d", "timmy-ack", "timmy-heartbeat", "timmy-artifact", "timmy-receipt",
     "artifact-type:page", "ab" * 32, "ab" * 20, "page/" + "ab" * 20]
)  # fmt: skip
TAGS = st.lists(st.lists(TEXT, min_size=1, max_size=3).map(tuple), max_size=8).map(tuple)


@given(st.sampled_from([1, 78, 30078]), TAGS, st.sampled_from(["", "ab" * 20]))
def test_no_event_breaks_the_readers(kind, tags, content):
    event = UnsignedEvent(
        pubkey=ALICE.pubkey, created_at=NOW, kind=kind, tags=tags, content=content
    )
    for read in READERS:
        read(event)
