"""A home in one file: what a backup holds, writing it beside a running node, and checking it.

A backup is a bundle (docs/spec/bundle.md) of purpose "backup": every event under a released head,
that head, and the home's own files that nothing else could make again. It is read back from the
disk and verified whole before it gets its name.

How it is written beside a running node: `node.keeping.outgoing`.

Not in it, on purpose: see LEFT_OUT. Not encrypted: it holds everything that was said, in the clear.
"""

import hashlib
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Final

from attest.verify.bundle import verify_bundle
from attest.verify.report import Report
from genesis import trees
from genesis.adopting import versions
from genesis.core.adopting import layers
from genesis.core.errors import GenesisError
from genesis.core.tree import DIGEST_BYTES, Tree
from genesis.keys import keystore, private
from genesis.soul import FILE_NAME, read_soul
from ledger.core import codec
from ledger.core.bundle import Attachment, Header, SignedHead, Writer
from ledger.core.checkpoint import SignedCheckpoint
from ledger.core.errors import InvalidBundle, InvalidData, TimmyError
from ledger.core.genesis import Genesis, check_soul
from ledger.core.lineage import Lineage
from ledger.log import Log
from mesh.core.errors import InvalidManifest
from mesh.core.fleet.manifest import open_manifest
from node.fleet.files import fleet_files
from node.home import Home
from node.keeping.outgoing import Say, write_whole

PURPOSE: Final = "backup"
SOUL: Final = FILE_NAME
CONFIG: Final = "node.toml"
KEYSTORE: Final = "keys/agent.keystore"
NOSTR: Final = "keys/nostr.keystore"
ADOPTED: Final = "trees/current"
LEFT_OUT: Final = (
    (
        "guard",
        "restored with the ledger it would vouch for it: it tells an old backup from the log",
    ),
    ("operator key", "what approves must not lie where the agent's key lies: keep it apart"),
    ("passphrase", "without it the keys in the backup stay locked: keep it apart"),
    (
        "secrets of webhooks (hook-keys)",
        "they lie there in the clear: make new ones, and timmy hooks add",
    ),
    (
        "keys of model providers (model-keys)",
        "they lie there in the clear, and a provider gives new ones: timmy models add",
    ),
    (
        "an aggregator's rounds (aggregate.db)",
        "a restored one would hold older heads of others for their newest: they are handed in anew",
    ),
    (
        "what this node saw as a witness (witness.db)",
        "a restored one would cosign again what it has seen the end of",
    ),
    ("invitations into a fleet", "they lie there in the clear: timmy mesh invite makes new ones"),
    ("search, relay, outbox, logs, token", "made again, or brought again by others"),
)
"""What is in a home or a state directory and not in a backup, and why."""

_FILE: Final = "file"
_TREE_FILE: Final = re.compile(rf"trees/([0-9a-f]{{{2 * DIGEST_BYTES}}})/(.+)")
_PAST: Final = re.compile(r"keys/agent-(0|[1-9][0-9]{0,5})\.keystore")
_VERSION: Final = re.compile(rf"versions/([0-9a-f]{{{2 * DIGEST_BYTES}}})\.cbor")
_ANCHOR: Final = re.compile(r"anchors/(proofs/)?[a-z0-9-]{1,64}\.cbor")
_MANIFEST: Final = re.compile(r"fleet/[0-9]{6}\.manifest")
SCRIPTS: Final = "scripts"
_SKILL: Final = re.compile(r"skills/[a-z0-9][a-z0-9-]{0,63}/SKILL\.md")
_SCRIPT: Final = re.compile(rf"{SCRIPTS}(/(?!\.{{1,2}}(/|$))[^/\0]{{1,255}}){{1,8}}")
"""What jobs run; eight folders deep. No part of it leads up."""
_PART_BYTES: Final = 1024 * 1024
"""A quarter of a bundle's record: what a file is cut into."""
_FILES_MAX: Final = 10_000
"""Forty adopted trees of the largest size, or a dozen years of daily anchors, two files each; it is
kept in memory while a backup is checked."""
_FILES_BYTES_MAX: Final = 256 * 1024 * 1024
_PROGRESS_EVENTS: Final = 50_000
"""A line every second or two."""
_ANOTHER: Final = "take another copy of it, or an older backup"


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
    if keystore.nostr_path(home.path).exists():
        found = keystore.read_keystore(keystore.nostr_path(home.path), role="nostr")
        yield NOSTR, found.to_bytes()
    for past in keystore.past_paths(home.path).values():
        yield f"keys/{past.name}", keystore.read_keystore(past, role="agent").to_bytes()
    if home.config.exists():
        yield CONFIG, _read(home.config)
    adopted = trees.current(home.path)
    if adopted is not None:
        yield ADOPTED, f"{adopted.hex()}\n".encode()
    for folder in sorted((home.path / trees.FOLDER).glob("*")):
        if _TREE_FILE.fullmatch(f"trees/{folder.name}/x"):
            for path, data in trees.load_tree(home.path, bytes.fromhex(folder.name)).items():
                yield f"trees/{folder.name}/{path}", data
    yield from _made_since(home)


def _made_since(home: Home) -> Iterator[tuple[str, bytes]]:
    """Adopted versions, skills, scripts of jobs, the fleet's manifests, records of anchors."""
    for file in sorted((home.path / versions.FOLDER).glob("*.cbor")):
        if _VERSION.fullmatch(path := f"{versions.FOLDER}/{file.name}"):
            version = versions.load_version(home.path, bytes.fromhex(file.stem))
            yield path, version.encode()
    for skill in sorted(home.skills.glob("*/SKILL.md")):
        named = str(skill.relative_to(home.path))
        if _SKILL.fullmatch(named) and skill.is_file() and not skill.is_symlink():
            yield named, _read(skill)
    for script in sorted((home.path / SCRIPTS).rglob("*")):
        if script.is_file() and not script.is_symlink():
            yield str(script.relative_to(home.path)), _read(script)
    for number, manifest in enumerate(fleet_files(home).chain()):
        yield f"fleet/{number:06d}.manifest", manifest
    for record in sorted(home.anchors.glob("*.cbor")):
        yield f"anchors/{record.name}", _read(record)
    for proof in sorted(home.proofs.glob("*.cbor")):
        yield f"anchors/proofs/{proof.name}", _read(proof)


def _read(path: Path) -> bytes:
    with os.fdopen(private.open_regular(path), "rb") as file:
        return file.read(_FILES_BYTES_MAX + 1)


def write(home: Home, target: Path, *, say: Say) -> Made:
    """Write a backup of `home` to `target`, which gets its name when everything is verified.

    Raises GuardError for a home that may not release, TimmyError; then `target` is as it was.
    """

    def fill(log: Log, head: SignedCheckpoint, file: BinaryIO) -> tuple[str, ...]:
        return _write_once(home, log, head, file, say)

    made = write_whole(home, target, fill, check, say=say)
    return Made(
        path=target,
        length=made.length,
        head=made.head,
        files=made.what,
        unreleased=made.unreleased,
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
    if not report.good or report.lineage is None or report.file_digest is None:
        raise InvalidBundle(
            f"{path} is not a whole, valid backup: {report.verdict}: {report.lines[-1][1]}",
            hint=_ANOTHER,
        )
    try:
        files.check_whole()
        found = _check_files(files.whole, report.lineage)
    except (InvalidData, GenesisError) as error:
        raise InvalidBundle(
            f"{path} is not a valid backup: {error}", hint=error.hint or _ANOTHER
        ) from error
    return Contents(
        report=report,
        genesis=report.lineage.genesis,
        files=files.whole,
        trees=found,
    )


def _check_files(files: dict[str, bytes], lineage: Lineage) -> tuple[Tree, ...]:
    """Check that the files are those of this agent, and return its trees."""
    for needed in (SOUL, KEYSTORE, ADOPTED):
        if needed not in files:
            raise InvalidBundle(f"file {needed} is missing")
    check_soul(files[SOUL], lineage.genesis)
    _check_keystore(files, KEYSTORE, "agent", lineage.newest.keys["log"])
    by_digest: dict[str, dict[str, bytes]] = {}
    for path, data in files.items():
        if inside := _TREE_FILE.fullmatch(path):
            by_digest.setdefault(inside[1], {})[inside[2]] = data
        elif _ANCHOR.fullmatch(path) or _VERSION.fullmatch(path):
            _check_record(path, data)
        elif past := _PAST.fullmatch(path):
            keys = [t.keys["log"] for t in lineage.tenures if t.number == int(past[1])]
            _check_keystore(files, path, "agent", keys[0] if keys else None)
        elif _MANIFEST.fullmatch(path):
            _check_manifest(path, data)
        elif _SCRIPT.fullmatch(path) or _SKILL.fullmatch(path):
            continue  # whatever the operator wrote
        elif path == NOSTR:
            _check_keystore(files, path, "nostr", None)
        elif path not in (SOUL, KEYSTORE, ADOPTED, CONFIG):
            raise InvalidBundle(
                f"file {path[:200]!r}: this version does not know such a part",
                hint="restore it with the version that wrote it, or a later one",
            )
    if files[ADOPTED].decode("ascii", "replace").strip() not in by_digest:
        raise InvalidBundle(f"file {ADOPTED}: the tree it names is not in the backup")
    return tuple(_tree(digest, found) for digest, found in by_digest.items())


def _check_keystore(files: dict[str, bytes], path: str, role: str, key: bytes | None) -> None:
    """Check that a keystore is of this role, and of this key if it is known which."""
    found = keystore.Keystore.parse(files[path])
    if found.role != role or found.public != (key or found.public):
        raise InvalidBundle(
            f"file {path}: it is of {found.role} {found.public.hex()}, "
            f"expected {role} {(key or b'').hex()}",
            hint="if new keys were about to take over, timmy run finishes that; then back up anew",
        )


def _check_record(path: str, data: bytes) -> None:
    version = _VERSION.fullmatch(path)
    if version is not None and layers.digest_of(data).hex() != version[1]:
        raise InvalidBundle(f"file {path}: its bytes are not those that it is named by")
    try:
        codec.decode(data, bytes_max=_FILES_BYTES_MAX)
    except InvalidData as error:
        raise InvalidBundle(f"file {path}: {error}") from error


def _check_manifest(path: str, data: bytes) -> None:
    try:
        open_manifest(data)
    except InvalidManifest as error:
        raise InvalidBundle(f"file {path}: {error}") from error


def _tree(digest: str, files: dict[str, bytes]) -> Tree:
    tree = Tree(files)
    if tree.digest.hex() != digest:
        raise InvalidBundle(f"tree {digest}: its files have digest {tree.digest.hex()}")
    return tree
