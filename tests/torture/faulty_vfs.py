# ruff: noqa: PTH110, PTH112, PTH115, PTH116, PTH120, PTH123, PTH202 - SQLite hands over paths as text
"""A disk that fails: power loss, I/O errors and a full disk below everything the product writes.

The seam is SQLite's own VFS structure. `ledger.sql` opens files with cksumvfs, which hands every
call to the VFS that was the default before it, `unix`; its address is cksumvfs' `pAppData`. We put
our own functions into that structure, for this process, with ctypes. A VFS written against apsw
would be shorter, but its errors are Python exceptions that surface even where SQLite itself
swallows the error (a failed automatic checkpoint after a good commit), so the product would be
tested against something that no disk does. Here SQLite gets plain result codes.

The model of power loss: what was written since the last xSync of its file may or may not be there.
Each 512-byte sector on its own is drawn: the newest version, the oldest, any one between (writes
reordered), or the head of one and the tail of another (torn). So is the length of each file, an
unlink that no synced folder has settled, and a rename. After the loss every call fails, so nothing
more can be acknowledged. `-shm` is memory and is gone.

Small files (the guard) are written with `os`: fsync and replace are calls of the same disk.

Not covered: a drive that says "synced" and lies; a drive that damages sectors it was not writing;
locks and memory maps that fail; `os.write` itself failing (a full disk shows at fsync instead).
"""

import ctypes
import errno
import os
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from ctypes import CFUNCTYPE, POINTER, Structure, c_char_p, c_int, c_int64, c_void_p
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path

import apsw

from ledger import sql

SECTOR_BYTES = 512
OK = 0
CREATE_FLAG, JOURNAL_FLAGS = apsw.SQLITE_OPEN_CREATE, (
    apsw.SQLITE_OPEN_WAL | apsw.SQLITE_OPEN_MAIN_JOURNAL
)  # fmt: skip

_OPEN = CFUNCTYPE(c_int, c_void_p, c_void_p, c_void_p, c_int, POINTER(c_int))
_DELETE = CFUNCTYPE(c_int, c_void_p, c_char_p, c_int)
_CLOSE = CFUNCTYPE(c_int, c_void_p)
_BYTES = CFUNCTYPE(c_int, c_void_p, c_void_p, c_int, c_int64)
_TRUNCATE = CFUNCTYPE(c_int, c_void_p, c_int64)
_SYNC = CFUNCTYPE(c_int, c_void_p, c_int)
_SIZE = CFUNCTYPE(c_int, c_void_p, c_void_p)
_MAP = CFUNCTYPE(c_int, c_void_p, c_int, c_int, c_int, c_void_p)


class _Vfs(Structure):
    """sqlite3_vfs, as far as we look into it (sqlite3.h; the layout is part of SQLite's ABI)."""

    _fields_ = [
        ("iVersion", c_int),
        ("szOsFile", c_int),
        ("mxPathname", c_int),
        ("pNext", c_void_p),
        ("zName", c_char_p),
        ("pAppData", c_void_p),
        ("xOpen", c_void_p),
        ("xDelete", c_void_p),
    ]


_METHODS = [
    "xClose",
    "xRead",
    "xWrite",
    "xTruncate",
    "xSync",
    "xFileSize",
    "xLock",
    "xUnlock",
    "xCheckReservedLock",
    "xFileControl",
    "xSectorSize",
    "xDeviceCharacteristics",
    "xShmMap",
    "xShmLock",
    "xShmBarrier",
    "xShmUnmap",
    "xFetch",
    "xUnfetch",
]


class _IoMethods(Structure):
    """sqlite3_io_methods."""

    _fields_ = [("iVersion", c_int), *((name, c_void_p) for name in _METHODS)]


class _File(Structure):
    """sqlite3_file: whatever follows belongs to the VFS beneath."""

    _fields_ = [("pMethods", c_void_p)]


class Fault(Enum):
    """What happens at the chosen call."""

    POWER_LOSS = "power loss"
    IO_ERROR = "one I/O error"
    FULL = "disk full from here on"


@dataclass(slots=True)
class _Unsynced:
    """What one file was written since its last sync: versions of each sector, and of its length."""

    sizes: list[int]
    sectors: dict[int, list[bytes]] = field(default_factory=dict)


@dataclass(slots=True)
class _Renamed:
    """A small file replaced since its folder was synced: contents in order, durable one first."""

    contents: list[bytes | None]
    synced: list[bool]


class Disk:
    """Counts calls and fails at one of them. Install one per process with `installed`."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """A disk that works and forgets what it saw."""
        self.calls = 0
        self.fault: Fault | None = None
        self.at = 0
        self.failing = False
        self.dead = False
        self.hit: str | None = None
        self._unsynced: dict[str, _Unsynced] = {}
        self._unlinked: dict[str, bytes] = {}
        self._fresh: set[str] = set()
        self._renamed: dict[str, _Renamed] = {}
        self._synced_inodes: set[int] = set()

    def arm(self, fault: Fault, at: int) -> None:
        """Let the `at`-th call from now on be the one that fails."""
        self.fault, self.at = fault, self.calls + at

    def heal(self) -> None:
        """Make space, or mend what was broken: calls succeed again."""
        self.fault, self.failing, self.dead = None, False, False

    def tick(self, call: str, path: str) -> Fault | None:
        """Count one call; return how it fails, if it does."""
        self.calls += 1
        if self.dead:
            return Fault.POWER_LOSS
        if self.fault is None or self.calls < self.at:
            return None
        if not self.failing:
            self.hit, self.failing = f"{call} {Path(path).name}", True
            self.dead = self.fault is Fault.POWER_LOSS
            return self.fault
        return self.fault if self.fault is Fault.FULL else None

    # ---- what SQLite does -----------------------------------------------------------------------

    def _versions(self, path: str) -> _Unsynced:
        known = self._unsynced.get(path)
        if known is None:
            known = self._unsynced[path] = _Unsynced([os.path.getsize(path)])
        return known

    def before_write(self, path: str, start: int, length: int) -> None:
        """Keep the synced version of every sector that this write touches for the first time."""
        known = self._versions(path)
        sectors = _sectors(start, length)
        if any(sector not in known.sectors for sector in sectors):
            data = _read(path, sectors)
            for index, sector in enumerate(sectors):
                if sector not in known.sectors:
                    known.sectors[sector] = [_slice(data, index)]

    def after_write(self, path: str, start: int, length: int) -> None:
        """Note what the sectors hold now."""
        known = self._versions(path)
        known.sizes.append(os.path.getsize(path))
        sectors = _sectors(start, length)
        data = _read(path, sectors)
        for index, sector in enumerate(sectors):
            known.sectors[sector].append(_slice(data, index))

    def truncating(self, path: str, size: int) -> None:
        """Keep what a truncation cuts off, and the new length."""
        known = self._versions(path)
        now = os.path.getsize(path)
        if now > size:
            self.before_write(path, size, now - size)
        known.sizes.append(size)

    def synced(self, path: str) -> None:
        """Settle this file; and its folder, if the file is a log that SQLite has just made."""
        self._unsynced.pop(path, None)
        if path in self._fresh:
            self._fresh.discard(path)
            self._unlinked = {
                other: data
                for other, data in self._unlinked.items()
                if os.path.dirname(other) != os.path.dirname(path)
            }

    def deleting(self, path: str, *, sync_folder: bool) -> None:
        """Keep a file that is unlinked and may be back after a power loss."""
        if not os.path.exists(path):
            return
        known = self._unsynced.pop(path, None)
        durable = Path(path).read_bytes()
        if known is not None:
            durable = _image(durable, known, lambda versions: versions[0], known.sizes[0])
        self._fresh.discard(path)
        if sync_folder:
            self._unlinked.pop(path, None)
        else:
            self._unlinked[path] = durable

    def opened(self, path: str, flags: int, *, existed: bool) -> None:
        """A file that is made is not durable before its first sync."""
        if not existed and flags & CREATE_FLAG and flags & JOURNAL_FLAGS:
            self._fresh.add(path)

    # ---- what `os` does -------------------------------------------------------------------------

    def fsync(self, real: Callable[[int], None], descriptor: int) -> None:
        """os.fsync: settles a file's bytes, or the names in a folder."""
        path = os.readlink(f"/proc/self/fd/{descriptor}")
        self._fail("fsync", path)
        del real  # the model is our disk; a real fsync would only cost time
        if os.path.isdir(path):
            for name in [name for name in self._renamed if os.path.dirname(name) == path]:
                del self._renamed[name]
        else:
            self._synced_inodes.add(os.fstat(descriptor).st_ino)

    def replace(self, real: Callable[..., None], old: str, new: str) -> None:
        """os.replace: atomic, but a power loss may come before it is durable."""
        source, target = os.fspath(old), os.fspath(new)
        self._fail("rename", target)
        there = Path(target).read_bytes() if os.path.exists(target) else None
        known = self._renamed.setdefault(target, _Renamed([there], [True]))
        known.contents.append(Path(source).read_bytes())
        known.synced.append(os.stat(source).st_ino in self._synced_inodes)
        real(source, target)

    def _fail(self, call: str, path: str) -> None:
        fault = self.tick(call, path)
        if fault is not None:
            code = errno.ENOSPC if fault is Fault.FULL else errno.EIO
            raise OSError(code, os.strerror(code), path)

    # ---- the loss -------------------------------------------------------------------------------

    def lose_power(self, draw: random.Random) -> None:
        """Rewrite every file to something that may be on the platters, and forget the rest."""
        keep = draw.choice((0.0, 0.2, 0.5, 0.8, 1.0))
        for path, data in self._unlinked.items():
            if not os.path.exists(path) and draw.random() < 0.5:
                Path(path).write_bytes(data)
        for path, known in self._unsynced.items():
            if not os.path.exists(path):
                continue
            if path in self._fresh and draw.random() < 0.3:
                self._vanish(path)
                continue
            size = known.sizes[-1] if draw.random() < keep else draw.choice(known.sizes)
            data = Path(path).read_bytes()
            image = _image(data, known, lambda versions: _drawn(versions, draw, keep), size)
            Path(path).write_bytes(image)
        for path, renamed in self._renamed.items():
            _settle(path, renamed, draw)
        self.reset()

    def _vanish(self, path: str) -> None:
        """A file whose folder was never synced: it is gone, or the unlinked one is back."""
        Path(path).unlink()
        if path in self._unlinked:
            Path(path).write_bytes(self._unlinked[path])


def _sectors(start: int, length: int) -> range:
    return range(start // SECTOR_BYTES, (start + max(length, 1) - 1) // SECTOR_BYTES + 1)


def _read(path: str, sectors: range) -> bytes:
    with open(path, "rb") as file:
        file.seek(sectors.start * SECTOR_BYTES)
        return file.read(len(sectors) * SECTOR_BYTES)


def _slice(data: bytes, index: int) -> bytes:
    return data[index * SECTOR_BYTES : (index + 1) * SECTOR_BYTES].ljust(SECTOR_BYTES, b"\0")


def _image(
    data: bytes, known: _Unsynced, choose: Callable[[list[bytes]], bytes], size: int
) -> bytes:
    longest = max(len(data), *known.sizes)
    image = bytearray(data.ljust(-(-longest // SECTOR_BYTES) * SECTOR_BYTES, b"\0"))
    for sector, versions in known.sectors.items():
        chosen, at = choose(versions), sector * SECTOR_BYTES
        if at < len(image):
            image[at : at + SECTOR_BYTES] = chosen
    return bytes(image[:size])


def _drawn(versions: list[bytes], draw: random.Random, keep: float) -> bytes:
    if draw.random() < keep:
        return versions[-1]
    match draw.randrange(4):
        case 0 | 1:
            return versions[0]
        case 2:
            return draw.choice(versions)
        case _:
            cut = draw.randrange(SECTOR_BYTES)
            return draw.choice(versions)[:cut] + draw.choice(versions)[cut:]


def _settle(path: str, renamed: _Renamed, draw: random.Random) -> None:
    chosen = draw.randrange(len(renamed.contents))
    content = renamed.contents[chosen]
    if content is None:
        Path(path).unlink(missing_ok=True)
    elif renamed.synced[chosen]:
        Path(path).write_bytes(content)
    else:  # renamed before its bytes were synced: empty, zeros or cut, as file systems do
        cut = draw.randrange(len(content) + 1)
        Path(path).write_bytes(content[:cut] + bytes(draw.choice((0, len(content) - cut))))


_CODES = {
    "xRead": apsw.SQLITE_IOERR_READ,
    "xWrite": apsw.SQLITE_IOERR_WRITE,
    "xTruncate": apsw.SQLITE_IOERR_TRUNCATE,
    "xSync": apsw.SQLITE_IOERR_FSYNC,
    "xFileSize": apsw.SQLITE_IOERR_FSTAT,
    "xShmMap": apsw.SQLITE_IOERR_SHMSIZE,
    "xOpen": apsw.SQLITE_CANTOPEN,
    "xDelete": apsw.SQLITE_IOERR_DELETE,
}


@dataclass(slots=True)
class _Layer:
    """Our functions in front of those of `unix`. Everything is kept alive as long as it is in."""

    disk: Disk
    below: "_Vfs"
    paths: dict[int, str] = field(default_factory=dict)
    tables: dict[int, _IoMethods] = field(default_factory=dict)
    kept: list[object] = field(default_factory=list)
    saved: tuple[int, int] = (0, 0)

    def _fails(self, call: str, path: str) -> int:
        fault = self.disk.tick(call, path)
        if fault is Fault.FULL:  # what takes no space goes on
            if call == "xWrite":
                return apsw.SQLITE_FULL
            return _CODES[call] if call == "xShmMap" else OK
        return OK if fault is None else _CODES[call]

    def install(self) -> None:
        """Take xOpen and xDelete."""
        real_open = _OPEN(self.below.xOpen or 0)
        real_delete = _DELETE(self.below.xDelete or 0)

        def on_open(vfs: int, name: int | None, file: int, flags: int, out: object) -> int:
            path = ctypes.string_at(name).decode() if name else ""
            if path and (code := self._fails("xOpen", path)):
                _File.from_address(file).pMethods = None
                return code
            existed = bool(path) and os.path.exists(path)
            code = real_open(vfs, name, file, flags, out)
            if code == OK and path:
                self.disk.opened(path, flags, existed=existed)
                self.paths[file] = path
                self._wrap(_File.from_address(file))
            return code

        def on_delete(vfs: int, name: bytes, sync_folder: int) -> int:
            path = name.decode()
            if code := self._fails("xDelete", path):
                return code
            self.disk.deleting(path, sync_folder=bool(sync_folder))
            return real_delete(vfs, name, sync_folder)

        mine = _OPEN(on_open), _DELETE(on_delete)
        self.kept += [real_open, real_delete, *mine]
        self.saved = self.below.xOpen or 0, self.below.xDelete or 0
        self.below.xOpen = ctypes.cast(mine[0], c_void_p).value
        self.below.xDelete = ctypes.cast(mine[1], c_void_p).value

    def remove(self) -> None:
        """Give the structure back as it was. No file may be open."""
        self.below.xOpen, self.below.xDelete = self.saved

    def _wrap(self, file: _File) -> None:
        address = file.pMethods or 0
        table = self.tables.get(address)
        if table is None:
            table = self.tables[address] = self._table(_IoMethods.from_address(address))
        file.pMethods = ctypes.addressof(table)

    def _table(self, real: _IoMethods) -> _IoMethods:
        table = _IoMethods.from_buffer_copy(real)
        close, size = _CLOSE(real.xClose), _SIZE(real.xFileSize)
        read, write = _BYTES(real.xRead), _BYTES(real.xWrite)
        truncate = _TRUNCATE(real.xTruncate)
        shm = _MAP(real.xShmMap) if real.xShmMap else None  # a log has no shared memory of its own

        def on_close(file: int) -> int:
            self.paths.pop(file, None)
            return close(file)

        def on_read(file: int, data: int, length: int, start: int) -> int:
            code = self._fails("xRead", self.paths[file])
            return code or read(file, data, length, start)

        def on_write(file: int, data: int, length: int, start: int) -> int:
            path = self.paths[file]
            if code := self._fails("xWrite", path):
                return code
            self.disk.before_write(path, start, length)
            code = write(file, data, length, start)
            self.disk.after_write(path, start, length)
            return code

        def on_truncate(file: int, length: int) -> int:
            path = self.paths[file]
            if code := self._fails("xTruncate", path):
                return code
            self.disk.truncating(path, length)
            return truncate(file, length)

        def on_sync(file: int, flags: int) -> int:
            del flags  # the model is our disk; a real fsync would only cost time
            path = self.paths[file]
            if code := self._fails("xSync", path):
                return code
            self.disk.synced(path)
            return OK

        def on_size(file: int, out: int) -> int:
            return self._fails("xFileSize", self.paths[file]) or size(file, out)

        def on_map(file: int, region: int, length: int, extend: int, out: int) -> int:
            code = self._fails("xShmMap", self.paths[file])
            return code or shm(file, region, length, extend, out)

        mine = {
            "xClose": _CLOSE(on_close),
            "xRead": _BYTES(on_read),
            "xWrite": _BYTES(on_write),
            "xTruncate": _TRUNCATE(on_truncate),
            "xSync": _SYNC(on_sync),
            "xFileSize": _SIZE(on_size),
        }
        if shm is not None:
            mine["xShmMap"] = _MAP(on_map)
        for name, function in mine.items():
            setattr(table, name, ctypes.cast(function, c_void_p).value)
        self.kept += [close, read, write, truncate, size, shm, *mine.values()]
        return table


@contextmanager
def installed() -> Iterator[Disk]:
    """Put a `Disk` beneath SQLite and beneath os.fsync and os.replace, for a process of its own."""
    sql._load_checksums()
    [checksums] = [vfs for vfs in apsw.vfs_details() if vfs["zName"] == "cksmvfs"]
    below = _Vfs.from_address(checksums["pAppData"])
    assert below.zName == b"unix", below.zName
    disk = Disk()
    layer = _Layer(disk, below)
    layer.install()
    fsync, replace = os.fsync, os.replace
    os.fsync = lambda descriptor: disk.fsync(fsync, descriptor)
    os.replace = lambda old, new: disk.replace(replace, old, new)
    try:
        yield disk
    finally:
        os.fsync, os.replace = fsync, replace
        layer.remove()
