"""A child's ledger as a file: verified, of this child, not older or another than before."""

import pytest

from attest.verify.bundle import verify_bundle
from ledger.core import types
from ledger.core.event import Draft
from node.children import ledgers
from node.children.ledgers import LedgerRefused, read_ledger
from tests.children.kin import Childhood
from tests.spec import agent
from tests.spec.make_children import certificate, payload


def written(tmp_path, ledger, name="life"):
    path = tmp_path / name
    path.write_bytes(agent.bundle(agent.export(ledger)))
    return path


def head(child):
    return child.ledger.tree.size, child.ledger.tree.root()


def test_a_whole_ledger_is_counted_as_its_events_are(tmp_path):
    child = Childhood().rite().grant("rite").tools()
    shown = read_ledger(written(tmp_path, child.ledger), certificate(), known=None)
    assert (shown.size, shown.root) == head(child)
    found = shown.evidence
    assert (found.certified, found.reads, found.writes, found.runs) == (True, 3, 3, 3)
    assert found.standing == child.standing
    assert found.events == shown.size


def test_a_ledger_goes_on_from_what_was_checked_before(tmp_path):
    child = Childhood().rite()
    before = head(child)
    child.grant("rite")
    path = written(tmp_path, child.ledger)
    assert read_ledger(path, certificate(), known=before).size > before[0]
    assert read_ledger(path, certificate(), known=head(child)).size == head(child)[0]
    with pytest.raises(LedgerRefused, match="when it was checked"):
        read_ledger(path, certificate(), known=(before[0] + 9, before[1]))
    with pytest.raises(LedgerRefused, match="REWRITTEN"):
        read_ledger(path, certificate(), known=(before[0], bytes(32)))


@pytest.mark.parametrize("way", ["cut", "flipped", "another", "forged", "none", "proof"])
def test_what_does_not_show_this_childs_whole_ledger_is_refused(tmp_path, way):
    child = Childhood().rite()
    path = written(tmp_path, child.ledger)
    data, wanted = path.read_bytes(), certificate()
    if way == "cut":
        path.write_bytes(data[:-100])
    elif way == "flipped":
        path.write_bytes(data[:300] + bytes([data[300] ^ 1]) + data[301:])
    elif way == "another":
        wanted = certificate(child=bytes(32))
    elif way == "forged":
        ledger = agent.Ledger()
        ledger.add(agent.genesis_draft())
        body = payload(certificate(), parent=agent.STRANGER)
        draft = Draft(type=types.PARENT_CERTIFIED.name, stream=types.PARENT_STREAM, payload=body)
        ledger.add(draft)
        path = written(tmp_path, ledger, "forged")
    elif way == "none":
        path.write_bytes(b"")
    else:
        path.write_bytes(agent.bundle(agent.proof(child.ledger, 1, [head(child)[0]])))
    with pytest.raises(LedgerRefused):
        read_ledger(path, wanted, known=None)


@pytest.mark.parametrize("then", ["another", "nothing"])
def test_what_is_counted_is_what_was_verified(tmp_path, monkeypatch, then):
    """Somebody writes into the file behind its verification: a child with more to show."""
    child = Childhood().rite()
    path = written(tmp_path, child.ledger)
    other = written(tmp_path, child.grant("rite").tools().ledger, "other").read_bytes()

    def verified(file, soul):
        report = verify_bundle(file, soul)
        path.write_bytes(other if then == "another" else b"")
        return report

    monkeypatch.setattr(ledgers, "verify_bundle", verified)
    with pytest.raises(LedgerRefused, match="changed while it was read"):
        read_ledger(path, certificate(), known=None)
