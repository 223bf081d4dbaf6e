"""A proof of equivocation (witness.md, steps Q)."""

from collections.abc import Callable, Iterator

from tests.spec.stranger.codec import Refusal, demand
from tests.spec.stranger.container import frames
from tests.spec.stranger.note import Head
from tests.spec.stranger.reading import Ended, Reading
from tests.spec.stranger.tree import included

GOOD = {"UNBROKEN-FINAL", "UNBROKEN-PENDING", "RECOVERED", "TEST"}


def prove(
    records: Iterator[list],
    reading: Reading,
    introduce: Callable[[bytes], str],
    open_head: Callable[[bytes], Head],
) -> None:
    """Ends with DIVERGED, or with a refusal. `introduce` gives a verdict and sets the lineage."""
    found = sorted_records(records)
    introduction = found["introduction"]
    [(_, header), *_] = zip(range(1), (record for _, record in frames(introduction)), strict=False)
    same = header[0] == "header" and header[1] == "proof" and header[2] == reading.ledger
    demand(same, "identity", "introduction")
    demand(introduce(introduction) in GOOD, "identity", "introduction is not good")
    heads = [open_head(note) for note in found["notes"]]
    demand(all(head.epoch == reading.epoch for head in heads), "checkpoint", "epoch")
    if found["paths"]:
        _branches(heads, found["paths"], found["leaves"])
    else:
        demand(heads[0].size == heads[1].size, "equivocation", "two sizes and no paths")
        demand(heads[0].root != heads[1].root, "equivocation", "one root")
    raise Ended("DIVERGED", "diverged")


def sorted_records(records: Iterator[list]) -> dict:
    """Step Q1."""
    notes, paths, named = [], [], {}
    for number, record in enumerate(records):
        kind = record[0]
        if kind == "end":
            continue  # its digest is checked when no record follows
        demand(number < 8, "bundle", "too many records")
        if kind == "checkpoint":
            notes.append(record[1])
        elif kind == "inclusion":
            paths.append(record[1:])
        else:
            demand(kind == "attachment" and record[1] not in named, "bundle", kind)
            named[record[1]] = record[2]
    introduction = named.pop("introduction", None)
    demand(type(introduction) is dict and set(introduction) == {"file"}, "bundle", "introduction")
    demand(type(introduction["file"]) is bytes, "bundle", "introduction")
    demand(len(notes) == 2, "bundle", "two notes")
    leaves = named.pop("leaves", [])
    demand(not named and type(leaves) is list, "bundle", "attachments")
    demand((len(paths), len(leaves)) in {(0, 0), (2, 2)}, "bundle", "paths and leaves")
    demand(all(type(leaf) is bytes for leaf in leaves), "bundle", "leaves")
    return {
        "introduction": introduction["file"], "notes": notes, "paths": paths, "leaves": leaves,
    }  # fmt: skip


def _branches(heads: list[Head], paths: list, leaves: list[bytes]) -> None:
    sizes = [path[1] for path in paths]
    demand(sizes == [head.size for head in heads], "equivocation", "sizes")
    demand(sizes[0] != sizes[1], "equivocation", "one size")
    demand(paths[0][0] == paths[1][0], "equivocation", "two indices")
    demand(leaves[0] != leaves[1], "equivocation", "one leaf")
    for head, (index, size, path), leaf in zip(heads, paths, leaves, strict=True):
        demand(len(leaf) == 32, "equivocation", "leaf")
        try:
            included(leaf, index, size, path, head.root)
        except Refusal as error:
            raise Refusal("inclusion", str(error)) from error
