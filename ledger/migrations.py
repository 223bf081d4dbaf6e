"""Databases of released versions brought forward, one step from version n to n + 1 at a time.

A step runs in one transaction together with the number of the version it makes, so that a crash at
any statement leaves the old database whole, and the next start begins again. Before the commit
every row that must survive is compared, byte by byte, with what it was: a step that lost or changed
one is rolled back. There is no way back, and no copy of the old file: it would hold words that are
redacted later (docs/adr/0008-store-migrations.md).

What this does not cover: rebuildable databases (`views.db` is thrown away instead), and a step that
makes a wrong new column out of right old ones, which its own tests are for.
"""

import hashlib
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeAlias

import apsw

from ledger.core.codec import encode
from ledger.core.errors import StoreDamaged, StoreFull, StoreSchema
from ledger.sql import check_application, translated

Step: TypeAlias = Callable[[apsw.Connection], None]
"""Changes the tables of version n into those of n + 1. It neither begins nor commits."""
Free: TypeAlias = Callable[[Path], int]
"""Bytes free on the disk that holds a file."""

_SPACE_TIMES: Final = 3
"""The old pages stay in the file, the new ones are in the log and then in the file as well."""
_SPACE_BYTES_MIN: Final = 1024 * 1024
"""For a small database the log's own overhead counts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """What every released version of one database looked like, and how each becomes the next.

    `kept` has for each version queries by name, whose rows say what no step may lose or change; a
    step compares those names that the version before and the one after have in common.
    """

    application: int
    version: int
    steps: Mapping[int, Step]
    kept: Mapping[int, Mapping[str, str]]

    def check(self, connection: apsw.Connection, what: str) -> bool:
        """Tell whether `connection` is of today's version; False for one that can be brought there.

        Raises StoreSchema for another program's, a newer one, or one too old.
        """
        found = check_application(connection, what, self.application)
        if found == self.version:
            return True
        if found > self.version:
            raise StoreSchema(
                f"{what} has schema {found}, this version reads {self.version}",
                hint="upgrade timmy: nothing was changed",
            )
        if any(version not in self.steps for version in range(found, self.version)):
            raise StoreSchema(
                f"{what} has schema {found}, from which no step leads to {self.version}",
                hint="start the version that wrote it, and export",
            )
        return False


def free_bytes(path: Path) -> int:
    """Bytes free on the disk that holds `path`."""
    return shutil.disk_usage(path.parent).free


def migrate(
    connection: apsw.Connection, path: Path, history: History, *, free: Free = free_bytes
) -> int:
    """Bring the database at `path` to today's version; return how many steps that took.

    The caller holds the one writer's lock. Raises StoreSchema, StoreFull (before anything is
    changed, if the disk is too small), StoreDamaged, StoreError; then the step under way left
    nothing behind.
    """
    what = str(path)
    with translated(what):
        if history.check(connection, what):
            return 0
        found = int(connection.pragma("user_version"))
        _require_space(connection, path, free)
        connection.execute("pragma foreign_keys=OFF")  # tables are made anew; each step is checked
        try:
            for version in range(found, history.version):
                _take_step(connection, what, history, version)
        finally:
            connection.execute("pragma foreign_keys=ON")
    return history.version - found


def _require_space(connection: apsw.Connection, path: Path, free: Free) -> None:
    pages = int(connection.pragma("page_count")) * int(connection.pragma("page_size"))
    needed, found = max(_SPACE_TIMES * pages, _SPACE_BYTES_MIN), free(path)
    if found < needed:
        raise StoreFull(
            f"bringing {path} forward needs {needed} bytes free on its disk, there are {found}",
            hint="free some space and start again: nothing was changed",
        )


def _take_step(connection: apsw.Connection, what: str, history: History, version: int) -> None:
    before, after = history.kept.get(version, {}), history.kept.get(version + 1, {})
    common = sorted(before.keys() & after.keys())
    connection.execute("begin immediate")
    try:
        was = {name: _fingerprint(connection, before[name]) for name in common}
        history.steps[version](connection)
        connection.execute(f"pragma user_version={version + 1}")
        changed = [name for name in common if _fingerprint(connection, after[name]) != was[name]]
        orphans = connection.execute("pragma foreign_key_check").fetchall()
        _require_whole(f"{what}: the step from schema {version}", changed, orphans)
        connection.execute("commit")
    except BaseException:
        if connection.in_transaction:  # a full disk has rolled back already
            connection.execute("rollback")
        raise


def _require_whole(step: str, changed: list[str], orphans: list[Any]) -> None:
    if changed or orphans:
        did = f"would change its {', '.join(changed)}" if changed else "leaves rows without owner"
        raise StoreDamaged(
            f"{step} {did}",
            hint="nothing was changed: go back to the version before, and report this",
        )


def _fingerprint(connection: apsw.Connection, query: str) -> bytes:
    """SHA-256 of all rows in their order, each in its one encoding."""
    digest = hashlib.sha256()
    for row in connection.execute(query):
        data = encode(list(row))
        digest.update(len(data).to_bytes(8, "big") + data)
    return digest.digest()
