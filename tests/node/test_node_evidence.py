"""Anchored proofs of a home whose ledger gave up a head that is in Bitcoin.

    opening over 3, anchor over 5, words at 6, an anchor over 9; then the ledger is cut: 7 are kept

The note of the last one went with the events behind it, and no chain goes through a link whose head
nobody can check. What is kept below is proven by the anchors before, what comes after by those that
a recovery of the seal leads to.
"""

import io
from dataclasses import dataclass

import pytest

from attest.verify.bundle import verify_bundle
from attest.verify.seal import LEFT_BEHIND
from ledger.core.bundle import Reader, SignedHead
from ledger.core.checkpoint import Checkpoint, sign_checkpoint
from ledger.core.codec import encode
from ledger.core.epoch import EpochRecord
from ledger.core.errors import Refused
from ledger.core.event import Draft
from ledger.core.types import LINEAGE_STREAM, SEAL_STREAM
from ledger.log import Log
from ledger.release import Release
from ledger.sqlite import SqliteStore
from node.anchors.evidence import proof_path
from node.anchors.requests import request
from node.commands.prove import make_proof
from node.home import Home
from node.identity.souls import make_chain
from node.open import reading
from tests.ledger.makers import ticking
from tests.spec import agent, life
from tests.spec.agent import words

EARLY, KEPT, RECORD, LATE = 3, 6, 7, 9
"""Positions: before the anchor that was kept, behind it, of the recovery, of words after it."""


@dataclass
class Past:
    """A home as it is made, its release, and the transactions that were mined."""

    home: Home
    log: Log
    release: Release
    chain: life.Chain | None = None

    def say(self, *texts):
        self.log.append_now(*map(words, texts))

    def head(self):
        """A released head, whose note is kept as the node keeps it."""
        head = self.release.head()
        self.log.append_now(request(head, head.anchor_digest()[:16]))
        return head

    def recover(self, *, renew):
        kept = {"kept_size": self.log.size, "kept_root": self.log.tree.root()}
        after = life.successor(1) if renew else None
        record = EpochRecord(ledger_id=self.log.ledger_id, epoch=1, successor=after, **kept)
        payload = record.to_payload(agent.RECOVERY, "cut", new=life.keys_of(1) if renew else None)
        self.log.append_now(Draft(type="ledger.epoch", stream=LINEAGE_STREAM, payload=payload))
        signer = life.named("log", 1) if renew else agent.LOG
        self.release = Release.begin(self.log, self.home.state, signer, epoch=1)

    def keep_proofs(self):
        for number, (link, head) in enumerate(zip(self.chain.links, self.chain.heads, strict=True)):
            path = proof_path(self.home, number)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(encode({"digest": head.anchor_digest(), "proof": link.to_value()}))


@pytest.fixture
def past(tmp_path):
    home = Home(path=tmp_path / "home", state=tmp_path / "state")
    home.path.mkdir()
    clock = ticking(agent.BORN_MS)
    count = iter(range(2**16))
    store = SqliteStore.create(home.ledger)
    with Log(store, clock=clock, entropy=lambda n: next(count).to_bytes(n)) as log:
        opening = {"opening": agent.OPENING.to_value()}
        log.append_now(agent.genesis_draft(), words("hello"))
        log.append_now(Draft(type="seal.opened", stream=SEAL_STREAM, payload=opening))
        made = Past(home, log, Release.begin(log, home.state, agent.LOG))
        made.chain = life.Chain.opened(made.head())  # the note is event 3
        made.say("anchored words")
        made.chain.anchor(made.head())  # over 5; the note is event 5
        made.say("words that only the lost anchor is over")
        lost = Checkpoint(ledger_id=log.ledger_id, epoch=0, size=9, root=bytes(32))
        made.chain.anchor(sign_checkpoint(lost, agent.LOG))
        yield made


def told(past, position):
    """The report on an anchored proof of a position, made as `timmy prove --anchored` makes it."""
    past.keep_proofs()
    with reading(past.home) as opened:
        data = make_proof(opened, position, anchored=True)
    return verify_bundle(io.BytesIO(data), agent.SOUL)


def covered(report):
    assert report.verdict == "TEST", report.lines
    assert "existed no later than" in dict(report.lines)["freshness"]
    return dict(report.lines)["seal chain"]


def test_what_an_earlier_anchor_covers_is_proven_by_it(past):
    past.recover(renew=False)
    past.say("on")
    past.chain.anchor(past.head(), blocks=6)
    assert covered(told(past, 1)).startswith("1 links")
    assert covered(told(past, EARLY)).startswith("2 links")


def test_what_only_the_lost_anchor_or_a_later_one_covers_is_refused_by_name(past):
    past.recover(renew=False)
    past.say("on")
    past.chain.anchor(past.head(), blocks=6)
    for position in (KEPT, RECORD, LATE - 1):
        with pytest.raises(
            Refused, match="a recovery gave up the head of an earlier link"
        ) as caught:
            told(past, position)
        assert "timmy anchor recover" in caught.value.hint


def test_a_recovery_of_the_seal_leads_past_it(past):
    past.recover(renew=True)
    past.chain.recover(past.head(), 1, blocks=2)
    past.say("on")
    past.chain.anchor(past.head(), blocks=6)
    for position in (EARLY, KEPT, RECORD, LATE):
        report = told(past, position)
        assert "1 recovery" in covered(report)
        assert LEFT_BEHIND in report.not_shown


def test_the_attestation_chain_ends_at_the_last_anchor_that_can_be_shown(past):
    past.recover(renew=False)
    past.say("on")
    past.chain.anchor(past.head())
    past.keep_proofs()
    with reading(past.home) as opened:
        report = verify_bundle(io.BytesIO(make_chain(opened)), agent.SOUL)
    assert "2 links" in covered(report)


def test_without_the_head_of_the_opening_nothing_can_be_shown(past):
    past.recover(renew=True)
    past.chain.recover(past.head(), 1)
    past.chain.heads[0] = past.chain.heads[2]
    with pytest.raises(Refused, match="a recovery gave up"):
        told(past, EARLY)


def test_an_event_that_no_anchor_is_over_yet_waits_for_one(past):
    past.recover(renew=True)
    past.chain.recover(past.head(), 1)
    past.say("on")
    past.release.head()
    with pytest.raises(Refused, match="no anchor in a block covers"):
        told(past, LATE)


def test_a_chain_of_an_earlier_head_shows_nothing_that_came_after_it(past):
    """Anchors, handoffs and recoveries are left out, as if it had been made then."""
    cut = range(1, KEPT + 1)
    heads = [past.release.earlier_head(agent.LOG, epoch=0, size=size) for size in cut[:-1]]
    heads.append(past.release.head())
    past.recover(renew=True)
    past.chain.recover(past.head(), 1, blocks=2)
    past.keep_proofs()
    links = []
    with reading(past.home) as opened:
        for head in heads:
            data = make_chain(opened, head=head)
            notes = [one.note for one in Reader(io.BytesIO(data)) if isinstance(one, SignedHead)]
            assert max(int(note.split(b"\n")[1]) for note in notes) == head.size
            lines = dict(verify_bundle(io.BytesIO(data), agent.SOUL).lines)
            links.append(lines.get("seal chain", "none")[:7])
        assert (
            "recovery"
            in dict(verify_bundle(io.BytesIO(make_chain(opened)), agent.SOUL).lines)["seal chain"]
        )
    assert links == ["none", "none", "none", "1 links", "1 links", "2 links"]
