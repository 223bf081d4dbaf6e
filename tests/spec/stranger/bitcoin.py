"""Transactions, header runs and the Taproot spend of a seal (anchor.md)."""

from dataclasses import dataclass

import coincurve

from tests.spec.stranger.codec import Refusal, demand, sha256, tagged, verifies

TRANSACTION_MAX = 100000
MONEY_MAX = 2100000000000000
PERIOD = 2016
MEDIAN = 11
LIMIT_BITS = {"mainnet": 0x1D00FFFF, "signet": 0x1E0377AE, "regtest": 0x207FFFFF}
WORK_MIN = {"mainnet": 2**72, "signet": 1, "regtest": 1}
Output = tuple[int, bytes]


def hash256(data: bytes) -> bytes:
    return sha256(sha256(data))


def varint(number: int) -> bytes:
    if number < 0xFD:
        return bytes([number])
    if number < 2**16:
        return b"\xfd" + number.to_bytes(2, "little")
    if number < 2**32:
        return b"\xfe" + number.to_bytes(4, "little")
    return b"\xff" + number.to_bytes(8, "little")


@dataclass(slots=True)
class Cursor:
    data: bytes
    at: int = 0

    def take(self, count: int) -> bytes:
        demand(self.at + count <= len(self.data), "seal", "transaction ends early")
        self.at += count
        return self.data[self.at - count : self.at]

    def varint(self) -> int:
        first = self.take(1)[0]
        if first < 0xFD:
            return first
        number = int.from_bytes(self.take(1 << (first - 0xFC)), "little")
        width = 1 + (1 << (first - 0xFC))
        demand(len(varint(number)) == width, "seal", "length not in its shortest form")
        return number

    def blob(self) -> bytes:
        return self.take(self.varint())


@dataclass(frozen=True, slots=True, kw_only=True)
class Input:
    outpoint: bytes  # txid and index, 36 bytes as in the serialisation
    script: bytes
    sequence: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Transaction:
    version: bytes
    inputs: list[Input]
    outputs: list[Output]
    witness: list[list[bytes]]
    lock_time: bytes

    @property
    def txid(self) -> bytes:
        return hash256(self.without_witness())

    def without_witness(self) -> bytes:
        inputs = [one.outpoint + blob(one.script) + one.sequence for one in self.inputs]
        outputs = [serialised(one) for one in self.outputs]
        parts = [varint(len(inputs)), *inputs, varint(len(outputs)), *outputs]
        return self.version + b"".join(parts) + self.lock_time


def blob(data: bytes) -> bytes:
    return varint(len(data)) + data


def serialised(output: Output) -> bytes:
    return output[0].to_bytes(8, "little") + blob(output[1])


def parse_transaction(data: bytes) -> Transaction:
    bad = "seal"
    demand(len(data) <= TRANSACTION_MAX, bad, "transaction too long")
    cursor = Cursor(data)
    version = cursor.take(4)
    segwit = data[4:6] == b"\x00\x01"
    if segwit:
        cursor.take(2)
    inputs = []
    for _ in range(cursor.varint()):
        outpoint = cursor.take(36)
        inputs.append(Input(outpoint=outpoint, script=cursor.blob(), sequence=cursor.take(4)))
    outputs: list[Output] = []
    for _ in range(cursor.varint()):
        value = int.from_bytes(cursor.take(8), "little", signed=True)
        demand(0 <= value <= MONEY_MAX, bad, "value of an output")
        outputs.append((value, cursor.blob()))
    witness: list[list[bytes]] = [[] for _ in inputs]
    if segwit:
        witness = [[cursor.blob() for _ in range(cursor.varint())] for _ in inputs]
        demand(any(witness), bad, "marker without a witness")
    lock_time = cursor.take(4)
    demand(cursor.at == len(data), bad, "bytes after the transaction")
    demand(bool(inputs) and bool(outputs), bad, "no input or no output")
    demand(len({one.outpoint for one in inputs}) == len(inputs), bad, "outpoint twice")
    demand(sum(value for value, _ in outputs) <= MONEY_MAX, bad, "sum of outputs")
    parsed = Transaction(
        version=version, inputs=inputs, outputs=outputs, witness=witness, lock_time=lock_time
    )
    demand(len(parsed.without_witness()) != 64, bad, "64 bytes without witness")
    return parsed


def key_path_digest(transaction: Transaction, spent: list[Output], index: int = 0) -> bytes:
    """BIP-341, SIGHASH_DEFAULT, no annex, of the input with that index."""
    inputs = transaction.inputs
    message = b"".join(
        [
            b"\x00\x00",  # epoch of the digest, hash type
            transaction.version,
            transaction.lock_time,
            sha256(b"".join(one.outpoint for one in inputs)),
            sha256(b"".join(value.to_bytes(8, "little") for value, _ in spent)),
            sha256(b"".join(blob(script) for _, script in spent)),
            sha256(b"".join(one.sequence for one in inputs)),
            sha256(b"".join(serialised(one) for one in transaction.outputs)),
            b"\x00",  # key path, no annex
            index.to_bytes(4, "little"),
        ]
    )
    return tagged("TapSighash", message)


def seal_output_key(seal_key: bytes, soul_sha256: bytes) -> bytes:
    script = b"\x6a\x20" + soul_sha256
    leaf = tagged("TapLeaf", b"\xc0" + blob(script))
    try:
        point = coincurve.PublicKey(b"\x02" + seal_key)
        return point.add(tagged("TapTweak", seal_key + leaf)).format(compressed=True)[1:]
    except ValueError as error:
        raise Refusal("seal", "seal key") from error


def spends_by_key(transaction: Transaction, spent: list[Output], index: int) -> bool:
    """Whether input `index` spends a Taproot output by a signature of the key in its script."""
    one, witness = transaction.inputs[index], transaction.witness[index]
    if one.script != b"" or len(witness) != 1 or len(witness[0]) != 64:
        return False
    key = spent[index][1].removeprefix(b"\x51\x20")
    return verifies(key, witness[0], key_path_digest(transaction, spent, index))


def target(bits: int) -> int:
    exponent, mantissa = bits >> 24, bits & 0x7FFFFF
    shift = 8 * (exponent - 3)
    value = mantissa << shift if shift >= 0 else mantissa >> -shift
    demand(not bits & 0x800000 and 0 < value < 2**256, "seal", f"bits {bits:08x}")
    return value


def compact(value: int) -> int:
    size = (value.bit_length() + 7) // 8
    mantissa = value >> (8 * (size - 3)) if size >= 3 else value << (8 * (3 - size))
    if mantissa & 0x800000:
        mantissa, size = mantissa >> 8, size + 1
    return size << 24 | mantissa


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    hash: bytes
    previous: bytes
    merkle_root: bytes
    time: int
    bits: int


def parse_header(data: bytes) -> Header:
    return Header(
        hash=hash256(data),
        previous=data[4:36],
        merkle_root=data[36:68],
        time=int.from_bytes(data[68:72], "little"),
        bits=int.from_bytes(data[72:76], "little"),
    )


def header_run(data: bytes, height: int, network: str) -> list[Header]:
    bad = "seal"
    headers = [parse_header(data[at : at + 80]) for at in range(0, len(data), 80)]
    limit = target(LIMIT_BITS[network])
    for header in headers:
        goal = target(header.bits)
        demand(goal <= limit, bad, "target above the limit")
        demand(2**256 // (goal + 1) >= WORK_MIN[network], bad, "too little work")
        demand(int.from_bytes(header.hash, "little") <= goal, bad, "hash misses its target")
    for i in range(1, len(headers)):
        before, header = headers[i - 1], headers[i]
        demand(header.previous == before.hash, bad, "headers do not link")
        if (height + i) % PERIOD or network == "regtest":
            demand(header.bits == before.bits, bad, "target changes")
        else:
            old = target(before.bits)
            low, high = target(compact(old // 4)), target(compact(min(limit, 4 * old)))
            demand(low <= target(header.bits) <= high, bad, "target changes too much")
        if i >= MEDIAN:
            times = sorted(one.time for one in headers[i - MEDIAN : i])
            demand(header.time > times[MEDIAN // 2], bad, "not later than the median")
    return headers
