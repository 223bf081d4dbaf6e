"""The witness: every answer, against a twin that keeps whole logs; and what a crash leaves."""

import hashlib
import io
import os
import subprocess
import sys
import textwrap
from functools import cache
from pathlib import Path

import pytest
from Cryptodome.PublicKey import ECC
from Cryptodome.Signature import eddsa
from hypothesis import given, settings
from hypothesis import strategies as st

from attest.verify.bundle import verify_bundle
from ledger.core.checkpoint import open_checkpoint
from ledger.core.cosignature import Witness, cosignatures, parse_lines
from ledger.core.errors import TimmyError
from ledger.core.lineage import Lineage
from ledger.core.merkle import EMPTY_ROOT
from mesh.core.errors import InvalidIntroduction, InvalidRequest, Refused
from mesh.core.witnesses.add_checkpoint import AddCheckpoint
from mesh.core.witnesses.witness import Answer
from mesh.witnesses.witness import Cosigner, WitnessFile
from tests.spec import agent

PRIVATE = ECC.construct(curve="Ed25519", seed=hashlib.sha256(b"a witness").digest())
WITNESS = Witness(
    name="witness.example", public=bytes(PRIVATE.public_key().export_key(format="raw"))
)
NOW = 1_800_000_000


def sign(data):
    return eddsa.new(PRIVATE, "rfc8032").sign(data)


def lived(*numbers):
    ledger = agent.Ledger()
    ledger.add(agent.genesis_draft())
    for number in numbers:
        ledger.add(agent.fact(number))
    return ledger


def introduce(data):
    report = verify_bundle(io.BytesIO(data), None)
    if not report.good or report.lineage is None:
        raise InvalidIntroduction(report.lines[-1][1])
    return report.lineage


def introduction(ledger):
    epoch = sum(record.envelope[3:15] == b"ledger.epoch" for record in ledger.records)
    also = [i for i, r in enumerate(ledger.records) if r.envelope[3:15] == b"ledger.epoch"]
    size = ledger.tree.size
    return agent.bundle(agent.proof(ledger, 0, [size], also=also, epoch=epoch))


def request(ledger, old, size=None, *, path=None, **more):
    head = ledger.head(size, **more)
    if path is None:
        path = ledger.tree.consistency(old, head.size) if 0 < old <= head.size else []
    return AddCheckpoint(old_size=old, path=tuple(path), note=head.encode())


class World:
    """A witness on a file."""

    def __init__(self, folder: Path, **more):
        self.file = WitnessFile(folder / "witness.db", introduce, **more)
        self.cosigner = Cosigner(file=self.file, witness=WITNESS, sign=sign, clock=lambda: NOW)

    def know(self, ledger):
        self.file.introduce(ledger.id, introduction(ledger))
        return self

    def add(self, ledger, old, size=None, **more):
        asked = request(ledger, old, size, **more)
        reply = self.cosigner.answer(asked.encode())
        if reply.verdict.answer is Answer.COSIGNED:
            head = open_checkpoint(asked.note, agent.LOG.public).with_lines(parse_lines(reply.body))
            [found] = cosignatures(head.note, [WITNESS])
            assert found.time_s == NOW
        return reply


TRUE, OTHER = lived(*range(9)), lived(0, 1, 2, 99, *range(4, 12))


@pytest.fixture
def world(tmp_path):
    made = World(tmp_path)
    yield made
    made.file.close()


# ---- the request ---------------------------------------------------------------------------------


def test_the_request_is_the_bytes_of_c2sp():
    asked = request(TRUE, 3, 7)
    lines = asked.encode().split(b"\n")
    assert lines[0] == b"old 3"
    assert lines[lines.index(b"") + 1] == f"timmy/{TRUE.id.hex()}/0".encode()
    assert AddCheckpoint.parse(asked.encode()) == asked
    assert request(TRUE, 0, 1).encode().startswith(b"old 0\n\ntimmy/")


@pytest.mark.parametrize(
    "data",
    [
        b"", b"old 0\n", b"old 0\n\n"[:-1], b"old 00\n\nx", b"old 01\n\nx", b"old -1\n\nx", b"old 1 \n\nx",
        b"Old 1\n\nx", b"old 9999999999999999\n\nx", b"\nold 1\n\nx", b"old 1\nAAAA\n\nx",
        b"old 1\n" + b"A" * 43 + b"=\r\n\nx", b"old 1\n" + b"A" * 42 + b"B=\n\nx", b"old 1\n\xff\n\nx",
        b"old 1\n" + (b"A" * 43 + b"=\n") * 64 + b"\nx", b"old 1\n\n" + b"x" * 70_000,
    ],
    ids=map(str, range(16)),
)  # fmt: skip
def test_another_request_is_refused(data):
    with pytest.raises(InvalidRequest):
        AddCheckpoint.parse(data)


@given(st.binary(max_size=300))
def test_a_request_is_read_as_it_was_written_or_refused(data):
    try:
        found = AddCheckpoint.parse(data)
    except InvalidRequest:
        return
    assert found.encode() == data


@settings(max_examples=80, deadline=None)
@given(st.integers(0, 700), st.integers(1, 255))
def test_no_damaged_request_is_cosigned(at, change):
    """But in the lines of other signatures, which a witness ignores."""
    data = bytearray(request(TRUE, 0, 5).encode())
    data[at % len(data)] ^= change
    reply = in_memory().answer(bytes(data))
    assert reply.verdict.answer is not Answer.COSIGNED


@cache
def in_memory():
    """One witness for all examples."""
    file = WitnessFile(Path(":memory:"), introduce)
    file.introduce(TRUE.id, introduction(TRUE))
    return Cosigner(file=file, witness=WITNESS, sign=sign, clock=lambda: NOW)


# ---- every answer --------------------------------------------------------------------------------


def test_heads_that_continue_each_other_are_cosigned(world):
    world.know(TRUE)
    for old, size in [(0, 1), (1, 4), (4, 4), (4, 10)]:
        assert world.add(TRUE, old, size).verdict.answer is Answer.COSIGNED
    [(ledger, epoch, seen)] = world.file.latest()
    assert (ledger, epoch, seen.size, seen.root) == (TRUE.id, 0, 10, TRUE.tree.root(10))


def test_an_unknown_log_is_not_found(world):
    reply = world.add(TRUE, 0, 3)
    assert (reply.verdict.answer, reply.verdict.answer.status) == (Answer.UNKNOWN, 404)


@pytest.mark.parametrize(
    ("more", "answer"),
    [
        ({"by": agent.STRANGER}, Answer.UNSIGNED),
        ({"epoch": 1}, Answer.UNSIGNED),
        ({"root": bytes(32), "by": agent.STRANGER}, Answer.UNSIGNED),
        ({"ledger_id": bytes(32)}, Answer.UNKNOWN),
        ({"root": bytes(32)}, Answer.INCONSISTENT),
        ({"path": [bytes(32)]}, Answer.INCONSISTENT),
        ({"path": []}, Answer.INCONSISTENT),
    ],
    ids=map(str, range(7)),
)
def test_what_is_not_cosigned(world, more, answer):
    world.know(TRUE).add(TRUE, 0, 3)
    reply = world.add(TRUE, 3, 7, **more)
    assert reply.verdict.answer is answer
    assert reply.frozen is None
    assert world.file.frozen() == []
    assert world.add(TRUE, 3, 7).verdict.answer is Answer.COSIGNED


@pytest.mark.parametrize("old", [0, 1, 2, 4, 5])
def test_another_old_size_is_told_the_right_one(world, old):
    world.know(TRUE).add(TRUE, 0, 3)
    reply = world.add(TRUE, old, 5)
    assert (reply.verdict.answer.status, reply.body) == (409, "3\n")


def test_an_older_head_is_stale(world):
    world.know(TRUE).add(TRUE, 0, 7)
    assert world.add(TRUE, 3, 5).body == "7\n"
    assert world.add(TRUE, 7, 5).verdict.answer is Answer.MALFORMED
    assert world.file.latest()[0][2].size == 7


def test_an_empty_log(world):
    world.know(TRUE)
    assert world.add(TRUE, 0, 0, root=bytes(32)).verdict.answer is Answer.INCONSISTENT
    assert world.add(TRUE, 0, 0, root=EMPTY_ROOT).verdict.answer is Answer.COSIGNED
    assert world.add(TRUE, 0, 3, path=[bytes(32)]).verdict.answer is Answer.INCONSISTENT
    assert world.add(TRUE, 0, 3).verdict.answer is Answer.COSIGNED


# ---- two histories -------------------------------------------------------------------------------


@pytest.mark.parametrize(("first", "seen", "size"), [(5, 5, 5), (5, 7, 5)])
def test_two_roots_of_one_size_freeze_the_log_and_are_proven(world, first, seen, size):
    """Also of a size that was cosigned before the newest one."""
    world.know(TRUE).add(TRUE, 0, first)
    world.add(TRUE, first, seen)
    reply = world.add(OTHER, size, size, path=[])
    assert reply.verdict.answer is Answer.INCONSISTENT
    report = verify_bundle(io.BytesIO(reply.frozen.proof), agent.SOUL)
    assert report.verdict == "DIVERGED"
    assert f"two signed roots at size {size}" in report.lines[-1][1]
    assert world.add(TRUE, seen, 10).verdict.answer is Answer.UNSIGNED
    assert world.add(OTHER, seen, 10).verdict.answer is Answer.UNSIGNED


def test_a_frozen_log_stays_frozen(world, tmp_path):
    world.know(TRUE).add(TRUE, 0, 5)
    proof = world.add(OTHER, 5, 5, path=[]).frozen.proof
    world.file.close()
    again = World(tmp_path)
    assert again.add(TRUE, 5, 6).verdict.answer is Answer.UNSIGNED
    again.add(OTHER, 0, 5)
    assert [one.proof for one in again.file.frozen()] == [proof]
    again.file.close()


def test_a_failed_proof_freezes_nothing(world):
    """Its sender need not be the log."""
    world.know(TRUE).add(TRUE, 0, 5)
    assert world.add(OTHER, 5, 6).verdict.answer is Answer.INCONSISTENT
    assert world.add(TRUE, 5, 6).verdict.answer is Answer.COSIGNED


def test_the_way_on_is_an_epoch_that_the_recovery_key_begins(world):
    ledger = lived(1, 2, 3)
    world.know(ledger).add(ledger, 0, 4)
    fork = lived(1, 2, 9)
    assert world.add(fork, 4, 4, path=[]).frozen is not None
    ledger.add(agent.epoch_record(ledger))
    assert world.add(ledger, 0, 5, epoch=1).verdict.answer is Answer.UNSIGNED
    world.know(ledger)
    assert world.add(ledger, 0, 5, epoch=1).verdict.answer is Answer.COSIGNED
    assert world.add(ledger, 4, 4).verdict.reason.startswith("epoch 0 ended")


# ---- introductions -------------------------------------------------------------------------------


def test_an_introduction_is_replaced_only_by_one_that_goes_on(world):
    ledger, fork = lived(1, 2), lived(1, 2)
    world.know(ledger)
    old = introduction(ledger)
    for one, kept in ((ledger, {}), (fork, {"reason": "two"})):
        record = agent.epoch_record(one)
        one.add(record if not kept else agent.fact(7))
    fork.add(agent.epoch_record(fork))
    world.know(ledger)
    assert world.file.introduce(ledger.id, old).epoch == 1
    with pytest.raises(Refused, match="other handoffs or recoveries"):
        world.know(fork)


def test_a_bad_introduction_is_refused(world):
    for data in (b"", introduction(TRUE)[:-1], b"x" * (1024 * 1024 + 1)):
        with pytest.raises((InvalidIntroduction, TimmyError)):
            world.file.introduce(TRUE.id, data)
    with pytest.raises(InvalidIntroduction, match="it is of ledger"):
        world.file.introduce(bytes(32), introduction(TRUE))
    assert world.add(TRUE, 0, 3).verdict.answer is Answer.UNKNOWN


# ---- a twin --------------------------------------------------------------------------------------


class Twin:
    """Keeps every leaf of every head it said yes to: no proofs, no trees, no store."""

    def __init__(self):
        self.heads, self.frozen = {}, False

    def add(self, ledger, size, old):
        leaves = [record.envelope for record in ledger.records[:size]]
        if old > size:
            return Answer.MALFORMED
        if size in self.heads and self.heads[size] != leaves:
            self.frozen = True
            return Answer.INCONSISTENT
        if self.frozen:
            return Answer.UNSIGNED
        largest = max(self.heads, default=0)
        if old != largest:
            return Answer.STALE
        if largest and leaves[:largest] != self.heads[largest]:
            return Answer.INCONSISTENT
        self.heads[size] = leaves
        return Answer.COSIGNED


LOGS = (TRUE, OTHER)
STEPS = st.lists(
    st.tuples(st.integers(0, 1), st.integers(1, 10), st.none() | st.integers(0, 10)), max_size=12
)


@settings(max_examples=60, deadline=None)
@given(STEPS)
def test_it_answers_as_a_twin_that_keeps_whole_logs(steps):
    file = WitnessFile(Path(":memory:"), introduce)
    file.introduce(TRUE.id, introduction(TRUE))
    twin = Twin()
    for which, size, given_old in steps:
        old = max(twin.heads, default=0) if given_old is None else given_old
        verdict, frozen = file.judge(request(LOGS[which], old, size))
        assert verdict.answer is twin.add(LOGS[which], size, old)
        assert bool(file.frozen()) is twin.frozen
        assert frozen is None or verdict.conflict is not None
    file.close()


# ---- what is on disk -----------------------------------------------------------------------------


def test_earlier_heads_are_bounded(tmp_path):
    world = World(tmp_path, heads_max=3).know(TRUE)
    for size in range(1, 9):
        world.add(TRUE, size - 1, size)
    fork = lived(99, *range(1, 9))
    assert world.add(fork, 0, 4, path=[]).verdict.answer is Answer.STALE
    assert world.add(fork, 0, 6, path=[]).frozen is not None
    world.file.close()


def test_a_kill_between_the_disk_and_the_answer(tmp_path):
    """The head is there, the yes never left: asked again from there, the same head is cosigned."""
    code = f"""
        import os
        from tests.mesh import test_witness as t
        world = t.World(__import__("pathlib").Path({str(tmp_path)!r})).know(t.TRUE)
        world.add(t.TRUE, 0, 3)
        t.sign = lambda data: os._exit(9)
        object.__setattr__(world.cosigner, "sign", t.sign)
        world.add(t.TRUE, 3, 7)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], env=os.environ, check=False
    )
    assert done.returncode == 9
    world = World(tmp_path)
    assert world.file.latest()[0][2].size == 7
    assert world.add(OTHER, 3, 7).frozen is not None or world.file.frozen()
    world.file.close()


def test_after_such_a_kill_the_same_head_is_cosigned(tmp_path):
    world = World(tmp_path).know(TRUE)
    world.file.judge(request(TRUE, 0, 7))  # on disk, and no answer left
    world.file.close()
    world = World(tmp_path)
    assert world.add(TRUE, 0, 7).body == "7\n"
    assert world.add(TRUE, 7, 7).verdict.answer is Answer.COSIGNED
    world.file.close()


def test_nothing_is_signed_if_the_disk_refuses(tmp_path):
    world = World(tmp_path).know(TRUE)
    world.file._db.execute("PRAGMA query_only = ON")
    with pytest.raises(TimmyError):
        world.add(TRUE, 0, 3)
    world.file._db.execute("PRAGMA query_only = OFF")
    assert world.file.latest() == []
    world.file.close()


def test_it_knows_its_logs_after_a_restart(tmp_path):
    world = World(tmp_path).know(TRUE)
    world.add(TRUE, 0, 3)
    world.file.close()
    world = World(tmp_path)
    assert world.add(TRUE, 3, 4).verdict.answer is Answer.COSIGNED
    assert isinstance(world.file._lineage(TRUE.id), Lineage)
    world.file.close()
