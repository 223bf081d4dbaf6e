"""What is stamped, on a real log: every wish, the newest of old ones, a head when nobody asks."""

from types import SimpleNamespace

import pytest

from attest.state import MemoryState
from ledger.core import types
from ledger.core.errors import Refused
from ledger.core.event import Draft
from ledger.release import Release
from node.anchors import stamping
from node.anchors.stamp_export import _of_this_log
from node.anchors.stamping import make_stamping
from node.config import load
from tests.attest.test_stamper import A, Twin
from tests.ledger.makers import SIGNER, genesis, message, open_log

DAY = 86_400


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A stamping node's parts on a log in memory, and its clock."""
    clock = SimpleNamespace(now_s=1_790_000_000)
    monkeypatch.setattr(stamping, "_now_s", lambda: clock.now_s)
    settings = tmp_path / "node.toml"
    settings.write_text(f"[attest]\ncalendars = ['{A}']\n")
    with open_log() as log:
        log.append_now(genesis(), message("one"))
        release = Release.begin(log, tmp_path / "state", SIGNER)
        twin = Twin()
        made = make_stamping(load(settings).attest, log, release, twin, None, MemoryState())
        yield SimpleNamespace(log=log, stamping=made, clock=clock, twin=twin, release=release)


async def wish(place):
    """What anchoring writes for an anchor."""
    head = place.release.head()
    payload = {"size": head.size, "note": head.anchor_preimage(), "digest": head.anchor_digest()}
    await place.log.append(
        Draft(type=types.ANCHOR_REQUESTED.name, stream=types.SEAL_STREAM, payload=payload)
    )
    return head.anchor_digest()


async def stamped(place):
    return [record.digest for record in await place.stamping.stamper.open()]


async def test_of_old_wishes_only_the_newest_is_stamped_and_then_each(place):
    digests = [await wish(place) for _ in range(3)]
    assert await place.stamping._follow()
    assert await stamped(place) == digests[-1:]
    more = [await wish(place) for _ in range(3)]
    assert await place.stamping._follow()
    assert await stamped(place) == [digests[-1], *more]
    assert not await place.stamping._follow()


async def test_when_nobody_asks_for_a_day_what_is_new_is_stamped_and_only_then(place):
    await place.stamping._unasked()
    assert len(await stamped(place)) == 1
    await place.stamping.advance()  # writes housekeeping
    place.clock.now_s += DAY
    await place.stamping._unasked()
    assert len(await stamped(place)) == 1
    await place.log.append(message("two"))
    place.clock.now_s -= 1
    await place.stamping._unasked()
    assert len(await stamped(place)) == 1
    place.clock.now_s += 1
    await place.stamping._unasked()
    assert len(await stamped(place)) == 2


async def test_each_standing_is_recorded_once_as_housekeeping(place):
    await place.stamping.now()
    await place.stamping.upgrade()
    place.twin.blocks = {A: 7}
    for _ in range(3):
        await place.stamping.upgrade()
    found = [event for event in place.log.events() if event.type == types.STAMPED.name]
    assert [(e.payload["standing"], e.payload["height"]) for e in found] == [
        ("pending", None),
        ("attested", 7),
    ]
    assert types.STAMPED.name in types.HOUSEKEEPING
    assert await stamped(place) == []
    assert (await place.stamping.show())["stamps"][0]["standing"] == "attested"


async def test_without_calendars_nothing_runs_and_asking_is_refused(place):
    place.stamping.section = load(None).attest
    await place.stamping.run()  # ends at once
    for ask in (place.stamping.now, place.stamping.upgrade):
        with pytest.raises(Refused, match="no calendars are configured"):
            await ask()
    assert place.twin.submitted == []


async def test_a_stamp_of_another_history_is_not_exported(place, tmp_path):
    note = place.release.head().anchor_preimage()
    assert _of_this_log(SimpleNamespace(log=place.log), note).size == 2
    with open_log() as other:
        for known in ([genesis()], [genesis(), message("another")]):
            other.append_now(*known[-1:])
            with pytest.raises(Refused, match="does not lead to the stamped checkpoint"):
                _of_this_log(SimpleNamespace(log=other), note)
