"""Who a log is, from its id alone: what an introduction must hold, and what is wrong with others."""

import pytest

from ledger.core.event import Event
from mesh.core import limits
from mesh.core.errors import InvalidPackage
from mesh.core.witnesses.introduction import open_introduction
from tests.spec import agent

from .lives import Life

LIFE = Life().say(20).hand_off().say(300)
RECOVERED = LIFE.recover(100).say(5)


def records(life=LIFE, since=0):
    return agent.open_frames(life.offer().introduction(since))


def opened(values, life=LIFE):
    return open_introduction(agent.bundle(values), life.id)


@pytest.mark.parametrize("life", [LIFE, RECOVERED, Life()])
def test_it_leads_from_the_id_to_the_keys_in_charge(life):
    found = open_introduction(life.offer().introduction(0), life.id)
    assert found.head.encode() == life.head().encode()
    assert found.head.size == life.size
    assert found.lineage.epoch == life.epoch
    assert found.kept == ({1: (100, life.ledger.tree.root(100))} if life.epoch else {})


def test_it_shows_what_it_continues():
    found = opened(records(since=50))
    assert (50, LIFE.size) in found.paths
    assert (50, LIFE.size) not in opened(records()).paths
    assert opened(records(since=LIFE.size)).head.size == LIFE.size
    assert opened(records(since=LIFE.size + 7)).head.size == LIFE.size


def without(kind, at=0):
    values = records()
    places = [number for number, value in enumerate(values) if value[0] == kind]
    del values[places[at]]
    return values


def changed(kind, at, index, value):
    values = records()
    places = [number for number, one in enumerate(values) if one[0] == kind]
    values[places[at]][index] = value
    return values


HANDOFF = next(value for value in records() if value[0] == "event" and value[1])
BAD = {
    "no header of a proof": changed("header", 0, 1, "export"),
    "another ledger's header": changed("header", 0, 2, bytes(32)),
    "no event 0": without("event", 0),
    "no handoff, whose key signs": without("event", 1),
    "no path": without("inclusion", 0),
    "no path of the handoff": without("inclusion", 1),
    "a path to another size": changed("inclusion", 0, 2, LIFE.size - 1),
    "a wrong path": changed("inclusion", 1, 3, [bytes(32)]),
    "nothing leads from what the handoff keeps": without("consistency", 0),
    "something else leads from there": changed("consistency", 0, 3, [bytes(32)]),
    "no head": without("checkpoint"),
    "two heads": [*records(), ["checkpoint", LIFE.head(50).encode()]],
    "no note": changed("checkpoint", 0, 1, b"hello"),
    "a head of the old key": changed("checkpoint", 0, 1, LIFE.head(by=agent.LOG).encode()),
    "a head of a stranger": changed("checkpoint", 0, 1, LIFE.head(by=agent.STRANGER).encode()),
    "another root": changed("checkpoint", 0, 1, LIFE.head(root=bytes(32)).encode()),
    "another epoch": changed("checkpoint", 0, 1, LIFE.ledger.head(epoch=1).encode()),
    "another ledger's head": changed(
        "checkpoint", 0, 1, LIFE.ledger.head(ledger_id=bytes(32)).encode()
    ),
    "an event that does not open": changed("event", 1, 4, b"\xa0"),
    "another genesis": changed("event", 0, 2, HANDOFF[2]),
    "nothing": [],
}


@pytest.mark.parametrize("values", BAD.values(), ids=list(BAD))
def test_anything_else_is_refused(values):
    with pytest.raises(InvalidPackage):
        opened(values)


def test_a_handoff_that_keeps_another_history_is_refused():
    life = Life().say(5)
    from tests.ledger import heirs

    life.ledger.add(heirs.handoff(life.ledger, heirs.heir(1), kept_size=4))
    life.ledger.signers.append((life.size + 1, heirs.heir(1).keys["log"]))
    life.say(3)
    with pytest.raises(InvalidPackage, match="keeps 4 events"):
        open_introduction(life.offer().introduction(0), life.id)


def test_a_proof_of_something_else_does_for_it():
    """More events than are needed do no harm: they are proven too."""
    values = records()
    more = LIFE.ledger.records[2]
    assert Event.open(more).position == 2
    path = LIFE.ledger.tree.inclusion(2, LIFE.size)
    extra = [agent.event_record(more), ["inclusion", 2, LIFE.size, path]]
    found = opened([*values[:1], *extra, *values[1:]])
    assert found.head.size == LIFE.size
    assert 2 not in [event.position for event in found.events]
    assert found.events[0].record == LIFE.ledger.records[0]


def test_it_is_bounded(monkeypatch):
    data = LIFE.offer().introduction(0)
    monkeypatch.setattr(limits, "INTRODUCTION_BYTES_MAX", len(data) - 1)
    with pytest.raises(InvalidPackage, match="at most"):
        open_introduction(data, LIFE.id)
    monkeypatch.setattr(limits, "INTRODUCTION_BYTES_MAX", len(data))
    monkeypatch.setattr(limits, "INTRODUCTION_EVENTS_MAX", 1)
    with pytest.raises(InvalidPackage, match="2 events"):
        open_introduction(data, LIFE.id)
