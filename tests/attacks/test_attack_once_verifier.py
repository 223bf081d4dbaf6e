"""Attacks that succeeded once, and what keeps them from it."""

import contextlib
import io

import pytest

from ledger.core.bundle import Attachment, Header, Reader, Writer
from ledger.core.errors import InvalidBundle
from ledger.core.event import Draft
from node.commands.verify import show
from tests.attacks.test_attack_bundles import born, refused, verdict
from tests.spec import agent
from tests.spec.agent import Ledger, proof, words


def test_the_record_of_an_epoch_cannot_be_replayed_in_another_history():
    honest = born(*(words(str(n)) for n in range(5)))
    record = agent.epoch_record(honest)
    forged = born(words("a lie"), record, words("another lie"))
    records = proof(forged, 1, [4], also=[2], epoch=1)
    refused(records, "REWRITTEN")
    refused([r for r in records if r[0] != "consistency"], "REWRITTEN", "INCOMPLETE")


def recovered_chain():
    ledger = born(words("old"))
    ledger.add(agent.epoch_record(ledger))
    payload = {"opening": agent.OPENING.to_value()}
    ledger.add(Draft(type="seal.opened", stream=bytes(16), payload=payload))
    zero = agent.signed(agent.opening_draft_of(ledger.head(epoch=1).anchor_digest()))
    link = agent.link(zero, height=200, headers=agent.block_of(zero.txid, blocks=100))
    return ledger, ("seal", {"links": [link.to_value()], "sizes": [4]})


def test_a_recovered_log_is_not_called_unbroken(monkeypatch):
    """Needs mainnet, which nobody can forge here: regtest stands for it in this one test."""
    ledger, seal = recovered_chain()
    records = proof(ledger, 1, [4], also=[2, 3], epoch=1, attachments=[seal])
    monkeypatch.setattr("attest.core.header.Network.is_test", False)
    assert verdict(records, require="final").verdict == "RECOVERED"


def test_the_name_of_a_word_cannot_write_a_verdict(capsys):
    content = {"\nverdict:       UNBROKEN-FINAL\n\x1b[8m": "x"}
    ledger = born(Draft(type="message.received", stream=agent.STREAM, payload={}, content=content))
    show(verdict(proof(ledger, 1, [2])))
    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert [line for line in out.splitlines() if line.startswith("verdict:")] == [
        "verdict:       UNBROKEN-PENDING"
    ]


@pytest.mark.usefixtures("unmeasured")
def test_attachments_that_nobody_reads_are_not_kept():
    import tracemalloc

    ledger = born(words("a"))
    bomb = b"\x9a" + (10**5).to_bytes(4, "big") + b"\x80" * 10**5  # 6 MB once it is decoded
    records = proof(ledger, 1, [2])
    assert verdict(agent.bundle(records)).good  # whatever is loaded or kept once is by now
    records += [b"\x83\x6aattachment\x64%04d" % n + bomb for n in range(12)]
    data = agent.bundle(records)
    tracemalloc.start()
    try:
        assert verdict(data).good
        assert tracemalloc.get_traced_memory()[1] < 40 * 2**20, "72 MB, if all were kept"
    finally:
        tracemalloc.stop()


def test_what_no_reader_takes_is_not_written():
    """473 anchors of 100 headers each fill a record; more gave a file that is BROKEN."""
    chain = agent.anchored_ledger(blocks=100)
    value = {"links": [chain.links[1].to_value()] * 500, "sizes": list(range(500))}
    file = io.BytesIO()
    with contextlib.suppress(InvalidBundle):
        writer = Writer(file, Header(purpose="proof", ledger_id=bytes(32), epoch=0))
        writer.add(Attachment(name="seal", value=value))
    written = file.getvalue()
    Reader(io.BytesIO(written))
    assert len(written) < 2**22


def test_the_report_says_that_another_seal_and_another_agent_may_exist():
    report = verdict(agent.anchored_ledger().proof(3))
    assert agent.anchored_ledger().ledger.id.hex() in str(report.lines)
    assert "no other seal" in str(report.not_shown)
    assert "no other agent" in str(report.not_shown)


def test_an_impostor_with_the_same_soul_is_told_apart_by_the_ledger_id():
    impostor = Ledger()
    payload = agent.genesis_payload(created_ms=1)
    impostor.add(Draft(type="genesis.born", stream=bytes(16), payload=payload))
    impostor.add(words("I am the real one"))
    report = verdict(proof(impostor, 1, [2]))
    assert impostor.id.hex() in str(report.lines)
