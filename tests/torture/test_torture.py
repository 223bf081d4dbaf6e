"""A sample of `make torture`, seconds of it: the whole of it takes an hour (docs/TORTURE.md)."""

import multiprocessing
from concurrent.futures import ProcessPoolExecutor

import pytest

from tests.torture import clocks, flips, kills, power
from tests.torture.faulty_vfs import Fault


def alone(function, *arguments):
    """Call in a process of its own: the faulty disk is put beneath all of its SQLite."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        return pool.submit(function, *arguments).result()


def test_power_losses_lose_nothing(tmp_path):
    told = alone(power.batch, str(tmp_path), 7000, 6)
    assert told["lost"] == []
    assert told["trials"] == 6
    assert told["acked"] > 20


def test_the_trials_can_tell_a_store_that_does_not_sync(tmp_path):
    """With synchronous=OFF, SQLite acknowledges before it syncs: that must be called a loss."""
    told = alone(power.batch, str(tmp_path), 7000, 6, "OFF")
    assert told["lost"] != []


@pytest.mark.parametrize("fault", [Fault.IO_ERROR, Fault.FULL])
def test_calls_that_fail_leave_nothing_by_half(tmp_path, fault):
    """Every 40th call of a scripted life, in turn."""
    told = alone(power.every_call, str(tmp_path), fault.name, 9, 40)
    assert told["lost"] == []
    assert told["trials"] >= 5


def test_a_flipped_bit_of_every_kind_is_found(tmp_path):
    told = flips.run(tmp_path, seed=3, each=1)
    assert told["missed"] == []
    kinds = " ".join(told["kinds"])
    for kind in ("freelist leaf", "freelist trunk", "overflow of event", "tile", "idempotency"):
        assert kind in kinds
    for kind in ("interior", "log: newest transaction", "guard", "agent keystore", "SOUL.md"):
        assert kind in kinds


def test_clock_jumps_and_damaged_views_are_survived(tmp_path):
    told = clocks.run(tmp_path, seed=5, rounds=1)
    assert told["problems"] == []
    assert told["jumps back"] > 5
    assert told["damaged views"] == 2 * len(clocks.DAMAGE)


def test_kills_at_each_step_of_the_release_lose_nothing(tmp_path):
    told = kills.run(tmp_path, kills=len(kills.STEPS), seed=11)
    assert told["problems"] == []
    assert told["steps"] == dict.fromkeys(kills.STEPS, 1)
    assert told["acknowledged"] >= len(kills.STEPS)
    assert told["checkpoints"] > 0
