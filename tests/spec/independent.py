"""A second verifier of bundles, written from docs/spec alone. It imports nothing of the software.

Steps are named as in bundle.md. What it reads is all in memory: a bundle here is a test's.
"""

from itertools import pairwise

from tests.spec import independent_anchor
from tests.spec.independent_anchor import Fail, need
from tests.spec.independent_formats import (
    Event,
    Head,
    check_consistency,
    check_epoch,
    check_genesis,
    check_inclusion,
    decode,
    root_of,
    sha256,
)

# ---- bundle.md: container -------------------------------------------------------------------

KINDS = {
    "header": (str, bytes, int),
    "event": (int, bytes, bytes, bytes, (bytes, None), (bytes, None)),
    "inclusion": (int, int, list),
    "consistency": (int, int, list),
    "checkpoint": (bytes,),
    "attachment": (str, (dict, list)),
    "subject": (int,),
    "end": (int, bytes),
}
MAGIC = b"timmy-bundle v1\n"


def records(data):
    """Yield the header and every other record but the last, each as it is reached."""
    need(data.startswith(MAGIC), "first line")
    at, count = len(MAGIC), 0
    while True:
        need(at + 4 <= len(data), "truncated")
        length = int.from_bytes(data[at : at + 4], "big")
        need(0 < length <= 4194304 and at + 4 + length <= len(data), "record length")
        record = decode(data[at + 4 : at + 4 + length], 4194304)
        check_record(record)
        need((record[0] == "header") == (count == 0), "header first, once")
        if record[0] == "end":
            need(record[1:] == [count, sha256(data[:at])], "closing record")
            return need(at + 4 + length == len(data), "bytes after the end")
        yield record
        at, count = at + 4 + length, count + 1


def check_record(record):
    need(type(record) is list and record and type(record[0]) is str, "record")
    kinds = KINDS.get(record[0])
    need(kinds is not None and len(record) == 1 + len(kinds), "kind or fields")
    for value, kind in zip(record[1:], kinds, strict=True):
        allowed = kind if isinstance(kind, tuple) else (kind,)
        need((None if value is None else type(value)) in allowed, "field type")
        need(type(value) is not int or value >= 0, "negative")
    if record[0] in {"inclusion", "consistency"}:
        need(len(record[3]) <= 63 and all(type(h) is bytes for h in record[3]), "path")


# ---- bundle.md: verification ----------------------------------------------------------------


def verify(data, soul=None):
    """(verdict, standing or None) of the bytes of a bundle."""
    try:
        stream = records(data)
        header = next(stream)
        if header[1] in {"export", "backup"}:
            return verify_export(header, stream, soul), None
        if header[1] == "salvage":
            return verify_salvage(header, stream, soul), None
        need(header[1] == "proof", "purpose")
        return verify_proof(header, stream, soul)
    except Fail as failure:
        return failure.verdict, None


def identify(header, event, soul):
    """Step I."""
    need(event.id == header[2], "ledger id")
    check_genesis(event.payload)
    born = event.payload["soul"]
    need(soul is None or (len(soul), sha256(soul)) == (born["length"], born["sha256"]), "soul")
    return event.payload


def open_heads(header, genesis, notes, epoch):
    """Step H."""
    heads = [Head(note, genesis["keys"]["log"]) for note in notes]
    need(all((h.ledger, h.epoch) == (header[2], epoch) for h in heads), "another log")
    heads.sort(key=lambda h: h.size)
    for older, newer in pairwise(heads):
        need(older.size != newer.size or older.root == newer.root, "two roots", "DIVERGED")
    need(heads, "no head", "INCOMPLETE")
    return heads


def verify_export(header, stream, soul):
    genesis, notes, events, lengths, leaves, targets, epoch = None, [], [], {}, [], set(), 0
    for record in stream:  # E1
        if record[0] == "attachment" and header[1] == "backup":
            continue
        if record[0] == "checkpoint":
            notes.append(record[1])
            continue
        need(record[0] == "event" and record[1] == len(events), "kind or position")
        event = Event(record)
        need(event.sequence == lengths.get(event.stream, 0), "stream sequence")
        lengths[event.stream] = event.sequence + 1
        need(not events or event.ts_ms >= events[-1].ts_ms, "time")
        for cause in event.causes:
            known = len(cause) == 3 or (cause[0] < len(events) and events[cause[0]].id == cause[1])
            need(known, "cause")
        genesis = genesis or identify(header, event, soul)
        if event.type == "ledger.epoch":
            epoch = check_epoch(event, genesis, header[2], epoch)
            kept = event.payload["kept_size"], event.payload["kept_root"]
            need(kept == (len(events), root_of(leaves)), "kept", "REWRITTEN")
        if event.type == "ledger.redacted":
            targets |= targets_of(event)
        events.append(event)
        leaves.append(sha256(b"\x00", event.raw))
    need(events, "no events", "INCOMPLETE")  # E2
    need(header[3] == epoch, "epoch")  # E3
    *older, newest = open_heads(header, genesis, notes, epoch)  # E4
    need(newest.size == len(events), "size", "INCOMPLETE")  # E5
    need(newest.root == root_of(leaves), "root")  # E6
    for head in older:
        need(head.root == root_of(leaves[: head.size]), "another history", "REWRITTEN")
    erased = {event.position for event in events if event.erased}
    need(erased <= targets, "content dropped", "INCOMPLETE")  # E7
    need(targets <= erased, "content still here")  # E8
    return "RECOVERED" if epoch else "UNBROKEN-PENDING"  # E9


def verify_salvage(header, stream, soul):
    events, notes, known, subtrees = {}, [], None, {}
    for record in stream:  # V1
        need(record[0] in {"event", "checkpoint", "attachment"}, "kind")
        if record[0] == "event":
            need(not events or record[1] > max(events), "order")
            events[record[1]] = Event(record)
        elif record[0] == "checkpoint":
            notes.append(record[1])
        elif record[1] == "salvage":
            need(known is None and is_size(record[2], "events"), "salvage")
            known = record[2]["events"]
        elif record[1] == "subtrees":
            need(is_size(record[2], "size") and type(record[2].get("hashes")) is list, "subtrees")
            for row in record[2]["hashes"]:
                need(type(row) is list and [type(x) for x in row] == [int, int, bytes], "subtree")
                need(len(row[2]) == 32, "hash")
            subtrees.setdefault(record[2]["size"], []).extend(record[2]["hashes"])
    need(len(notes) <= 1000, "heads")
    known = known or 0
    need(all(at < known for at in events), "position")  # V2
    named = set()
    for event in events.values():
        if event.type == "ledger.redacted":
            named |= targets_of(event)
    proven = set()
    if 0 in events:  # V3
        genesis = identify(header, events[0], soul)
        for head in open_heads(header, genesis, notes, header[3]) if notes else []:
            need(head.size <= known, "size")  # V4
            proven |= proven_under(head, subtrees.get(head.size, []), events)
    erased = {event.position for event in events.values() if event.erased}
    if 0 not in events or len(proven) < known or not erased <= named:  # V5
        return "INCOMPLETE"
    return "RECOVERED" if header[3] else "UNBROKEN-PENDING"


def is_size(value, key):
    return type(value) is dict and type(value.get(key)) is int and 0 <= value[key] <= 2**48


def proven_under(head, rows, events):
    """Step V4 for one head."""
    given, used, proven = {}, set(), set()
    for level, index, digest in rows:
        need(0 <= level <= 49 and index >= 0 and index * 2**level < head.size, "place of subtree")
        need((level, index) not in given, "subtree twice")
        given[level, index] = digest

    def root(start, width):
        level = width.bit_length() - 1
        key = (level, start >> level)
        if width == 2**level and start % width == 0 and key in given:
            used.add(key)
            return given[key]
        if width == 1:
            need(start in events, "leaf")
            proven.add(start)
            return sha256(b"\x00", events[start].raw)
        k = 2 ** ((width - 1).bit_length() - 1)
        left = root(start, k)
        return sha256(b"\x01", left, root(start + k, width - k))

    need((root(0, head.size) if head.size else sha256()) == head.root, "root")
    need(len(used) == len(given), "subtree not used")
    return proven


def targets_of(event):
    targets = event.payload.get("targets", [])
    need(type(targets) is list and all(type(item) is int for item in targets), "targets")
    return set(targets)


def verify_proof(header, stream, soul):
    events, paths, pairs, notes, attached, subject = {}, {}, {}, [], {}, None
    tables = {"event": events, "inclusion": paths, "consistency": pairs, "attachment": attached}
    for number, record in enumerate(stream):  # P1
        need(number < 10000, "too many records")
        if record[0] == "checkpoint":
            notes.append(record[1])
        elif record[0] == "subject":
            subject = record[1]
        elif record[0] == "attachment" and record[1] != "seal":
            continue
        else:
            key = tuple(record[1:3]) if record[0] == "consistency" else record[1]
            need(key not in tables[record[0]], "twice")
            tables[record[0]][key] = Event(record) if record[0] == "event" else record
    need(0 in events and subject in events, "subject", "INCOMPLETE")  # P2
    genesis = identify(header, events[0], soul)  # P3
    heads = open_heads(header, genesis, notes, header[3])  # P4
    by_size = {head.size: head for head in heads}
    for position, event in events.items():  # P5
        found = position in paths and paths[position][2] in by_size
        need(found, "no path", "INCOMPLETE")
        _, _, size, path = paths[position]
        leaf = sha256(b"\x00", event.raw)
        check_inclusion(leaf, position, size, path, by_size[size].root)
    for older, newer in pairwise(heads):  # P6
        if older.size != newer.size:
            pair = pairs.get((older.size, newer.size))
            need(pair, "no consistency", "INCOMPLETE")
            continues(older, newer, pair[3])
    epoch = 0
    for _, event in sorted(events.items()):  # P7
        if event.type == "ledger.epoch":
            epoch = check_epoch(event, genesis, header[2], epoch)
            check_kept(event, pairs, by_size[paths[event.position][2]])
    need(epoch == header[3], "epoch", "INCOMPLETE")
    if "seal" not in attached:  # P8
        return "RECOVERED" if epoch else "UNBROKEN-PENDING", None
    opened = [event for event in events.values() if event.type == "seal.opened"]
    verdict, standing = verify_seal(
        attached["seal"][2], opened, by_size, genesis, paths[subject][2]
    )
    return ("RECOVERED" if epoch and verdict != "TEST" else verdict), standing


def check_kept(event, pairs, head):
    size, root = event.payload["kept_size"], event.payload["kept_root"]
    need(size == event.position, "kept size", "REWRITTEN")
    pair = pairs.get((size, head.size))
    need(pair, "no consistency from what is kept", "INCOMPLETE")
    try:
        check_consistency(size, head.size, pair[3], root, head.root)
    except Fail as failure:
        raise Fail("keeps another history", "REWRITTEN") from failure


def continues(older, newer, path):
    try:
        check_consistency(older.size, newer.size, path, older.root, newer.root)
    except Fail as failure:
        raise Fail("does not continue", "REWRITTEN") from failure


def verify_seal(value, opened, by_size, genesis, covering):
    need(type(value) is dict, "seal")  # S1
    links, sizes = value.get("links"), value.get("sizes")
    need(type(links) is type(sizes) is list, "links and sizes")
    need(len(opened) == 1, "seal.opened", "INCOMPLETE")  # S2
    opening = independent_anchor.parse_opening(opened[0].payload.get("opening"))  # S3
    known = all(type(size) is int and size in by_size for size in sizes)
    need(known, "a size without a head", "INCOMPLETE")  # S4
    need(sizes and opened[0].position < min(sizes), "opened late")  # S5
    digests = [by_size[size].anchor_digest for size in sizes]
    depths = independent_anchor.verify_chain(opening, links, digests, genesis)  # S6
    covered = [depth for depth, size in zip(depths, sizes, strict=True) if size >= covering]
    depth = max(covered, default=0)  # S7
    name = "final" if depth >= 100 else "confirmed" if depth >= 6 else "seen"
    standing = name if depth else "pending"
    if genesis["network"] != "mainnet":  # S8
        return "TEST", standing
    return ("UNBROKEN-FINAL" if standing == "final" else "UNBROKEN-PENDING"), standing
