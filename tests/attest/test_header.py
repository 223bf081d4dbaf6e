"""Mainnet's own headers, the retarget rule, and every way a run can be wrong."""

import json
from dataclasses import replace
from pathlib import Path

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
    bits_of,
    check_work,
    network_by_name,
    next_bits,
    parse_header,
    target_of,
    verify_run,
)
from attest.core.transaction import display
from tests.attest.forge import grind

VECTORS = Path(__file__).parents[1] / "vectors/bitcoin"
RAW = (VECTORS / "mainnet-headers/headers-0-2031.bin").read_bytes()
FIRST = [parse_header(RAW[i : i + HEADER_BYTES]) for i in range(0, len(RAW), HEADER_BYTES)]
RETARGET = json.loads((VECTORS / "spv/headersWithRetarget.json").read_text())
EARLY = replace(MAINNET, work_min=1)
"""Mainnet as it was in 2009: the floor for seals is of 2017."""


def from_vector(entry):
    return parse_header(bytes.fromhex(entry["hex"].removeprefix("0x")))


def test_the_first_2032_headers_of_mainnet():
    assert display(FIRST[0].hash).startswith("000000000019d6689c085ae165831e93")
    verify_run(EARLY, 0, FIRST)
    assert next_bits(EARLY, FIRST[0].bits, FIRST[0].time_s, FIRST[2015].time_s) == FIRST[2016].bits


def test_mainnet_of_2009_is_no_place_for_a_seal():
    with pytest.raises(BadWork, match="4295032833 hashes"):
        verify_run(MAINNET, 0, FIRST[:1])


def test_a_retarget_of_2018():
    chain = [from_vector(RETARGET["genesis"]), *map(from_vector, RETARGET["chain"])]
    height = RETARGET["genesis"]["height"]
    verify_run(MAINNET, height, chain)
    boundary = -height % PERIOD_BLOCKS
    old, before, after = (
        from_vector(RETARGET["oldPeriodStart"]),
        chain[boundary - 1],
        chain[boundary],
    )
    assert before.bits != after.bits
    assert next_bits(MAINNET, old.bits, old.time_s, before.time_s) == after.bits
    # One block off, and the same headers break the rule that bits stay within a period.
    with pytest.raises(BadDifficulty):
        verify_run(MAINNET, height + 1, chain)


def test_a_wrong_target_after_a_whole_period():
    # Regtest's work with mainnet's rule: 2016 headers are ground in a blink.
    easy = replace(REGTEST, retargets=True)
    headers = [grind(time_s=1_700_000_000)]
    while len(headers) < PERIOD_BLOCKS:
        headers.append(grind(previous=headers[-1].hash, time_s=headers[-1].time_s + 300))
    expected = next_bits(easy, REGTEST.pow_limit_bits, headers[0].time_s, headers[-1].time_s)
    assert target_of(expected) < target_of(REGTEST.pow_limit_bits) * 0.51
    good = grind(previous=headers[-1].hash, time_s=headers[-1].time_s + 300, bits=expected)
    verify_run(easy, PERIOD_BLOCKS * 7, [*headers, good])
    bad = grind(previous=headers[-1].hash, time_s=headers[-1].time_s + 300)
    with pytest.raises(BadDifficulty, match="expected"):
        verify_run(easy, PERIOD_BLOCKS * 7, [*headers, bad])
    # With less than the period in view only the factor of four can be held against it.
    verify_run(easy, PERIOD_BLOCKS * 8 - 1, [headers[-1], bad])
    leap = bits_of(target_of(REGTEST.pow_limit_bits) // 5)
    jump = grind(previous=headers[-1].hash, time_s=headers[-1].time_s + 300, bits=leap)
    with pytest.raises(BadDifficulty, match="factor of 4"):
        verify_run(easy, PERIOD_BLOCKS * 8 - 1, [headers[-1], jump])


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
    check_work(REGTEST, grind())
    with pytest.raises(BadWork, match="easier than signet allows"):
        check_work(SIGNET, grind())
    nonce = grind().nonce
    missed = replace(grind(), nonce=nonce, hash=b"\xff" * 32)
    with pytest.raises(BadWork, match="does not meet"):
        check_work(REGTEST, missed)


def test_a_broken_link_and_a_stale_time():
    headers = [grind(time_s=100)]
    while len(headers) < 12:
        headers.append(grind(previous=headers[-1].hash, time_s=100 + len(headers)))
    verify_run(REGTEST, 5, headers)
    with pytest.raises(BrokenHeaders):
        verify_run(REGTEST, 5, [*headers[:3], *headers[4:]])
    stale = grind(previous=headers[-2].hash, time_s=sorted(h.time_s for h in headers[:11])[5])
    with pytest.raises(BadBlockTime):
        verify_run(REGTEST, 5, [*headers[:-1], stale])
    other = grind(previous=headers[-1].hash, time_s=200, bits=0x207FFFFE)
    with pytest.raises(BadDifficulty):
        verify_run(REGTEST, 5, [*headers, other])


@pytest.mark.parametrize("height", [-1, 2**31])
def test_heights_out_of_range(height):
    with pytest.raises(InvalidHeader, match="out of range"):
        verify_run(REGTEST, height, [grind()])


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
