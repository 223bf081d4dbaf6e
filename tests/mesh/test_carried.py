"""Which wraps carried what: one suite for memory and SQLite, and their withdrawal over any store."""

import asyncio
from contextlib import asynccontextmanager

import pytest

from ledger.core.event import Cause
from mesh.core.errors import StoreError
from mesh.sealed.carried import MemoryCarried
from mesh.sealed.sqlite_carried import SqliteCarried
from mesh.sealed.wraps import Wraps

EVENTS = [Cause(position=n, id=n.to_bytes(32, "big")) for n in (3, 40, 500)]
TWIN = Cause(position=3, id=b"t" * 32)
"""Of the same position: an event of a history that a recovery left behind."""
WRAPS = [bytes([n]).hex() * 32 for n in range(9)]


@pytest.fixture(params=["memory", "sqlite"])
def new(request, tmp_path):
    made = []

    def build(**bounds):
        sqlite = request.param == "sqlite"
        path = tmp_path / "carried.db"
        made.append(SqliteCarried(path, **bounds) if sqlite else MemoryCarried(**bounds))
        return made[-1]

    yield build
    for one in made:
        one.close()


def test_wraps_are_known_by_their_event_until_it_is_forgotten(new):
    carried = new()
    assert carried.events() == []
    carried.note(EVENTS[1], WRAPS[:2])
    carried.note(EVENTS[0], WRAPS[2:3])
    carried.note(TWIN, WRAPS[3:4])
    carried.note(EVENTS[1], WRAPS[1:3])
    assert carried.events() == [EVENTS[0], TWIN, EVENTS[1]]
    assert sorted(carried.wraps([EVENTS[1]])) == WRAPS[:3]
    assert sorted(carried.wraps([EVENTS[0], TWIN])) == WRAPS[2:4]
    assert carried.wraps([EVENTS[2]]) == []
    carried.forget([EVENTS[0], EVENTS[2]])
    assert carried.events() == [TWIN, EVENTS[1]]
    assert sorted(carried.wraps(EVENTS)) == WRAPS[:3]


def test_the_oldest_events_make_room(new):
    carried = new(wraps_max=5)
    carried.note(EVENTS[1], WRAPS[:3])
    carried.note(EVENTS[0], WRAPS[3:4])
    for _ in range(5):  # the same again is no more
        carried.note(EVENTS[1], WRAPS[:3])
    assert carried.events() == [EVENTS[0], EVENTS[1]]
    carried.note(EVENTS[2], WRAPS[4:6])
    assert carried.events() == [EVENTS[1], EVENTS[2]]
    assert sorted(carried.wraps(EVENTS)) == [*WRAPS[:3], *WRAPS[4:6]]


def test_a_file_outlives_its_process(tmp_path):
    for event, wrap in zip(EVENTS, WRAPS, strict=False):
        carried = SqliteCarried(tmp_path / "carried.db")
        carried.note(event, [wrap])
        carried.close()
    carried = SqliteCarried(tmp_path / "carried.db", wraps_max=3)
    assert carried.events() == EVENTS
    carried.note(TWIN, WRAPS[5:6])
    assert carried.events() == [TWIN, *EVENTS[1:]]
    carried.close()


# ---- withdrawal ------------------------------------------------------------------------------------


class Places:
    """Two places with wraps in them, and what was erased."""

    def __init__(self, carried):
        self.kept = [set(WRAPS), set(WRAPS)]
        self.erased, self.says = set(), [True, True]
        self.wraps = Wraps(
            carried, [self.place(0), self.place(1)], erased=lambda event: event in self.erased
        )

    def place(self, number):
        async def withdraw(wraps):
            await asyncio.sleep(0)
            if isinstance(self.says[number], Exception):
                raise self.says[number]
            self.kept[number] -= set(wraps)
            return self.says[number]

        return withdraw

    def gone(self):
        return [sorted(set(WRAPS) - kept) for kept in self.kept]


@asynccontextmanager
async def places():
    made = Places(carried := MemoryCarried())
    try:
        yield made, carried
    finally:
        await made.wraps.close()


async def test_what_carried_erased_words_is_withdrawn_everywhere_and_nothing_else():
    async with places() as (at, carried):
        for event, wraps in ((EVENTS[0], WRAPS[:2]), (EVENTS[1], WRAPS[2:4]), (TWIN, WRAPS[4:5])):
            async with at.wraps.sending(event, wraps) as stands:
                assert stands
        assert await at.wraps.settle()
        assert at.gone() == [[], []]
        at.erased = {EVENTS[0]}
        assert await at.wraps.settle()
        assert at.gone() == [WRAPS[:2]] * 2
        assert carried.events() == [TWIN, EVENTS[1]]
        assert not at.wraps.owed.is_set()


@pytest.mark.parametrize("number", [0, 1])
@pytest.mark.parametrize("says", [False, StoreError("no space")], ids=["a reader", "a full disk"])
async def test_it_is_owed_until_every_place_has_done_it(number, says):
    async with places() as (at, carried):
        await at.wraps.came(EVENTS[0], WRAPS[0])
        at.erased, at.says[number] = {EVENTS[0]}, says
        if says is False:
            assert not await at.wraps.settle()
        else:
            with pytest.raises(StoreError):
                await at.wraps.settle()
        assert at.wraps.owed.is_set()
        assert carried.events() == [EVENTS[0]], "the next start knows of it"
        at.says[number] = True
        assert await at.wraps.settle()
        assert at.gone() == [WRAPS[:1]] * 2
        assert carried.events() == []


async def test_what_is_erased_is_not_sent_and_what_comes_of_it_again_is_owed():
    async with places() as (at, carried):
        at.erased = {EVENTS[0]}
        async with at.wraps.sending(EVENTS[0], WRAPS[:1]) as stands:
            assert not stands
        assert carried.events() == []
        await at.wraps.came(EVENTS[0], WRAPS[1])
        assert at.wraps.owed.is_set()
        assert await at.wraps.settle()
        assert at.gone() == [WRAPS[1:2]] * 2


async def test_nothing_is_withdrawn_between_noting_and_sending():
    async with places() as (at, _):
        at.kept[0].clear()
        sending = at.wraps.sending(EVENTS[0], WRAPS[:1])
        async with asyncio.TaskGroup() as group, sending as stands:
            assert stands
            at.erased = {EVENTS[0]}
            settling = group.create_task(at.wraps.settle())
            for _ in range(20):
                await asyncio.sleep(0)
            assert not settling.done()
            at.kept[0].add(WRAPS[0])  # it is queued only now
        assert settling.result()
        assert at.kept[0] == set()
