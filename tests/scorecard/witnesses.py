"""What a witness makes of the attacks that no file shows: the real one, asked over real requests.

It saw the true history first. The attacker shows it his own head, with a proof out of his own tree
where he has one, and has to live with the answer; the reader asks for its signature under what he is shown, or asks
it for the newest head that it knows.
"""

import hashlib
import io
from contextlib import suppress
from pathlib import Path

from Cryptodome.PublicKey import ECC
from Cryptodome.Signature import eddsa

from attest.verify.bundle import verify_bundle
from attest.verify.witnessed import Policy
from ledger.core.bundle import Reader, SignedHead
from ledger.core.checkpoint import Checkpoint, open_checkpoint
from ledger.core.cosignature import Witness, parse_lines
from ledger.core.errors import TimmyError
from ledger.core.event import Record
from ledger.core.note import parse_note
from mesh.core.witnesses.add_checkpoint import SIZE_TYPE, AddCheckpoint
from mesh.core.witnesses.asking import Answered, Asking, Outcome
from mesh.core.witnesses.witness import Answer
from mesh.witnesses.witness import Cosigner, WitnessFile
from node.fleet.witnessing import introduce
from tests.scorecard.rows import Beside, as_bytes, as_ledger
from tests.spec import agent

KEY = ECC.construct(curve="Ed25519", seed=hashlib.sha256(b"scorecard witness").digest())
WITNESS = Witness(name="witness.example", public=bytes(KEY.public_key().export_key(format="raw")))
STALE, UNSIGNED = "STALE", "not cosigned"
HELD = "it releases nothing"


def a_witness() -> Cosigner:
    file = WitnessFile(Path(":memory:"), introduce)
    sign = eddsa.new(KEY, "rfc8032").sign
    return Cosigner(file=file, witness=WITNESS, sign=sign, clock=lambda: agent.BORN_MS // 1000)


def shown_to(witness: Cosigner, ledger: agent.Ledger, *, epoch: int = 0) -> list[str]:
    """Show a ledger's newest head; return the signature lines that were given for it."""
    also = [at for at, one in enumerate(ledger.records) if one.envelope[3:15] == b"ledger.epoch"]
    size = ledger.tree.size
    introduction = agent.bundle(agent.proof(ledger, 0, [size], also=also, epoch=epoch))
    with suppress(TimmyError):  # it knows another lineage
        witness.file.introduce(ledger.id, introduction)
    return asked_for(witness, ledger.head(epoch=epoch).encode(), ledger)


def asked_for(witness: Cosigner, note: bytes, ledger: agent.Ledger) -> list[str]:
    """Ask for a signature under a note, from whatever size the witness wants."""
    size, old = Checkpoint.parse(parse_note(note).text).size, 0
    for _ in range(3):
        path = ledger.tree.consistency(old, size) if 0 < old <= min(size, ledger.tree.size) else []
        request = AddCheckpoint(old_size=old, path=tuple(path), note=note)
        reply = witness.answer(request.encode())
        if reply.verdict.answer is Answer.COSIGNED:
            return [reply.body]
        if reply.verdict.answer is not Answer.STALE or reply.verdict.size > size:
            return []
        old = reply.verdict.size
    return []


def check_file(row, life: agent.Ledger) -> None:
    """What becomes of a row once a witness is asked."""
    witness = a_witness()
    assert shown_to(witness, life)
    made = row.make()
    file = as_bytes(made.file if isinstance(made, Beside) else made)
    if row.witnessed == STALE:
        newest = witness.newest(life.id)
        report = verify_bundle(io.BytesIO(file), None, held=io.BufferedReader(io.BytesIO(newest)))
        assert report.verdict == STALE, report.to_value()
        return
    assert row.witnessed == UNSIGNED
    items = list(Reader(io.BytesIO(file)))
    told = [item for item in items if isinstance(item, Record)]
    whole = [item.position for item in told] == list(range(len(told)))
    his = as_ledger(told if whole else [])
    notes = [item.note for item in items if isinstance(item, SignedHead)]
    assert [line for note in notes for line in asked_for(witness, note, his)] == []
    report = verify_bundle(
        io.BytesIO(file), agent.SOUL, witnesses=Policy(witnesses=[WITNESS], needed=1)
    )
    assert not report.good
    assert report.verdict == row.verdict
    assert "none of 1 cosigned" in dict(report.lines)["witnesses"]


def check_true(life: agent.Ledger) -> None:
    """The true history, with the witness' line under its head, is good to the same reader."""
    witness = a_witness()
    lines = [line for body in shown_to(witness, life) for line in parse_lines(body)]
    records = agent.export(life, [life.head().with_lines(lines)])
    policy = Policy(witnesses=[WITNESS], needed=1)
    report = verify_bundle(io.BytesIO(agent.bundle(records)), agent.SOUL, witnesses=policy)
    assert report.good, report.to_value()
    assert "1 of 1 cosigned the head" in dict(report.lines)["witnesses"]
    assert "that no other history was shown to somebody else" not in report.not_shown


def check_home(scene, before: agent.Ledger) -> None:
    """A home that was rolled back shows its last released head: the witness saw more, and says so.

    That nothing is released then, tests/node/test_node_witness.py shows with a running node.
    """
    witness = a_witness()
    assert shown_to(witness, before)
    note = scene.guard.read_bytes()
    request = AddCheckpoint(old_size=0, path=(), note=note)
    reply = witness.answer(request.encode())
    asking = Asking(
        witness=WITNESS,
        head=open_checkpoint(note, agent.LOG.public),
        paths=as_ledger(scene.records()).tree.consistency,
    )
    asking, _ = asking.first()
    body = reply.body.encode()
    end = asking.heard(Answered(status=reply.verdict.answer.status, kind=SIZE_TYPE, body=body))
    assert (end.outcome, end.size) == (Outcome.AHEAD, before.tree.size)
