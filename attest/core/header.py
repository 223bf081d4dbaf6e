"""Consensus-critical: block headers, their work, their linkage and the retarget rule.

A header proves that somebody spent hashes on it. How many is what its own `bits` say, so a lone
header is worth what an attacker would pay to forge it: `Network.work_min` refuses headers easier
than any block of the last years, `verify_run` holds difficulty constant within a period of 2016
blocks, checks the retarget formula where a run covers the whole period before a boundary, and
otherwise that the step is one a retarget can make (a factor of four at most).

Not covered: that a run belongs to the heaviest chain (compare a hash with any node or explorer),
signet's block signatures, and the min-difficulty exceptions of testnets, which we do not support.
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from attest.core.errors import (
    BadBlockTime,
    BadDifficulty,
    BadWork,
    BrokenHeaders,
    InvalidHeader,
    WrongNetwork,
)
from attest.core.transaction import display, double_sha256

HEADER_BYTES: Final = 80
PERIOD_BLOCKS: Final = 2016
PERIOD_S: Final = 14 * 24 * 60 * 60
RETARGET_FACTOR_MAX: Final = 4
MEDIAN_BLOCKS: Final = 11
HEIGHT_MAX: Final = 2**31 - 1
_LAYOUT: Final = struct.Struct("<i32s32sIII")
_MANTISSA_MASK: Final = 0x7FFFFF
_SIGN_BIT: Final = 0x800000


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """The consensus parameters a verifier needs (Bitcoin Core, kernel/chainparams.cpp)."""

    name: str
    core_name: str
    address_hrp: str
    pow_limit_bits: int
    retargets: bool
    work_min: int
    """Hashes a header must stand for at least."""

    @property
    def is_test(self) -> bool:
        """True where blocks cost nothing or are signed by one party: proofs show nothing."""
        return self.name != MAINNET.name


MAINNET: Final = Network(
    name="mainnet",
    core_name="main",
    address_hrp="bc",
    pow_limit_bits=0x1D00FFFF,
    retargets=True,
    # Passed in autumn 2017 and never seen again; a hundredth of a block's work in 2026. Seals are
    # younger than that, so anything easier was made to deceive.
    work_min=2**72,
)
SIGNET: Final = Network(
    name="signet",
    core_name="signet",
    address_hrp="tb",
    pow_limit_bits=0x1E0377AE,
    retargets=True,
    work_min=1,
)
REGTEST: Final = Network(
    name="regtest",
    core_name="regtest",
    address_hrp="bcrt",
    pow_limit_bits=0x207FFFFF,
    retargets=False,
    work_min=1,
)


def network_by_name(name: str) -> Network:
    """Return the parameters of `mainnet`, `signet` or `regtest`. Raises WrongNetwork."""
    for network in (MAINNET, SIGNET, REGTEST):
        if network.name == name:
            return network
    raise WrongNetwork(f"no network {name!r}", hint="one of mainnet, signet, regtest")


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """A block header; hashes in internal byte order, `time_s` in Unix seconds."""

    version: int
    previous: bytes
    merkle_root: bytes
    time_s: int
    bits: int
    nonce: int
    hash: bytes

    @property
    def work(self) -> int:
        """The hashes it takes on average to meet this target."""
        return (1 << 256) // (target_of(self.bits) + 1)


def parse_header(raw: bytes) -> Header:
    """Return the header of 80 bytes. Raises InvalidHeader for another length."""
    if len(raw) != HEADER_BYTES:
        raise InvalidHeader(f"{len(raw)} bytes, expected {HEADER_BYTES}")
    version, previous, merkle_root, time_s, bits, nonce = _LAYOUT.unpack(raw)
    return Header(
        version=version,
        previous=previous,
        merkle_root=merkle_root,
        time_s=time_s,
        bits=bits,
        nonce=nonce,
        hash=double_sha256(raw),
    )


def target_of(bits: int) -> int:
    """Expand the compact target. Raises InvalidHeader if negative, zero or over 256 bits."""
    exponent, mantissa = bits >> 24, bits & _MANTISSA_MASK
    if bits & _SIGN_BIT or not mantissa:
        raise InvalidHeader(f"bits {bits:08x} are not a positive target")
    shift = 8 * (exponent - 3)
    target = mantissa << shift if shift >= 0 else mantissa >> -shift
    if not 0 < target < 1 << 256:
        raise InvalidHeader(f"bits {bits:08x} are not a target of 256 bits")
    return target


def bits_of(target: int) -> int:
    """Compress a target as Bitcoin does: the sign bit is never set."""
    size = (target.bit_length() + 7) // 8
    shift = 8 * (size - 3)
    mantissa = target >> shift if shift >= 0 else target << -shift
    if mantissa & _SIGN_BIT:
        mantissa >>= 8
        size += 1
    return size << 24 | mantissa


def next_bits(network: Network, bits: int, first_time_s: int, last_time_s: int) -> int:
    """The target after a period whose first and last blocks carry these times.

    The span is that of 2015 intervals, measured against 2016: an error as old as Bitcoin.
    """
    if not network.retargets:
        return bits
    span_s = min(
        max(last_time_s - first_time_s, PERIOD_S // RETARGET_FACTOR_MAX),
        PERIOD_S * RETARGET_FACTOR_MAX,
    )
    limit = target_of(network.pow_limit_bits)
    return bits_of(min(limit, target_of(bits) * span_s // PERIOD_S))


def check_work(network: Network, header: Header) -> None:
    """Raise BadWork unless the hash meets a target that the network allows."""
    target = target_of(header.bits)
    if target > target_of(network.pow_limit_bits):
        raise BadWork(f"target {header.bits:08x} is easier than {network.name} allows")
    if header.work < network.work_min:
        raise BadWork(f"worth {header.work} hashes, at least {network.work_min} are expected")
    if int.from_bytes(header.hash, "little") > target:
        raise BadWork(f"block {display(header.hash)} does not meet its target {header.bits:08x}")


def verify_run(network: Network, height: int, headers: Sequence[Header]) -> None:
    """Check consecutive headers, the first of them at `height`.

    Raises BadWork, BrokenHeaders, BadDifficulty, BadBlockTime or InvalidHeader.
    """
    if not 0 <= height <= HEIGHT_MAX - len(headers):
        raise InvalidHeader(f"height {height} out of range")
    for header in headers:
        check_work(network, header)
    for offset, (before, after) in enumerate(pairwise(headers), start=1):
        if after.previous != before.hash:
            raise BrokenHeaders(
                f"block {height + offset} names {display(after.previous)} "
                f"as the one before it, not {display(before.hash)}"
            )
        _check_bits(network, height + offset, headers, offset)
        if offset >= MEDIAN_BLOCKS:
            _check_time(height + offset, headers[offset - MEDIAN_BLOCKS : offset], after)


def _check_bits(network: Network, height: int, headers: Sequence[Header], offset: int) -> None:
    before, bits = headers[offset - 1], headers[offset].bits
    if height % PERIOD_BLOCKS or not network.retargets:
        if bits != before.bits:
            raise BadDifficulty(f"target {before.bits:08x} became {bits:08x} at block {height}")
        return
    if offset >= PERIOD_BLOCKS:
        first = headers[offset - PERIOD_BLOCKS]
        expected = next_bits(network, before.bits, first.time_s, before.time_s)
        if bits != expected:
            raise BadDifficulty(f"target {bits:08x} at block {height}, expected {expected:08x}")
        return
    easiest = next_bits(network, before.bits, 0, PERIOD_S * RETARGET_FACTOR_MAX)
    hardest = next_bits(network, before.bits, 0, 0)
    if not target_of(hardest) <= target_of(bits) <= target_of(easiest):
        raise BadDifficulty(
            f"target {before.bits:08x} became {bits:08x} at block {height}: "
            f"more than a factor of {RETARGET_FACTOR_MAX}"
        )


def _check_time(height: int, window: Sequence[Header], header: Header) -> None:
    median_s = sorted(entry.time_s for entry in window)[MEDIAN_BLOCKS // 2]
    if header.time_s <= median_s:
        raise BadBlockTime(
            f"block {height} is of {header.time_s}, not after the median {median_s} before it"
        )
