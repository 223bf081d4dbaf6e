"""A home in one file: what a backup holds, writing it beside a running node, and checking it.

A backup is a bundle (docs/spec/bundle.md) of purpose "backup": every event under a released head,
that head, and the home's own files that nothing else could make again. It is read back from the
disk and verified whole before it gets its name.

The log only grows, so it is read without stopping anybody. One thing takes something out of it: a
redaction. If one is appended while the file is written, the file is written again.

Not in it, on purpose: see LEFT_OUT. Not encrypted: it holds everything that was said, in the clear.
"""

import fcntl
import hashlib
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Final

from genesis import keystore, private, trees
from genesis.core.birth import Genesis
from genesis.core.errors import GenesisError
from genesis.core.tree import DIGEST_BYTES, Tree
from genesis.soul import FILE_NAME, check_soul, read_soul
from ledger.core import codec
from ledger.core.bundle import Attachment, Header, SignedHead, Writer
from ledger.core.checkpoint import SignedCheckpoint
from ledger.core.errors import InvalidBundle, InvalidData, Refused, StoreError, TimmyError
from ledger.core.types import REDACTED
from ledger.files import sync_folder
from ledger.log import Log
from node.home import Home
from node.open import genesis_of, open_log, released
from node.report import Report
from node.verifier import verify_bundle

PURPOSE: Final = "backup"
SOUL: Final = FILE_NAME
CONFIG: Final = "node.toml"
KEYSTORE: Final = "keys/agent.keystore"
ADOPTED: Final = "trees/current"
LEFT_OUT: Final = (
    (
        "guard",
        "restored with the ledger it would vouch for it: it tells an old backup from the log",
    ),
    ("operator key", "what approves must not lie where the agent's key lies: keep it apart"),
    ("passphrase", "without it the keys in the backup stay locked: keep it apart"),
    ("search, relay, outbox, logs, token", "made again, or brought again by others"),
)
"""What is in a home or a state directory and not in a backup, and why."""

_FILE: Final = "file"
_TREE_FILE: Final = re.compile(rf"trees/([0-9a-f]{{{2 * DIGEST_BYTES}}})/(.+)")
_ANCHOR: Final = re.compile(r"anchors/[a-z0-9-]{1,64}\.cbor")
_PART_BYTES: Final = 1024 * 1024
"""A quarter of a bundle's record: what a file is cut into."""
_FILES_MAX: Final = 10_000
"""Forty adopted trees of the largest size; it is kept in memory while a backup is checked."""
_FILES_BYTES_MAX: Final = 256 * 1024 * 1024
_TRIES_MAX: Final = 5
"""Redactions are rare; five in a row while a file is written are somebody's program."""
_PROGRESS_EVENTS: Final = 50_000
"""A line every second or two."""
_ANOTHER: Final = "take another copy of it, or an older backup"

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """A backup that was written and verified. `unreleased`: events of the log not yet in it."""

    path: Path
    length: int
    head: SignedCheckpoint
    files: tuple[str, ...]
    unreleased: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Contents:
    """A backup of which every byte was verified."""

    report: Report
    genesis: Genesis
    files: dict[str, bytes] = field(repr=False)
    trees: tuple[Tree, ...] = field(repr=False)

    @property
    def adopted(self) -> bytes:
        """Digest of the tree that the agent thinks with."""
        return bytes.fromhex(self.files[ADOPTED].decode().strip())


# ---- writing ------------------------------------------------------------------------------------


def files_of(home: Home) -> Iterator[tuple[str, bytes]]:
    """Yield the home's own files by path, each checked as it is read. Raises TimmyError."""
    yield SOUL, read_soul(home.soul).data
    yield KEYSTORE, keystore.read_keystore(keystore.agent_path(home.path), role="agent").to_bytes()
    if home.config.exists():
        yield CONFIG, _read(home.config)
    adopted = trees.current(home.path)
    if adopted is not None:
        yield ADOPTED, f"{adopted.hex()}\n".encode()
    for folder in sorted((home.path / trees.FOLDER).glob("*")):
        if _TREE_FILE.fullmatch(f"trees/{folder.name}/x"):
            for path, data in trees.load_tree(home.path, bytes.fromhex(folder.name)).items():
                yield f"trees/{folder.name}/{path}", data
    for record in sorted(home.anchors.glob("*.cbor")):
        yield f"anchors/{record.name}", _read(record)


def _read(path: Path) -> bytes:
    with os.fdopen(private.open_regular(path), "rb") as file:
        return file.read(_FILES_BYTES_MAX + 1)


def write(home: Home, target: Path, *, say: Say) -> Made:
    """Write a backup of `home` to `target`, which gets its name when everything is verified.

    Raises GuardError for a home that may not release, TimmyError; then `target` is as it was.
    """
    temporary = target.with_name(f".{target.name}.new")
    try:
        with _private_file(temporary) as file:
            made = _write(home, target, file, say)
            say("reading it back")
            check(temporary)
            temporary.replace(target)
        sync_folder(target.parent)
    except OSError as error:
        raise TimmyError(
            f"{target} cannot be written: {error.strerror}", hint="choose another place: -o FILE"
        ) from error
    finally:
        temporary.unlink(missing_ok=True)
    return made


def _private_file(path: Path) -> BinaryIO:
    """Open the temporary file, ours alone. Raises Refused if another backup is writing it."""
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    file = os.fdopen(os.open(path, flags, 0o600), "r+b")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        file.close()
        raise Refused(
            f"another backup is being written to {path}", hint="wait for it, or choose -o FILE"
        ) from error
    return file


def _write(home: Home, target: Path, file: BinaryIO, say: Say) -> Made:
    with open_log(home) as log:
        genesis = genesis_of(log)
        for _ in range(_TRIES_MAX):
            file.seek(0)
            file.truncate()
            head = released(home, log, genesis)
            files = _write_once(home, log, head, file, say)
            log.refresh()
            if all(event.type != REDACTED.name for event in log.events(head.size)):
                return Made(
                    path=target,
                    length=file.tell(),
                    head=head,
                    files=files,
                    unreleased=log.size - head.size,
                )
            say("something was redacted meanwhile: beginning again without it")
    raise StoreError(
        f"the log was redacted {_TRIES_MAX} times while it was written",
        hint="make the backup when the redactions are done",
    )


def _write_once(
    home: Home, log: Log, head: SignedCheckpoint, file: BinaryIO, say: Say
) -> tuple[str, ...]:
    checkpoint = head.checkpoint
    header = Header(purpose=PURPOSE, ledger_id=checkpoint.ledger_id, epoch=checkpoint.epoch)
    writer, names = Writer(file, header), []
    for path, data in files_of(home):
        names.append(path)
        for value in _parts(path, data):
            writer.add(Attachment(name=_FILE, value=value))
    for record in log.records(0, head.size):
        writer.add(record)
        if (record.position + 1) % _PROGRESS_EVENTS == 0:
            say(f"{record.position + 1} of {head.size} events")
    writer.add(SignedHead(note=head.encode()))
    writer.end()
    file.flush()
    os.fsync(file.fileno())
    return tuple(names)


def _parts(path: str, data: bytes) -> Iterator[dict[str, Any]]:
    pieces = [data[at : at + _PART_BYTES] for at in range(0, len(data), _PART_BYTES)] or [b""]
    for number, piece in enumerate(pieces):
        digest = hashlib.sha256(piece).digest()
        yield {"path": path, "part": number, "parts": len(pieces), "data": piece, "sha256": digest}


# ---- checking -----------------------------------------------------------------------------------


@dataclass(slots=True)
class _Files:
    """Files put together from their parts, which come in order."""

    whole: dict[str, bytes] = field(default_factory=dict)
    _open: tuple[str, int] | None = None
    _pieces: list[bytes] = field(default_factory=list)
    _total: int = 0

    def take(self, item: Attachment) -> None:
        """Add one part. Raises InvalidBundle naming the file."""
        value = item.value
        shape = {"path": str, "part": int, "parts": int, "data": bytes, "sha256": bytes}
        if item.name != _FILE or {k: type(v) for k, v in dict(value).items()} != shape:
            raise InvalidBundle(f"attachment {item.name[:32]!r} is not a part of a file")
        path, part, parts = value["path"], value["part"], value["parts"]
        if hashlib.sha256(value["data"]).digest() != value["sha256"]:
            raise InvalidBundle(f"file {path}: its bytes do not match their digest")
        if (path, part) != (self._open or (path, 0)) or path in self.whole or part >= parts:
            raise InvalidBundle(f"file {path}: part {part} of {parts} is out of place")
        self._total += len(value["data"])
        if self._total > _FILES_BYTES_MAX or len(self.whole) >= _FILES_MAX:
            raise InvalidBundle(f"more than {_FILES_MAX} files or {_FILES_BYTES_MAX} bytes of them")
        self._pieces.append(value["data"])
        self._open = (path, part + 1)
        if part + 1 == parts:
            self.whole[path] = b"".join(self._pieces)
            self._open, self._pieces = None, []

    def check_whole(self) -> None:
        """Raise InvalidBundle if a file was begun and not ended."""
        if self._open is not None:
            raise InvalidBundle(
                f"file {self._open[0]}: its parts from {self._open[1]} on are missing"
            )


def check(path: Path) -> Contents:
    """Verify every byte of a backup. Raises InvalidBundle, which names the part at fault."""
    files = _Files()
    try:
        with path.open("rb") as file:
            report = verify_bundle(file, None, attachment=files.take)
    except OSError as error:
        raise TimmyError(
            f"{path} cannot be read: {error.strerror}", hint="name a file that timmy backup wrote"
        ) from error
    if report.good and report.purpose != PURPOSE:
        raise InvalidBundle(
            f"{path} is of purpose {report.purpose}, not a backup",
            hint="an export holds no keys: timmy import makes a reader's copy of it",
        )
    if not report.good or report.genesis is None or report.file_digest is None:
        raise InvalidBundle(
            f"{path} is not a whole, valid backup: {report.verdict}: {report.lines[-1][1]}",
            hint=_ANOTHER,
        )
    try:
        files.check_whole()
        found = _check_files(files.whole, report.genesis)
    except (InvalidData, GenesisError) as error:
        raise InvalidBundle(
            f"{path} is not a valid backup: {error}", hint=error.hint or _ANOTHER
        ) from error
    return Contents(
        report=report,
        genesis=report.genesis,
        files=files.whole,
        trees=found,
    )


def _check_files(files: dict[str, bytes], genesis: Genesis) -> tuple[Tree, ...]:
    """Check that the files are those of this agent, and return its trees."""
    for needed in (SOUL, KEYSTORE, ADOPTED):
        if needed not in files:
            raise InvalidBundle(f"file {needed} is missing")
    check_soul(files[SOUL], genesis)
    found = keystore.Keystore.parse(files[KEYSTORE])
    if (found.role, found.public) != ("agent", genesis.keys["log"]):
        raise InvalidBundle(
            f"file {KEYSTORE}: it is of {found.role} {found.public.hex()}, "
            f"this agent's log key is {genesis.keys['log'].hex()}"
        )
    by_digest: dict[str, dict[str, bytes]] = {}
    for path, data in files.items():
        if inside := _TREE_FILE.fullmatch(path):
            by_digest.setdefault(inside[1], {})[inside[2]] = data
        elif _ANCHOR.fullmatch(path):
            _check_anchor(path, data)
        elif path not in (SOUL, KEYSTORE, ADOPTED, CONFIG):
            raise InvalidBundle(
                f"file {path[:200]!r}: this version does not know such a part",
                hint="restore it with the version that wrote it, or a later one",
            )
    if files[ADOPTED].decode("ascii", "replace").strip() not in by_digest:
        raise InvalidBundle(f"file {ADOPTED}: the tree it names is not in the backup")
    return tuple(_tree(digest, found) for digest, found in by_digest.items())


def _check_anchor(path: str, data: bytes) -> None:
    try:
        codec.decode(data, bytes_max=_FILES_BYTES_MAX)
    except InvalidData as error:
        raise InvalidBundle(f"file {path}: {error}") from error


def _tree(digest: str, files: dict[str, bytes]) -> Tree:
    tree = Tree(files)
    if tree.digest.hex() != digest:
        raise InvalidBundle(f"tree {digest}: its files have digest {tree.digest.hex()}")
    return tree
