"""A run of headers checked straight from the rules, one after the other: twin of verify_headers."""

from dataclasses import dataclass

from attest.core.errors import BadBlockTime, BadDifficulty, BadWork, BrokenHeaders, InvalidHeader
from attest.core.header import Header, Network, bits_of, parse_header, target_of

PERIOD = 2016
FORTNIGHT_S = 14 * 24 * 3600


@dataclass
class Verdict:
    """`error` and the offset of the header it is about, or the sum of work."""

    error: type[InvalidHeader] | type[BrokenHeaders] | None = None
    offset: int = 0
    work: int = 0


def judge(network: Network, height: int, raw: bytes) -> Verdict:
    headers = [parse_header(raw[at : at + 80]) for at in range(0, len(raw), 80)]
    work = 0
    for offset, header in enumerate(headers):
        error = one(network, height + offset, headers[:offset], header)
        if error is not None:
            return Verdict(error, offset)
        work += 2**256 // (target_of(header.bits) + 1)
    return Verdict(work=work)


def one(network: Network, height: int, before: list[Header], header: Header):
    """What is wrong with a header after those; in the order of the rules in docs/spec/anchor.md."""
    try:
        target = target_of(header.bits)
    except InvalidHeader:
        # The bits of a block inside a period are compared, never expanded.
        return BadDifficulty if before and within(network, height) else InvalidHeader
    if before:
        if header.previous != before[-1].hash:
            return BrokenHeaders
        if not fits(network, height, before, header):
            return BadDifficulty
    limit = target_of(network.pow_limit_bits)
    if target > limit or 2**256 // (target + 1) < network.work_min:
        return BadWork
    if int.from_bytes(header.hash, "little") > target:
        return BadWork
    if len(before) >= 11:
        times = sorted(h.time_s for h in before[-11:])
        if header.time_s <= times[5]:
            return BadBlockTime
    return None


def within(network: Network, height: int) -> bool:
    return bool(height % PERIOD) or not network.retargets


def fits(network: Network, height: int, before: list[Header], header: Header) -> bool:
    last = before[-1]
    if within(network, height):
        return header.bits == last.bits
    old, limit = target_of(last.bits), target_of(network.pow_limit_bits)
    if len(before) >= PERIOD:
        span_s = last.time_s - before[-PERIOD].time_s
        span_s = max(FORTNIGHT_S // 4, min(FORTNIGHT_S * 4, span_s))
        return header.bits == bits_of(min(limit, old * span_s // FORTNIGHT_S))
    low, high = bits_of(old // 4), bits_of(min(limit, old * 4))
    return target_of(low) <= target_of(header.bits) <= target_of(high)
