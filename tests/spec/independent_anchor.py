"""The chain of Bitcoin transactions, verified from docs/spec/anchor.md alone, with struct and SHA-256."""

import hashlib
import struct
from statistics import median_low

from coincurve import PublicKey, PublicKeyXOnly

MONEY = 2100000000000000
NETWORKS = {  # limit of the target, minimum of work, retargets
    "mainnet": (0x1D00FFFF, 2**72, True),
    "signet": (0x1E0377AE, 1, True),
    "regtest": (0x207FFFFF, 1, False),
}


class Fail(Exception):
    def __init__(self, message, verdict="BROKEN"):
        super().__init__(message)
        self.verdict = verdict


def need(condition, message, verdict="BROKEN"):
    if not condition:
        raise Fail(message, verdict)


def sha(*parts):
    return hashlib.sha256(b"".join(parts)).digest()


def hash256(*parts):
    return sha(sha(*parts))


def tagged(tag, *parts):
    prefix = sha(tag.encode())
    return sha(prefix, prefix, *parts)


# ---- records --------------------------------------------------------------------------------


def fields(value, **kinds):
    need(type(value) is dict and set(value) == set(kinds), "keys of a record")
    for name, kind in kinds.items():
        need(type(value[name]) in kind, name)
    return [value[name] for name in kinds]


def is_uint(value, most):
    return type(value) is int and 0 <= value <= most


def check_output(value):
    need(type(value) is list and len(value) == 2 and type(value[1]) is bytes, "output")
    need(is_uint(value[0], MONEY), "amount")
    return tuple(value)


def parse_opening(value):
    none = type(None)
    network, outpoint, sat, recovery = fields(
        value, network=[str], outpoint=[list], seal_sat=[int], recovery=[list, none]
    )
    need(network in NETWORKS and len(outpoint) == 2, "network or outpoint")
    need(type(outpoint[0]) is bytes and len(outpoint[0]) == 32, "txid")
    need(is_uint(outpoint[1], 2**32 - 1) and 330 <= sat <= MONEY, "index or amount")
    if recovery is not None:
        recovery = check_output(recovery)
        need(recovery[0] >= 330 and len(recovery[1]) == 34, "recovery")
    return network, tuple(outpoint), sat, recovery


class Link:
    def __init__(self, value, network):
        raw, spent, index, siblings, self.height, headers = fields(
            value,
            transaction=[bytes],
            spent=[list],
            index=[int],
            siblings=[list],
            height=[int],
            headers=[bytes],
        )
        self.transaction = Transaction(raw)
        self.spent = [check_output(item) for item in spent]
        need(len(siblings) <= 15 and 0 <= index < 1 << len(siblings), "index")
        need(all(type(item) is bytes and len(item) == 32 for item in siblings), "sibling")
        count, rest = divmod(len(headers), 80)
        need(rest == 0 and 1 <= count <= 2016, "headers")
        need(self.height >= 1 and self.height + count <= 2**31 - 1, "height")
        self.headers = [Header(headers[80 * i : 80 * i + 80]) for i in range(count)]
        check_run(self.headers, self.height, network)
        node = self.transaction.txid
        for sibling in siblings:
            need(not index & 1 or sibling != node, "node twice")
            node = hash256(sibling, node) if index & 1 else hash256(node, sibling)
            index >>= 1
        need(node == self.headers[0].merkle_root, "path")


# ---- transaction ----------------------------------------------------------------------------


class Transaction:
    def __init__(self, raw):
        need(len(raw) <= 100000, "transaction too long")
        self.raw, self.at = raw, 0
        self.version = self.take(4)
        segwit = raw[4:6] == b"\x00\x01"
        if segwit:
            self.at = 6
        start = self.at
        self.inputs = [self.input() for _ in range(self.size())]
        self.outputs = [self.output() for _ in range(self.size())]
        stop = self.at
        self.witness = [[]] * len(self.inputs)
        if segwit:
            self.witness = [self.items() for _ in self.inputs]
            need(any(self.witness), "marker without a witness")
        self.lock_time = self.take(4)
        need(self.at == len(raw) and self.inputs and self.outputs, "transaction")
        need(len({item[0] for item in self.inputs}) == len(self.inputs), "spent twice")
        need(sum(value for value, _ in self.outputs) <= MONEY, "sum of outputs")
        stripped = self.version + raw[start:stop] + self.lock_time
        need(len(stripped) != 64, "64 bytes")
        self.txid = hash256(stripped)

    def take(self, length):
        need(self.at + length <= len(self.raw), "transaction is cut")
        self.at += length
        return self.raw[self.at - length : self.at]

    def size(self):
        first = self.take(1)[0]
        if first < 0xFD:
            return first
        width = {0xFD: 2, 0xFE: 4, 0xFF: 8}[first]
        value = int.from_bytes(self.take(width), "little")
        need(value >= {2: 0xFD, 4: 1 << 16, 8: 1 << 32}[width], "length not minimal")
        return value

    def input(self):
        outpoint = self.take(32), int.from_bytes(self.take(4), "little")
        return outpoint, self.take(self.size()), self.take(4)

    def output(self):
        value = int.from_bytes(self.take(8), "little", signed=True)
        need(0 <= value <= MONEY, "amount")
        return value, self.take(self.size())

    def items(self):
        return [self.take(self.size()) for _ in range(self.size())]


def with_size(script):
    size = len(script)
    if size < 0xFD:
        return bytes([size]) + script
    return (b"\xfd" + struct.pack("<H", size) if size < 1 << 16 else b"\xfe" + struct.pack("<I", size)) + script  # fmt: skip


def tap_sighash(transaction, spent):
    """BIP-341, input 0, key path, SIGHASH_DEFAULT, no annex."""
    outpoints = [txid + struct.pack("<I", index) for (txid, index), _, _ in transaction.inputs]
    amounts = [struct.pack("<q", value) for value, _ in spent]
    outputs = [
        struct.pack("<q", value) + with_size(script) for value, script in transaction.outputs
    ]
    return tagged(
        "TapSighash",
        b"\x00\x00" + transaction.version + transaction.lock_time,
        sha(*outpoints),
        sha(*amounts),
        sha(*[with_size(script) for _, script in spent]),
        sha(*[sequence for _, _, sequence in transaction.inputs]),
        sha(*outputs),
        b"\x00" + bytes(4),
    )


# ---- headers --------------------------------------------------------------------------------


class Header:
    def __init__(self, raw):
        self.previous, self.merkle_root = raw[4:36], raw[36:68]
        self.time, self.bits, _ = struct.unpack("<III", raw[68:])
        self.hash = hash256(raw)
        self.target = target(self.bits)


def target(bits):
    shift = 8 * ((bits >> 24) - 3)
    mantissa = bits & 0x7FFFFF
    found = mantissa << shift if shift >= 0 else mantissa >> -shift
    need(not bits & 0x800000 and 0 < found < 1 << 256, "bits")
    return found


def compact(value):
    exponent = (value.bit_length() + 7) // 8
    mantissa = value << 8 * (3 - exponent) if exponent <= 3 else value >> 8 * (exponent - 3)
    if mantissa & 0x800000:
        mantissa, exponent = mantissa >> 8, exponent + 1
    return exponent << 24 | mantissa


def check_run(headers, height, network):
    limit_bits, work_min, retargets = NETWORKS[network]
    limit = target(limit_bits)
    for header in headers:
        need(header.target <= limit and (1 << 256) // (header.target + 1) >= work_min, "work")
        need(int.from_bytes(header.hash, "little") <= header.target, "hash above target")
    for n in range(1, len(headers)):
        before, header = headers[n - 1], headers[n]
        need(header.previous == before.hash, "headers do not link")
        if (height + n) % 2016 or not retargets:
            need(header.bits == before.bits, "bits changed")
        else:
            low, high = compact(before.target // 4), compact(min(limit, 4 * before.target))
            need(target(low) <= header.target <= target(high), "retarget")
        if n >= 11:
            median = median_low(item.time for item in headers[n - 11 : n])
            need(header.time > median, "median time")


# ---- the chain ------------------------------------------------------------------------------


def seal_key(internal, soul_sha256):
    leaf = tagged("TapLeaf", b"\xc0\x22\x6a\x20" + soul_sha256)
    point = PublicKey(b"\x02" + internal).add(tagged("TapTweak", internal, leaf))
    return point.format()[1:]


def check_commitment(transaction, kind, digest):
    script = transaction.outputs[0][1]
    need(script == b"\x6a\x24TMY" + bytes([kind]) + digest, "commitment")
    for _, other in transaction.outputs[1:]:
        need(other[:1] != b"\x6a" or b"TMY" not in other, "second commitment")


def verify_chain(opening, values, digests, genesis):
    """The confirmations of each link."""
    network, outpoint, seal_sat, recovery = opening
    need(network == genesis["network"], "network")
    need(1 <= len(values) == len(digests) <= 100000, "links")
    need(
        recovery is None or recovery[1] == b"\x51\x20" + genesis["recovery_output_key"], "recovery"
    )
    key = seal_key(genesis["keys"]["seal"], genesis["soul"]["sha256"])
    seal = (seal_sat, b"\x51\x20" + key)
    links = []
    for value, digest in zip(values, digests, strict=True):
        link = Link(value, network)
        transaction = link.transaction
        check_commitment(transaction, 1 if links else 0, digest)
        need(transaction.outputs[1:2] == [seal], "next seal")
        if links:
            check_spend(link, links[-1], seal, key)
        else:
            need(recovery is None or transaction.outputs[2:3] == [recovery], "recovery seal")
            need(not link.spent and transaction.inputs[0][0] == outpoint, "opening")
        links.append(link)
    return confirmations(links, NETWORKS[network][2])


def check_spend(link, before, seal, key):
    transaction = link.transaction
    spends, script_sig, _ = transaction.inputs[0]
    need(spends == (before.transaction.txid, 1) and script_sig == b"", "does not spend the seal")
    witness = transaction.witness[0]
    need(len(witness) == 1 and len(witness[0]) == 64, "witness")
    need(len(link.spent) == len(transaction.inputs) - 1, "spent outputs")
    digest = tap_sighash(transaction, [seal, *link.spent])
    need(PublicKeyXOnly(key).verify(witness[0], digest), "signature of the seal")


def confirmations(links, retargets):
    blocks, bits, seen = {}, {}, set()
    for before, link in zip([links[0], *links], links, strict=False):
        need(link.height >= before.height, "heights go down")
        for height, header in enumerate(link.headers, link.height):
            for at, block in ((height, header.hash), (height - 1, header.previous)):
                need(blocks.setdefault(at, block) == block, "two blocks at one height")
            period = height // 2016 if retargets else 0
            need(bits.setdefault(period, header.bits) == header.bits, "two targets")
            seen.add(height)
    return [run_from(link.height, seen) for link in links]


def run_from(height, seen):
    length = 0
    while height + length in seen:
        length += 1
    return length
