"""A child's own ledger as it is read for its gates: what cannot be read opens nothing."""

from contextlib import contextmanager

import pytest

from genesis.core.children.letters import Chain, Kind
from ledger.core import types
from ledger.core.errors import StoreError
from ledger.core.event import Draft
from ledger.memory import MemoryStore
from node.children.records import Ward
from tests.children.kin import letter
from tests.ledger.makers import open_log
from tests.spec import agent
from tests.spec.make_children import certificate, payload


class Disk(MemoryStore):
    """A store that can be gone for a while."""

    gone = False

    def records(self, start, stop):
        if self.gone:
            raise StoreError("the disk does not answer")
        return super().records(start, stop)


@contextmanager
def gone(disk):
    disk.gone = True
    yield
    disk.gone = False


@pytest.fixture
def disk():
    """A child's ledger: two gates granted, then a reset."""
    disk = Disk()
    with open_log(disk) as log:
        log.append_now(agent.genesis_draft())
        certified = payload(certificate(child=log.ledger_id))
        keep(log, types.PARENT_CERTIFIED, certified)
        chain = Chain()
        for kind, facts in (
            (Kind.GRANT, {"gate": "rite"}),
            (Kind.GRANT, {"gate": "tools"}),
            (Kind.RESET, {}),
        ):
            opened = letter(kind, chain=chain, to=log.ledger_id, **facts)
            chain = chain.take(opened)
            keep(log, types.PARENT_ORDERED, opened.letter.to_payload())
        log.append_now(Draft(type=types.NODE_BEAT.name, stream=bytes(16), payload={}))
    return disk


def keep(log, kind, body):
    log.append_now(Draft(type=kind.name, stream=types.PARENT_STREAM, payload=body))


@pytest.mark.parametrize("read", [0, 1, 2, 3])
def test_an_order_that_could_not_be_read_closes_all_gates_and_is_read_again(disk, read):
    with open_log(disk) as log:
        ward = Ward(log)
        only = log.positions
        log.positions = lambda stream, start: only(stream, start)[: max(0, read - start)]
        ward.now()
        log.positions = only
        with gone(disk):
            assert [ward.level for _ in range(3)] == [0, 0, 0]
        assert (ward.level, ward.standing.resets) == (1, 1), "the reset was not passed over"
