"""Leaf hashes on disk: what was written is there after any stop, and damage is found."""

import os
import random
from pathlib import Path

import pytest

from ledger.core.errors import NotFound, StoreDamaged
from ledger.core.event import Event
from ledger.core.merkle import leaf_hash
from ledger.core.tiles import Tree
from ledger.leaves import LeafLog
from tests.ledger import heirs

LEAVES = [leaf_hash(str(at).encode()) for at in range(70_000)]


def twin(size):
    """The tree of the ledger's core, from the same leaves, with all its tiles in memory."""
    tiles = {}
    tree = Tree(lambda level, index: tiles[level, index])
    for at in range(0, size, 1000):
        tree.extend(LEAVES[at : min(size, at + 1000)])
        tiles |= {(tile.level, tile.index): tile.hashes for tile in tree.take_tiles()}
    return tree


def filled(path, *sizes):
    log = LeafLog(path)
    for size in sizes:
        log.take(LEAVES[log.size : size])
    return log


@pytest.mark.parametrize("sizes", [(0,), (1,), (255, 256, 257), (4096, 5000), (66_000,), (70_000,)])
def test_it_is_the_tree_of_its_leaves_and_32_bytes_each(tmp_path, sizes):
    path, size = tmp_path / "leaves", sizes[-1]
    filled(path, *sizes).close()
    log, tree, rng = LeafLog(path), twin(size), random.Random(size)
    assert (log.size, log.tree.root(), path.stat().st_size) == (size, tree.root(), 32 * size)
    for at in rng.sample(range(size), min(size, 20)):
        assert log.tree.inclusion(at, size) == tree.inclusion(at, size)
        assert log.tree.consistency(at + 1, size) == tree.consistency(at + 1, size)
        assert log.root(at) == tree.root(at)
        assert log.leaves(at, at + 1) == LEAVES[at : at + 1]
    log.close()


def test_what_was_not_counted_before_a_crash_is_cut_off(tmp_path):
    path = tmp_path / "leaves"
    filled(path, 300).close()
    with path.open("ab") as file:
        file.write(b"half of a leaf")
    log = LeafLog(path)
    assert log.size == 300
    assert path.stat().st_size == 32 * 300
    log.take(LEAVES[300:600])
    assert log.tree.root() == twin(600).root()
    log.close()


def test_a_disk_that_takes_no_more_leaves_what_was_there(tmp_path, monkeypatch):
    path = tmp_path / "leaves"
    log = filled(path, 300)

    def full(*_):
        raise OSError(28, "No space left on device")

    for broken in ("ledger.leaves.os.pwrite", "ledger.leaves.write_atomically"):
        with monkeypatch.context() as patched:
            patched.setattr(broken, full)
            with pytest.raises(OSError, match="No space"):
                log.take(LEAVES[300:900])
        assert (log.size, log.root(300)) == (300, twin(300).root())
    log.take(LEAVES[300:900])
    log.close()
    log = LeafLog(path)
    assert log.tree.root() == twin(900).root()
    log.close()


class Crash(BaseException):
    """The machine stops."""


@pytest.mark.parametrize("lost", [False, True])
def test_stopped_at_any_step_it_has_what_was_counted(tmp_path, monkeypatch, lost):
    """Each write cut in half, each sync and rename left out, one after the other, until none is.

    What was not synced is there, or lost.
    """
    sizes = []
    for left in range(100):
        path = tmp_path / f"leaves-{left}"
        log, steps = filled(path, 300), iter(range(left, -1, -1))
        with monkeypatch.context() as patched:
            synced = cut_short(patched, steps, path)
            try:
                log.take(LEAVES[300:900])
                log.take(LEAVES[900:1000])
                ended = True
            except Crash:
                ended = False
        log.close()
        if lost:
            path.write_bytes(synced[-1])
        log = LeafLog(path)
        sizes.append(log.size)
        assert log.tree.root() == twin(log.size).root()
        log.take(LEAVES[log.size : 1000])
        assert log.tree.root() == twin(1000).root()
        log.close()
        if ended:
            break
    assert sizes == sorted(sizes)
    assert set(sizes) == {300, 900, 1000}


def cut_short(patched, steps, path):
    """Have the machine stop when no step is left; return what a disk surely has of the leaves."""
    synced = [path.read_bytes()]
    write, sync, replace = os.pwrite, os.fsync, Path.replace

    def pwrite(file, data, at):
        if not next(steps):
            write(file, data[: len(data) // 2], at)
            raise Crash
        return write(file, data[:8192], at)  # a disk takes what it likes

    def fsync(file):
        if not next(steps):
            raise Crash
        sync(file)
        if os.fstat(file).st_ino == path.stat().st_ino:
            synced.append(path.read_bytes())

    def renamed(new, target):
        if not next(steps):
            raise Crash
        return replace(new, target)

    patched.setattr(os, "pwrite", pwrite)
    patched.setattr(os, "fsync", fsync)
    patched.setattr(Path, "replace", renamed)
    return synced


def flip(path, at):
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: flip(path, 5),
        lambda path: flip(path, 32 * 899),
        lambda path: path.write_bytes(path.read_bytes()[:-1]),
        lambda path: path.write_bytes(b""),
        lambda path: flip(path.with_name("leaves.size"), 7),
        lambda path: flip(path.with_name("leaves.size"), 20),
        lambda path: path.with_name("leaves.size").write_bytes(b"short"),
    ],
    ids=["a leaf", "the last one", "a byte", "all", "how many", "the root", "the size"],
)
def test_damage_is_found_when_it_is_opened_and_put_aside(tmp_path, damage):
    path = tmp_path / "leaves"
    filled(path, 900).close()
    damage(path)
    with pytest.raises(StoreDamaged):
        LeafLog(path)
    LeafLog.discard(path)
    assert path.with_name("leaves.damaged").exists()
    log = LeafLog(path)
    assert log.size == 0
    log.close()


def test_damage_of_an_open_file_proves_nothing(tmp_path):
    path = tmp_path / "leaves"
    filled(path, 900).close()
    log = LeafLog(path)
    with path.open("r+b") as file:
        file.seek(32 * 300)
        file.write(bytes(32))
    assert log.leaves(10, 11) == LEAVES[10:11]
    with pytest.raises(StoreDamaged, match="tile 1 is not what was written"):
        log.leaves(300, 301)
    log.close()


def test_an_event_that_was_not_shown_is_not_here(tmp_path):
    log = filled(tmp_path / "leaves", 3)
    with pytest.raises(NotFound, match="not here"):
        log.read(1)
    log.shown = (Event.open(heirs.born().records[0]),)  # and no leaf of this file
    with pytest.raises(NotFound, match="not here"):
        log.read(0)
    log.shown = ()
    assert (log.lineage(), log.lineage_records()) == (None, [])
    log.close()
