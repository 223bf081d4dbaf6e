"""PyPI pymerkle: `python pymerkle_peer.py ROW FOLDER COUNT TEXTS`.

Appends and bytes are of its SQLite tree, as it opens it (rollback journal, synchronous=FULL).
Proofs are of its in-memory tree too, and the faster of both counts.
"""

import json
import sys
import time
from pathlib import Path

from pymerkle import InmemoryTree, SqliteTree, verify_inclusion

STRIDE = 7919


def timed(count, work):
    start, busy = time.perf_counter(), time.process_time()
    work()
    passed = time.perf_counter() - start
    return {"count": count, "seconds": passed, "cpu": time.process_time() - busy}


def append(folder, entries, batch):
    tree = SqliteTree(str(folder / "tree.db"))

    def work():
        for at in range(0, len(entries), batch):
            if batch == 1:
                tree.append_entry(entries[at])
            else:
                tree.append_entries(entries[at : at + batch])

    return timed(len(entries), work)


def trees(folder, entries):
    for tree in (SqliteTree(str(folder / "tree.db")), InmemoryTree()):
        tree.append_entries(entries)
        yield tree


def positions(size, count):
    return [1 + number * STRIDE % size for number in range(count)]


def made(tree, size):
    asked = positions(size, max(1, size // 100))
    return timed(len(asked), lambda: [tree.prove_inclusion(at, size) for at in asked])


def prove(folder, entries):
    found = [made(tree, len(entries)) for tree in trees(folder, entries)]
    return min(found, key=lambda one: one["seconds"])


def verify(_folder, entries):
    size, count = len(entries), max(1, len(entries) // 100)
    tree = InmemoryTree()
    tree.append_entries(entries)
    root = tree.get_state(size)
    proofs = [(tree.get_leaf(at), tree.prove_inclusion(at, size)) for at in positions(size, count)]

    def work():
        for _ in range(5):
            for leaf, proof in proofs:
                verify_inclusion(leaf, root, proof)

    return timed(5 * count, work)


def size(folder, entries):
    tree = SqliteTree(str(folder / "tree.db"))
    tree.append_entries(entries)
    tree.close()
    return {"value": (folder / "tree.db").stat().st_size / len(entries)}


WORK = {
    "append-1": lambda folder, entries: append(folder, entries, 1),
    "append-100": lambda folder, entries: append(folder, entries, 100),
    "append-1000": lambda folder, entries: append(folder, entries, 1000),
    "prove": prove,
    "verify": verify,
    "bytes": size,
}

if __name__ == "__main__":
    row, folder, count, source = sys.argv[1:]
    entries = Path(source).read_bytes().splitlines()[: int(count)]
    print(json.dumps(WORK[row](Path(folder), entries)))
