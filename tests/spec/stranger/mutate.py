"""Damaged bundles from good and bad ones, by a seed: from a flipped bit to a log made again.

| kind | what is changed | what is made true again |
|---|---|---|
| `bytes` | bytes of the file | nothing |
| `record` | bytes of one record | the closing record |
| `records` | records left out, doubled, moved, taken from another file | the closing record |
| `field` | a value somewhere in a record, in an event's parts or in a note | the closing record |
| `seal` | a value of the seal attachment or a transaction | signatures, Merkle roots, work |
| `log` | values of events | all commitments, signatures, roots and paths |

`mutate_held` damages pairs of a file and what is held beside it.
"""

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from random import Random
from typing import Any

from tests.spec.stranger import remake
from tests.spec.stranger.codec import Refusal, decode, encode, sha256
from tests.spec.stranger.container import frames
from tests.spec.stranger.remake import BYTES_MAX, Log, Parts, Record, closed, remade

KINDS = ("bytes", "record", "records", "field", "field", "field", "seal", "log", "log", "log")
NUMBERS = (0, 1, 2, 3, 4, 5, 6, 7, 50, 330, 2016, 65536, 2**31, 2**32, 2**48, 2**48 + 1, 2**63 - 1)
ODD = (-1, -(2**63), True, False, None, "", "a", b"", bytes(31), bytes(32), bytes(64), [], {}, [1])
CAUSES: tuple[Any, ...] = (
    *([0, bytes(32)], [0, bytes(31)], [0], [7, bytes(32)], [-1, bytes(32)], [True, bytes(32)]),
    *([bytes(32), 0, bytes(32)], [bytes(31), 0, bytes(32)], [None, 0, bytes(32)], {}, 0),
)
KEYS = (
    "content",
    "targets",
    "epoch",
    "kept_size",
    "kept_root",
    "opening",
    "x",
    "signature",
    "events",
    "epochs",
    "successor",
    "proofs",
    "next_key_digest",
)
TYPES = (
    "ledger.redacted",
    "ledger.epoch",
    "soul.handed_off",
    "seal.opened",
    "genesis.born",
    "test.fact",
    "a.b",
    "a",
)


@dataclass(frozen=True, slots=True)
class Source:
    name: str
    data: bytes
    soul: bytes | None
    records: list[Record]


def source(name: str, data: bytes, soul: bytes | None) -> Source:
    try:
        records = [record for _, record in frames(data)][:-1]
    except Refusal:
        records = []  # good for flipped bytes alone
    return Source(name, data, soul, records)


def other(value: object, chance: Random) -> Any:
    """A value to put in the place of another: mostly of its type, near it."""
    if chance.random() < 0.15:
        return copy.deepcopy(chance.choice(ODD))
    if type(value) is int:
        return chance.choice([value + 1, max(value - 1, 0), chance.choice(NUMBERS)])
    if type(value) is bytes:
        if len(value) == 32 and chance.random() < 0.25:
            key = chance.choice(tuple(remake.NAMES))
            return chance.choice([key, sha256(key)])
        at = chance.randrange(len(value)) if value else 0
        flipped = (
            value[:at] + bytes([value[at] ^ 1 << chance.randrange(8)]) + value[at + 1 :]
            if value
            else b"x"
        )
        return chance.choice(
            [flipped, flipped, flipped, value[:-1], value + b"\x00", bytes(len(value))]
        )
    if type(value) is str:
        return chance.choice([*TYPES, value + "x", value[:-1], value.upper(), "regtest", "mainnet"])
    if type(value) is list:
        return _other_list(value, chance)
    if type(value) is dict:
        made = dict(value)
        if made and chance.random() < 0.5:
            del made[chance.choice(sorted(made))]
        else:
            made[chance.choice(KEYS)] = copy.deepcopy(chance.choice((*NUMBERS, *ODD)))
        return made
    return copy.deepcopy(chance.choice((*NUMBERS, *ODD)))


def _other_list(value: list[Any], chance: Random) -> list[Any]:
    made = list(value)
    what = chance.randrange(4)
    if what == 0 and made:
        del made[chance.randrange(len(made))]
    elif what == 1 and made:
        made.insert(chance.randrange(len(made) + 1), copy.deepcopy(chance.choice(made)))
    elif what == 2:
        chance.shuffle(made)
    else:
        made.append(copy.deepcopy(chance.choice((*NUMBERS, *ODD))))
    return made


def changed(value: Any, chance: Random) -> Any:
    """The value with one thing in it replaced, at any depth."""
    inside = isinstance(value, (list, dict)) and len(value) > 0 and chance.random() < 0.8
    if not inside:
        return other(value, chance)
    made = copy.copy(value)
    at = chance.choice(sorted(made)) if isinstance(made, dict) else chance.randrange(len(made))
    made[at] = changed(made[at], chance)
    return made


def _bytes(one: Source, chance: Random) -> bytes:
    data = bytearray(one.data or b"\x00")
    what = chance.randrange(4)
    at = chance.randrange(len(data))
    if what == 0:
        data[at:] = b""
    elif what == 1:
        data[at:at] = data[: chance.randrange(1, 64)]
    else:
        data[at] ^= 1 << chance.randrange(8)
    return bytes(data)


def _record(one: Source, chance: Random) -> bytes:
    made: list[Any] = list(one.records)
    at = chance.randrange(len(made))
    body = bytearray(encode(made[at]))
    body[chance.randrange(len(body))] ^= 1 << chance.randrange(8)
    made[at] = bytes(body)
    return closed(made)


def shuffled(records: list[Record], foreign: list[Record], chance: Random) -> list[Record]:
    made = list(records)
    for _ in range(chance.choice((1, 1, 2, 3))):
        at, to = chance.randrange(len(made)), chance.randrange(len(made))
        what = chance.randrange(6)
        if what == 0 and len(made) > 1:
            del made[at]
        elif what == 1:
            made.insert(to, made[at])
        elif what == 2:
            made[at], made[to] = made[to], made[at]
        elif what == 3 and foreign:
            made.insert(to, chance.choice(foreign))
        elif what == 4 and foreign:
            same = [record for record in foreign if record[0] == made[at][0]]
            made[at] = chance.choice(same) if same else made[at]
        else:
            header = list(made[0])
            if header[0] == "header":
                purpose = chance.choice(("export", "proof", "backup", "salvage"))
                made[0] = ["header", purpose, *header[2:]]
    return made


def _note(note: bytes, chance: Random) -> Any:
    lines = note.decode(errors="replace").split("\n")
    at = chance.randrange(len(lines))
    what = chance.randrange(5)
    if what == 0:
        del lines[at]
    elif what == 1:
        lines.insert(at, chance.choice([*lines, "", "x", "\u2014 a AAAAAAA="]))
    elif what == 2:
        lines[at] += chance.choice(["=", " ", "\r", "0", "\x7f"])
    else:
        return other(note, chance)
    return "\n".join(lines).encode()


def field_of(records: list[Record], chance: Random) -> list[Record]:
    """One field of one record changed; an event's parts may be committed to again."""
    made = list(records)
    at = chance.randrange(len(made))
    record = made[at]
    if record[0] == "event" and chance.random() < 0.7:
        parts = Parts.of(record)
        _change_part(parts, chance)
        made[at] = parts.record(record[1])
    elif record[0] == "checkpoint" and chance.random() < 0.8:
        made[at] = ["checkpoint", _note(record[1], chance)]
    else:
        made[at] = changed(record, chance)
    return made


def _change_part(parts: Parts, chance: Random) -> None:
    what = chance.randrange(10)
    if what < 4:
        parts.payload = changed(parts.payload, chance)
    elif what < 7:
        fields = parts.fields
        at = chance.randrange(len(fields))
        if at == 6 and isinstance(fields[6], list):
            fields[6] = [*fields[6], copy.deepcopy(chance.choice(CAUSES))]
        else:
            fields[at] = chance.choice(TYPES) if at == 1 else changed(fields[at], chance)
    elif what == 7:
        parts.content = changed(parts.content, chance)
    elif what == 8:
        parts.content = parts.content_salt = None
    else:
        parts.salt = other(parts.salt, chance)


def _seal(one: Source, chance: Random) -> bytes:
    made = copy.deepcopy(one.records)
    for record in made:
        if record[:2] == ["attachment", "seal"] and isinstance(record[2], dict):
            _change_seal(record[2], made, chance)
    return closed(made)


def _change_seal(value: dict[str, Any], records: list[Record], chance: Random) -> None:
    links = value.get("links")
    if not isinstance(links, list) or not links or chance.random() < 0.1:
        found = changed(value, chance)
        if isinstance(found, dict):
            value.clear()
            value.update(found)
        return
    link = chance.choice(links)
    if not isinstance(link, dict):
        return
    what = chance.choice(
        ("index", "siblings", "height", "headers", "headers", "transaction", "spent", "kind")
    )
    if what == "kind":
        link["transaction"] = _kind(link.get("transaction", b""), records, chance)
    elif what == "headers":
        link["headers"] = _headers(link.get("headers", b""), chance)
    else:
        link[what] = changed(link.get(what), chance)
    if chance.random() < 0.7:
        try:
            sign = chance.random() < 0.7
            remake.rewoven(links, _soul(records) if sign else None)
        except Exception:
            return  # it is broken deeper than what can be made true


def _soul(records: list[Record]) -> bytes:
    """SHA-256 of the SOUL.md that the genesis among the records names."""
    genesis = [decode(r[4], BYTES_MAX) for r in records if r[:2] == ["event", 0]]
    found: bytes = genesis[0]["soul"]["sha256"]
    return found


def _kind(raw: Any, records: list[Record], chance: Random) -> Any:
    """The transaction with a commitment of another kind, or with a seal of another key."""
    if not isinstance(raw, bytes) or b"TMY" not in raw:
        return raw
    if chance.random() < 0.5:
        seals = list(remake.seal_secrets(_soul(records)))
        here = [script for script in seals if script in raw]
        return raw.replace(chance.choice(here), chance.choice(seals)) if here else raw
    at = raw.find(b"TMY") + 3
    return raw[:at] + bytes([chance.randrange(5)]) + raw[at + 1 :]


def _headers(raw: bytes, chance: Random) -> bytes:
    headers = [raw[at : at + 80] for at in range(0, len(raw), 80)]
    if not headers:
        return raw
    what = chance.randrange(5)
    at = chance.randrange(len(headers))
    if what == 0:
        headers = headers * chance.choice((2, 12, 17))
    elif what == 1:
        del headers[at]
    elif what == 2:
        time = chance.choice((0, 1_790_000_000, 2**32 - 1)).to_bytes(4, "little")
        headers[at] = headers[at][:68] + time + headers[at][72:]
    elif what == 3:
        bits = chance.choice((0x207FFFFE, 0x207FFFFF, 0x2100FFFF, 0x20800000, 0, 0x1D00FFFF))
        headers[at] = headers[at][:72] + bits.to_bytes(4, "little") + headers[at][76:]
    else:
        found = other(headers[at], chance)
        headers[at] = found if isinstance(found, bytes) else b""
    return b"".join(headers)


def _log(one: Source, chance: Random) -> bytes:
    events = [Parts.of(record) for record in copy.deepcopy(one.records) if record[0] == "event"]
    for _ in range(chance.choice((0, 1, 1, 1, 2))):
        if chance.random() < 0.3:
            _move_event(events, chance)
        else:
            _change_part(chance.choice(events), chance)
    log = remade(events, true_epochs=chance.random() < 0.7)
    made = _written(log, chance)
    if chance.random() < 0.5:
        made = chance.choice((field_of, _shuffled_once))(made, chance)
    return closed(made)


def _shuffled_once(records: list[Record], chance: Random) -> list[Record]:
    return shuffled(records, records, chance)


def _move_event(events: list[Parts], chance: Random) -> None:
    """An event left out, doubled or moved, with a stream_sequence that fits or not."""
    at, what = chance.randrange(len(events)), chance.randrange(3)
    if what == 0 and len(events) > 1:
        del events[at]
    elif what == 1:
        events.insert(at, copy.deepcopy(events[at]))
    else:
        events.insert(chance.randrange(len(events)), events.pop(at))
    lengths: dict[Any, int] = {}
    for event in events if chance.random() < 0.8 else []:
        fields = event.fields
        if isinstance(fields, list) and len(fields) == 10 and isinstance(fields[3], bytes):
            fields[4] = lengths.get(fields[3], 0)
            lengths[fields[3]] = fields[4] + 1


def _written(log: Log, chance: Random) -> list[Record]:
    purpose = chance.choice(("export", "export", "backup", "proof", "proof", "salvage", "salvage"))
    if purpose == "proof":
        return log.proof(chance)
    return log.salvage(chance) if purpose == "salvage" else log.export(purpose, chance)


def mutations(
    sources: list[Source], count: int, seed: int
) -> Iterator[tuple[str, bytes, bytes | None]]:
    """`count` files: what was done to which, the file, and the SOUL.md to verify it with."""
    chance = Random(seed)
    whole = [one for one in sources if one.records]
    sealed = [one for one in whole if any(r[:2] == ["attachment", "seal"] for r in one.records)]
    logs = [one for one in whole if one.name.startswith(("export", "backup", "log"))]
    for number in range(count):
        kind = KINDS[number % len(KINDS)]
        one = chance.choice({"bytes": sources, "seal": sealed, "log": logs}.get(kind, whole))
        foreign = chance.choice(whole).records
        yield f"{number} {kind} of {one.name!r}", mutated(kind, one, foreign, chance), one.soul


def mutated(kind: str, one: Source, foreign: list[Record], chance: Random) -> bytes:
    """One file of one of KINDS, made of `one`; `foreign` are records of another."""
    match kind:
        case "bytes":
            return _bytes(one, chance)
        case "record":
            return _record(one, chance)
        case "records":
            return closed(shuffled(one.records, foreign, chance))
        case "field":
            return _field(one, chance)
        case "seal":
            return _seal(one, chance)
        case _:
            return _log(one, chance)


def _field(one: Source, chance: Random) -> bytes:
    try:
        return closed(field_of(copy.deepcopy(one.records), chance))
    except Refusal:  # an event of the source does not even decode
        return _record(one, chance)
