"""What a verifier tells of certificates, in files of the child and of the parent."""

import io
from dataclasses import replace

import pytest

from attest.verify import descent
from attest.verify.bundle import verify_bundle
from ledger.core import types
from ledger.core.descent import open_certificate, sign_certificate
from ledger.core.errors import InvalidCertificate
from ledger.core.event import Draft
from ledger.core.keys import Signer
from ledger.core.limits import INT_MAX
from tests.spec import agent
from tests.spec.agent import STRANGER, Ledger
from tests.spec.life import Life
from tests.spec.make_children import PARENT_LOG, certificate, payload


def child_with(body, *, behind=1):
    """A ledger of genesis, what comes before, and a certificate."""
    ledger = Ledger()
    ledger.add(agent.genesis_draft())
    for _ in range(behind - 1):
        ledger.add(agent.words("lived already"))
    draft = Draft(type=types.PARENT_CERTIFIED.name, stream=types.PARENT_STREAM, payload=body)
    ledger.add(draft)
    return ledger


def told(file):
    report = verify_bundle(io.BytesIO(file), agent.SOUL)
    return report, [text for name, text in report.lines if name in ("parent", "child")]


def files_of(ledger, position):
    size = ledger.tree.size
    yield agent.bundle(agent.export(ledger))
    yield agent.bundle(agent.proof(ledger, position, [size]))


def test_a_child_names_its_parent_in_an_export_and_in_a_proof():
    for file in files_of(child_with(payload(certificate())), 1):
        report, lines = told(file)
        assert report.good
        key = PARENT_LOG.public.hex()
        assert lines == [
            f"ledger {certificate().parent.hex()}, signed by both; its log key is {key}"
        ]
        assert descent.PARENT_UNKNOWN in report.not_shown


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (payload(certificate(), parent=STRANGER), "parent's log key does not verify"),
        (payload(certificate(), own=STRANGER), "child's log key does not verify"),
        (payload(certificate(child=bytes(32))), "is about ledger 0000"),
        (payload(certificate(child_soul=bytes(32))), "another SOUL"),
        ({"certificate": {}}, "not exactly"),
    ],
)
def test_a_forged_certificate_is_named_and_the_file_is_not_good(body, words):
    for file in files_of(child_with(body), 1):
        report, [line] = told(file)
        assert not report.good
        assert report.verdict == "UNBROKEN-PENDING", "the log itself is whole"
        assert line.startswith("event 1 does not hold: ")
        assert words in line


def test_an_agent_that_lived_already_is_nobodys_child():
    ledger = child_with(payload(certificate()), behind=2)
    report, [line] = told(agent.bundle(agent.export(ledger)))
    assert report.good
    assert "counts for nothing" in line


def test_the_bounds_of_a_certificate_s_numbers_are_inclusive():
    made = certificate(kept_size=INT_MAX, made_ms=INT_MAX)
    assert open_certificate(payload(made)) == made
    assert certificate(kept_size=2, made_ms=0).kept_size == 2
    for bad in (
        {"kept_size": 1},
        {"made_ms": -1},
        {"kept_size": INT_MAX + 1},
        {"made_ms": INT_MAX + 1},
    ):
        with pytest.raises(InvalidCertificate):
            certificate(**bad)


def test_only_the_operator_key_of_a_child_may_be_one_of_its_parent():
    keys = dict(certificate().child_keys)
    nostr = certificate().parent_keys["nostr"]
    assert certificate(child_keys=keys | {"operator": nostr}).child_keys["operator"] == nostr
    with pytest.raises(InvalidCertificate, match="is the parent's"):
        certificate(child_keys=keys | {"funding": nostr})


# ---- in the parent's ledger ---------------------------------------------------------------------


def fathered(ledger, number=0, *, by=agent.LOG, **changes):
    """A certificate of the agent of the vectors over a child out of a fixed seed."""
    own = [Signer(bytes([7, number, at]) + bytes(28) + b"\x01") for at in range(5)]
    roles = ("log", "nostr", "seal", "funding", "operator")
    facts = {
        "parent": ledger.id,
        "parent_soul": certificate().child_soul,
        "parent_keys": {"log": by.public, "nostr": agent.KEYS.nostr.public},
        "kept_size": ledger.tree.size,
        "kept_root": ledger.tree.root(),
        "child": bytes([9, number]) + bytes(30),
        "child_keys": {role: one.public for role, one in zip(roles, own, strict=True)},
    }
    made = replace(certificate(), **(facts | changes))
    body = made.to_payload(
        signature=sign_certificate(made, by), proof=sign_certificate(made, own[0])
    )
    return Draft(type=types.CHILD_FATHERED.name, stream=types.CHILDREN_STREAM, payload=body)


def parent():
    ledger = Ledger()
    ledger.add(agent.genesis_draft())
    ledger.add(agent.words("a life of its own"))
    return ledger


def test_a_parent_names_its_children():
    ledger = parent()
    ledger.add(fathered(ledger, 1))
    ledger.add(fathered(ledger, 2))
    report, lines = told(agent.bundle(agent.export(ledger)))
    assert report.good
    assert [line.split(",")[0] for line in lines] == [
        f"ledger {bytes([9, number]).hex()}{'00' * 30}" for number in (1, 2)
    ]
    report, [line] = told(agent.bundle(agent.proof(ledger, 3, [4])))
    assert report.good
    assert "event 3" in line


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"by": STRANGER}, "not by the log key"),
        ({"parent": bytes(32)}, "is by ledger"),
        ({"parent_soul": bytes(32)}, "is by ledger"),
        ({"kept_size": 3}, "keeps 3 events at position 2"),
    ],
)
def test_what_a_parent_did_not_make_is_named(changes, words):
    ledger = parent()
    ledger.add(fathered(ledger, **changes))
    for file in files_of(ledger, 2):
        report, [line] = told(file)
        assert not report.good
        assert words in line


def test_a_certificate_that_keeps_another_history_shows_in_the_whole_log():
    ledger = parent()
    ledger.add(fathered(ledger, kept_root=bytes(32)))
    whole, proof = files_of(ledger, 2)
    report, [line] = told(whole)
    assert not report.good
    assert "another history" in line
    assert told(proof)[0].good, "one event does not show the tree before it"


def test_after_a_handoff_the_new_key_certifies_and_the_old_one_does_not():
    for signer, good in ((agent.signer("log 1"), True), (agent.LOG, False)):
        lived = Life.born().hand_over()
        lived.say("go on")
        lived.ledger.add(fathered(lived.ledger, by=signer))
        heads = [lived.ledger.head(3), lived.ledger.head()]
        report, _ = told(agent.bundle(agent.export(lived.ledger, heads)))
        assert report.good is good, report.lines


def test_many_children_are_counted():
    ledger = parent()
    for number in range(103):
        ledger.add(fathered(ledger, number))
    report, lines = told(agent.bundle(agent.export(ledger)))
    assert report.good
    assert len(lines) == 101
    assert lines[-1] == "and 3 more, certified by both"
