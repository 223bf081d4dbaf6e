"""Consensus-critical: block headers, their work, their linkage and the retarget rule.

A header proves that somebody spent hashes on it. How many is what its own `bits` say, so a lone
header is worth what an attacker would pay to forge it: `Network.work_min` refuses headers easier
than any block of the last years, `verify_headers` holds difficulty constant within a period of 2016
blocks, checks the retarget formula where a run covers the whole period before a boundary, and
otherwise that the step is one a retarget can make (a factor of four at most).

Not covered: that a run belongs to the heaviest chain (compare a hash with any node or explorer),
signet's block signatures, and the min-difficulty exceptions of testnets, which we do not support.
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
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
_FIELDS: Final = struct.Struct("<4x32s32xII4x")
"""Previous hash, time and bits: what a run is checked for besides its hashes."""
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


def work_of(target: int) -> int:
    """The hashes it takes on average to meet a target."""
    return (1 << 256) // (target + 1)


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


@dataclass(frozen=True, slots=True, kw_only=True)
class HeaderRun:
    """Consecutive headers that hold: the first at `height`, all their hashes, the last's target.

    `work` is the hashes that they stand for together (Bitcoin Core's chainwork of this stretch).
    """

    height: int
    first: Header
    hashes: tuple[bytes, ...]
    last_bits: int
    work: int

    @property
    def tip_height(self) -> int:
        """The height of the last header."""
        return self.height + len(self.hashes) - 1


def verify_headers(network: Network, height: int, raw: bytes) -> HeaderRun:
    """Check consecutive headers of 80 bytes each, joined, the first of them at `height`.

    Linkage, work, the target of each period and the median of times are held. A retarget is held
    exactly if the run has the whole period before it, and else to the factor that bounds it; a
    median if eleven headers stand before. A year of mainnet (4.2 MB) takes a fifth of a second.

    Raises BadWork, BrokenHeaders, BadDifficulty, BadBlockTime or InvalidHeader.
    """
    count, rest = divmod(len(raw), HEADER_BYTES)
    if rest or not count:
        raise InvalidHeader(f"{len(raw)} bytes are no run of {HEADER_BYTES}-byte headers")
    if not 0 <= height <= HEIGHT_MAX - count:
        raise InvalidHeader(f"height {height} out of range")
    first = parse_header(raw[:HEADER_BYTES])
    hashes: list[bytes] = []
    times: list[int] = []
    bits, work = first.bits, 0
    while len(hashes) < count:
        begin = len(hashes)
        if begin:
            bits = _bits_at(raw, begin)
            _check_bits(network, height + begin, times, _bits_at(raw, begin - 1), bits)
        target = _check_target(network, bits)
        end = min(count, begin + PERIOD_BLOCKS - (height + begin) % PERIOD_BLOCKS)
        _walk(raw, range(begin, end), height, target, hashes, times)
        work += (end - begin) * work_of(target)
    return HeaderRun(height=height, first=first, hashes=tuple(hashes), last_bits=bits, work=work)


def _walk(
    raw: bytes, part: range, height: int, target: int, hashes: list[bytes], times: list[int]
) -> None:
    """Check headers of one period and append their hashes and times: the loop that must be fast."""
    unpack = _FIELDS.unpack_from
    bits = _bits_at(raw, part.start)
    latest_s = max(times, default=-1)
    before = hashes[-1] if hashes else raw[4:36]
    for at in part:
        start = at * HEADER_BYTES
        previous, time_s, own_bits = unpack(raw, start)
        digest = sha256(sha256(raw[start : start + HEADER_BYTES]).digest()).digest()
        if previous != before:
            raise BrokenHeaders(
                f"block {height + at} names {display(previous)} "
                f"as the one before it, not {display(before)}"
            )
        if own_bits != bits:
            raise BadDifficulty(f"target {bits:08x} became {own_bits:08x} at block {height + at}")
        if int.from_bytes(digest, "little") > target:
            raise BadWork(f"block {display(digest)} does not meet its target {bits:08x}")
        if time_s > latest_s:
            latest_s = time_s  # later than all before is later than their median
        elif at >= MEDIAN_BLOCKS:
            _check_time(height + at, times[-MEDIAN_BLOCKS:], time_s)
        times.append(time_s)
        hashes.append(digest)
        before = digest


def _bits_at(raw: bytes, at: int) -> int:
    bits: int = _FIELDS.unpack_from(raw, at * HEADER_BYTES)[2]
    return bits


def _check_target(network: Network, bits: int) -> int:
    """Return the target that `bits` stand for, one that the network allows."""
    target = target_of(bits)
    if target > target_of(network.pow_limit_bits):
        raise BadWork(f"target {bits:08x} is easier than {network.name} allows")
    if work_of(target) < network.work_min:
        raise BadWork(f"worth {work_of(target)} hashes, at least {network.work_min} are expected")
    return target


def _check_bits(
    network: Network, height: int, times: Sequence[int], before: int, bits: int
) -> None:
    """The target of a period's first block, after blocks of these times and that target."""
    if not network.retargets:
        expected = before
    elif len(times) >= PERIOD_BLOCKS:
        expected = next_bits(network, before, times[-PERIOD_BLOCKS], times[-1])
    else:
        easiest = next_bits(network, before, 0, PERIOD_S * RETARGET_FACTOR_MAX)
        hardest = next_bits(network, before, 0, 0)
        if not target_of(hardest) <= target_of(bits) <= target_of(easiest):
            raise BadDifficulty(
                f"target {before:08x} became {bits:08x} at block {height}: "
                f"more than a factor of {RETARGET_FACTOR_MAX}"
            )
        return
    if bits != expected:
        raise BadDifficulty(
            f"target {before:08x} became {bits:08x} at block {height}, expected {expected:08x}"
        )


def _check_time(height: int, window: Sequence[int], time_s: int) -> None:
    median_s = sorted(window)[MEDIAN_BLOCKS // 2]
    if time_s <= median_s:
        raise BadBlockTime(
            f"block {height} is of {time_s}, not after the median {median_s} before it"
        )
