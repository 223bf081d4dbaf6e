"""The verdicts of a mainnet agent by depth: UNBROKEN-PENDING, and at 100 blocks UNBROKEN-FINAL.

Nobody mines mainnet for a test, so its blocks are easy here: the limits of work are exchanged in
our verifier and in the stranger's. All the rest is the code and the file that a user has.
"""

import io
from dataclasses import replace

import pytest

from attest.core import header
from attest.verify.bundle import verify_bundle
from ledger.core.event import Draft
from tests.spec import agent
from tests.spec.agent import Ledger, bundle, proof, words
from tests.spec.stranger import bitcoin
from tests.spec.stranger.bundle import verify as stranger_verify


@pytest.fixture
def easy_mainnet(monkeypatch):
    easy = replace(header.REGTEST, name="mainnet", core_name="main", address_hrp="bc")
    monkeypatch.setattr(header, "MAINNET", easy)
    for limits in (bitcoin.LIMIT_BITS, bitcoin.WORK_MIN):
        monkeypatch.setitem(limits, "mainnet", limits["regtest"])


def anchored(blocks):
    """A proof of words under the opening of a seal on mainnet, with so many headers."""
    ledger = Ledger()
    ledger.add(agent.genesis_draft(**agent.genesis_payload(network="mainnet")))
    ledger.add(words("in Bitcoin for good"))
    opening = replace(agent.OPENING, network="mainnet").to_value()
    ledger.add(Draft(type="seal.opened", stream=bytes(16), payload={"opening": opening}))
    zero = agent.signed(agent.opening_draft_of(ledger.head().anchor_digest()))
    link = agent.link(zero, height=900_000, headers=agent.block_of(zero.txid, blocks=blocks))
    seal = ("seal", {"links": [link.to_value()], "sizes": [3]})
    return bundle(proof(ledger, 1, [3], also=[2], attachments=[seal]))


@pytest.mark.parametrize(
    ("blocks", "verdict", "standing"),
    [
        (1, "UNBROKEN-PENDING", "seen"),
        (5, "UNBROKEN-PENDING", "seen"),
        (6, "UNBROKEN-PENDING", "confirmed"),
        (99, "UNBROKEN-PENDING", "confirmed"),
        (100, "UNBROKEN-FINAL", "final"),
    ],
)
def test_a_mainnet_agent_is_final_at_a_hundred_blocks(easy_mainnet, blocks, verdict, standing):
    data = anchored(blocks)
    report = verify_bundle(io.BytesIO(data), agent.SOUL)
    assert (report.verdict, report.standing.name.lower()) == (verdict, standing), report.lines
    found = stranger_verify(data, agent.SOUL)
    assert (found.verdict, found.standing) == (verdict, standing)
    assert report.good
    assert not any("cost nothing" in text for text in report.not_shown)
    final = verify_bundle(io.BytesIO(data), agent.SOUL, require="final")
    assert final.good == (verdict == "UNBROKEN-FINAL")


def test_without_that_exchange_the_work_is_missed():
    report = verify_bundle(io.BytesIO(anchored(100)), agent.SOUL)
    assert report.verdict == "BROKEN"
    assert "hashes" in report.lines[-1][1] or "target" in report.lines[-1][1]
