"""Mainnet's own headers, the retarget rule, and every way a run can be wrong."""

import hashlib
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from attest.core.errors import (
    BadBlockTime,
    BadDifficulty,
    BadWork,
    BrokenHeaders,
    InvalidHeader,
    WrongNetwork,
)
from attest.core.header import (
    HEADER_BYTES,
    MAINNET,
    PERIOD_BLOCKS,
    REGTEST,
    SIGNET,
    Network,
    bits_of,
    network_by_name,
    next_bits,
    parse_header,
    target_of,
    verify_headers,
    work_of,
)
from attest.core.transaction import display, double_sha256
from tests.attest import mainnet
from tests.attest.dumb_headers import judge
from tests.attest.forge import grind_raw

RAW = mainnet.headers()
EARLY = replace(MAINNET, work_min=1)
"""Mainnet as it was in 2009: the floor for seals is of 2017."""
EASY = replace(REGTEST, retargets=True)
"""Regtest's work with mainnet's rule: a period is ground in a blink."""


def part(first: int, count: int) -> bytes:
    return RAW[HEADER_BYTES * first : HEADER_BYTES * (first + count)]


def changed(raw: bytes, at: int, position: int, change: int = 1) -> bytes:
    data = bytearray(raw)
    data[HEADER_BYTES * at + position] ^= change
    return bytes(data)


# ---- mainnet -------------------------------------------------------------------------------------


def test_the_kept_headers_are_those_of_the_origin():
    assert hashlib.sha256(RAW).hexdigest() == mainnet.SHA256
    assert mainnet.pack(RAW) == mainnet.PATH.read_bytes()


def test_five_periods_of_mainnet_with_every_retarget():
    run = verify_headers(EARLY, 0, RAW)
    assert len(run.hashes) == mainnet.COUNT
    assert run.tip_height == 10_236
    assert display(run.hashes[0]).startswith("000000000019d6689c085ae165831e93")
    assert display(run.hashes[10_236]).startswith("000000004f74d42205b9d7ae1cb5c159")
    # Core's chainwork of a block at difficulty 1 is 0x100010001; ten thousand of them.
    assert run.work == 10_237 * 0x100010001
    for boundary in range(PERIOD_BLOCKS, mainnet.COUNT, PERIOD_BLOCKS):
        first, last, after = (
            parse_header(part(at, 1)) for at in (boundary - PERIOD_BLOCKS, boundary - 1, boundary)
        )
        assert next_bits(EARLY, first.bits, first.time_s, last.time_s) == after.bits


def test_a_run_may_begin_anywhere():
    whole = verify_headers(EARLY, 0, RAW)
    for first, count in ((1, 2016), (2000, 4100), (2015, 2), (2016, 1), (4031, 2018), (9999, 238)):
        run = verify_headers(EARLY, first, part(first, count))
        assert run.hashes == whole.hashes[first : first + count]
        assert (run.height, run.tip_height) == (first, first + count - 1)
        assert run.first == parse_header(part(first, 1))


def test_mainnet_of_2009_is_no_place_for_a_seal():
    with pytest.raises(BadWork, match="4295032833 hashes"):
        verify_headers(MAINNET, 0, RAW[:HEADER_BYTES])


# ---- every way a run can be wrong ----------------------------------------------------------------


@given(
    first=st.integers(1990, 2030),
    count=st.integers(1, 60),
    at=st.integers(0, 59),
    position=st.integers(0, HEADER_BYTES - 1),
    change=st.integers(0, 255),
    network=st.sampled_from([EARLY, MAINNET, SIGNET, REGTEST]),
)
def test_the_dumb_twin_agrees_on_damaged_mainnet(first, count, at, position, change, network):
    agree(network, first, changed(part(first, count), at % count, position, change))


def agree(network: Network, height: int, raw: bytes) -> None:
    expected = judge(network, height, raw)
    if expected.error is None:
        assert verify_headers(network, height, raw).work == expected.work
        return
    with pytest.raises((InvalidHeader, BrokenHeaders)) as caught:
        verify_headers(network, height, raw)
    assert caught.type is expected.error


@st.composite
def ground_runs(draw):
    """Headers with work on the easy network, around its boundaries, with odd bits and times."""
    height = draw(st.integers(PERIOD_BLOCKS - 14, PERIOD_BLOCKS + 1))
    raw, previous, time_s = b"", bytes(32), 1_700_000_000
    for offset in range(draw(st.integers(1, 16))):
        time_s += draw(st.sampled_from([1, 1, 1, 600, -2, -20]))
        # All of these are met by two to eight hashes; 0x20200000 is four times as hard.
        bits = 0x207FFFFF
        if (height + offset) % PERIOD_BLOCKS == 0 or draw(st.integers(0, 30)) == 0:
            bits = draw(st.sampled_from([0x207FFFFF, 0x20200000, 0x201FFFFF, 0x201F0000]))
        raw += grind_raw(previous=previous, time_s=time_s, bits=bits)
        previous = double_sha256(raw[-HEADER_BYTES:])
    return height, raw


@given(ground_runs(), st.sampled_from([EASY, REGTEST]))
def test_the_dumb_twin_agrees_on_ground_headers(run, network):
    agree(network, *run)


@pytest.fixture(scope="module")
def easy_period() -> bytes:
    """2016 headers that came twice as fast as they should."""
    rows = [grind_raw(time_s=1_700_000_000)]
    while len(rows) < PERIOD_BLOCKS:
        rows.append(
            grind_raw(previous=double_sha256(rows[-1]), time_s=1_700_000_000 + 300 * len(rows))
        )
    return b"".join(rows)


def test_a_retarget_is_exact_when_its_period_is_in_view(easy_period):
    previous = double_sha256(easy_period[-HEADER_BYTES:])
    time_s = 1_700_000_000 + 300 * PERIOD_BLOCKS
    expected = next_bits(EASY, REGTEST.pow_limit_bits, 1_700_000_000, time_s - 300)
    # 2015 intervals against 2016: a hair below one half.
    assert 0.4997 < target_of(expected) / target_of(REGTEST.pow_limit_bits) < 0.4998
    good = grind_raw(previous=previous, time_s=time_s, bits=expected)
    run = verify_headers(EASY, PERIOD_BLOCKS * 7, easy_period + good)
    assert run.last_bits == expected
    assert run.work == PERIOD_BLOCKS * 2 + 4
    for bits in (REGTEST.pow_limit_bits, expected + 1, expected - 1):
        wrong = grind_raw(previous=previous, time_s=time_s, bits=bits)
        with pytest.raises(BadDifficulty, match=f"expected {expected:08x}"):
            verify_headers(EASY, PERIOD_BLOCKS * 7, easy_period + wrong)
        # With one block less in view only the factor of four can be held against it.
        verify_headers(EASY, PERIOD_BLOCKS * 7 + 1, easy_period[HEADER_BYTES:] + wrong)
    leap = bits_of(target_of(REGTEST.pow_limit_bits) // 5)
    jump = grind_raw(previous=previous, time_s=time_s, bits=leap)
    with pytest.raises(BadDifficulty, match="factor of 4"):
        verify_headers(EASY, PERIOD_BLOCKS * 8 - 1, easy_period[-HEADER_BYTES:] + jump)


def test_the_target_of_a_period_holds_to_its_end(easy_period):
    verify_headers(EASY, PERIOD_BLOCKS * 7, easy_period)
    for network, height in ((EASY, PERIOD_BLOCKS * 7 + 1), (REGTEST, PERIOD_BLOCKS * 7)):
        previous = double_sha256(easy_period[-HEADER_BYTES:])
        harder = grind_raw(previous=previous, time_s=1_800_000_000, bits=0x203FFFFF)
        rest = easy_period[HEADER_BYTES:] if network is EASY else easy_period
        if network is EASY:
            verify_headers(EASY, height, rest + harder)
            with pytest.raises(BadDifficulty, match="became 203fffff"):
                verify_headers(EASY, height + 1, rest + harder)
        else:
            with pytest.raises(BadDifficulty, match="expected 207fffff"):
                verify_headers(network, height, rest + harder)


@pytest.mark.parametrize(
    ("span_s", "factor"),
    [(0, 0.25), (302_400, 0.25), (1_209_600, 1), (4_838_400, 4), (10**8, 4), (-5, 0.25)],
)
def test_the_retarget_is_clamped(span_s, factor):
    bits = 0x17034219
    after = target_of(next_bits(MAINNET, bits, 1_000_000_000, 1_000_000_000 + span_s))
    assert after == pytest.approx(target_of(bits) * factor, rel=1e-4)


def test_regtest_never_retargets():
    assert next_bits(REGTEST, 0x207FFFFF, 0, 10**9) == 0x207FFFFF


def test_no_target_above_the_limit():
    assert next_bits(MAINNET, 0x1D00FFFF, 0, 10**9) == 0x1D00FFFF


@pytest.mark.parametrize("bits", [0, 0x01000000, 0x04923456, 0x01800000, 0xFF123456, 0x22010000])
def test_bits_that_are_no_target(bits):
    with pytest.raises(InvalidHeader):
        target_of(bits)


@given(st.integers(1, 2**256 - 1))
def test_compact_targets_round_down_and_are_stable(target):
    bits = bits_of(target)
    assert target_of(bits) <= target
    assert target - target_of(bits) < target / 2**15 or target < 2**24
    assert bits_of(target_of(bits)) == bits


def test_work_on_each_network():
    raw = grind_raw()
    assert verify_headers(REGTEST, 1, raw).work == work_of(target_of(REGTEST.pow_limit_bits)) == 2
    with pytest.raises(BadWork, match="easier than signet allows"):
        verify_headers(SIGNET, 1, raw)
    with pytest.raises(BadWork, match="does not meet"):
        verify_headers(REGTEST, 1, missed(raw))


def missed(raw: bytes) -> bytes:
    """The same header with a nonce that misses regtest's target."""
    for nonce in range(100):
        spoiled = raw[:76] + nonce.to_bytes(4, "little")
        if double_sha256(spoiled)[31] > 0x7F:
            return spoiled
    raise AssertionError


def test_a_broken_link_and_a_stale_time():
    rows = [grind_raw(time_s=100)]
    while len(rows) < 12:
        rows.append(grind_raw(previous=double_sha256(rows[-1]), time_s=100 + len(rows)))
    verify_headers(REGTEST, 5, b"".join(rows))
    with pytest.raises(BrokenHeaders, match="block 8 names"):
        verify_headers(REGTEST, 5, b"".join([*rows[:3], *rows[4:]]))
    previous = double_sha256(rows[-2])
    for time_s, good in ((104, False), (105, False), (106, True)):  # the median is 105
        last = grind_raw(previous=previous, time_s=time_s)
        if good:
            verify_headers(REGTEST, 5, b"".join([*rows[:-1], last]))
            continue
        with pytest.raises(BadBlockTime, match=f"block 16 is of {time_s}, not after the median"):
            verify_headers(REGTEST, 5, b"".join([*rows[:-1], last]))
    other = grind_raw(previous=double_sha256(rows[-1]), time_s=200, bits=0x207FFFFE)
    with pytest.raises(BadDifficulty):
        verify_headers(REGTEST, 5, b"".join([*rows, other]))


@pytest.mark.parametrize("height", [-1, 2**31 - 1, 2**31])
def test_heights_out_of_range(height):
    with pytest.raises(InvalidHeader, match="out of range"):
        verify_headers(REGTEST, height, grind_raw())


@pytest.mark.parametrize("size", [0, 1, 79, 81, 161])
def test_runs_are_whole_headers(size):
    with pytest.raises(InvalidHeader, match="no run"):
        verify_headers(REGTEST, 1, bytes(size))


@pytest.mark.parametrize("size", [0, 79, 81])
def test_headers_have_eighty_bytes(size):
    with pytest.raises(InvalidHeader):
        parse_header(bytes(size))


def test_networks_by_name():
    assert [network_by_name(n.name) for n in (MAINNET, SIGNET, REGTEST)] == [
        MAINNET,
        SIGNET,
        REGTEST,
    ]
    assert [n.is_test for n in (MAINNET, SIGNET, REGTEST)] == [False, True, True]
    with pytest.raises(WrongNetwork):
        network_by_name("main")
