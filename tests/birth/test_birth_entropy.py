import os
import threading
import time

from genesis.keys.entropy import collect, read_device, source_names
from ledger.core.genesis import GenesisFacts


def test_the_kernel_is_first_and_every_input_is_fresh(tmp_path):
    first, second = collect(hwrng=tmp_path / "absent"), collect(hwrng=tmp_path / "absent")
    assert first[0].name == "os-getrandom"
    assert len(first[0].data) == 32
    assert first[0].data != second[0].data
    assert "hwrng" not in source_names(first)
    assert len(set(source_names(first))) == len(first)


def test_names_are_fit_for_a_genesis(birth):
    assert isinstance(birth.genesis, GenesisFacts)  # which checks them
    assert birth.genesis.entropy[0] == "os-getrandom"


def test_a_device_is_read_and_named(tmp_path):
    device = tmp_path / "hwrng"
    device.write_bytes(bytes(range(64)))
    assert read_device(device) == bytes(range(32))
    assert source_names(collect(hwrng=device))[:2] == ("os-getrandom", "hwrng")


def test_a_device_that_blocks_delays_a_birth_by_its_bound_only(tmp_path):
    device = tmp_path / "hwrng"
    os.mkfifo(device)
    holder = os.open(device, os.O_RDWR)
    try:
        assert read_device(device, wait_s=0.1) is None  # returns at all: nothing else is written
        os.write(holder, b"too few")
        assert read_device(device, wait_s=0.1) is None
    finally:
        os.close(holder)


def test_a_device_that_gives_its_bytes_in_pieces(tmp_path):
    device = tmp_path / "hwrng"
    os.mkfifo(device)
    holder = os.open(device, os.O_RDWR)

    def feed():
        for n in range(4):
            os.write(holder, bytes(range(8 * n, 8 * n + 8)))
            time.sleep(0.01)

    thread = threading.Thread(target=feed)
    thread.start()
    assert read_device(device, wait_s=5) == bytes(range(32))
    thread.join()
    os.close(holder)


def test_stuck_short_and_closed_devices_are_not_named(tmp_path):
    device = tmp_path / "hwrng"
    for data in (b"", bytes(32), b"\xff" * 32, bytes(range(31))):
        device.write_bytes(data)
        assert read_device(device) is None
    assert read_device(tmp_path) is None
