"""Where everything lies: the home, and the state directory outside it.

<home>/ledger.db      the ledger: the only truth
<home>/views.db       search and ids; rebuildable
<home>/snapshot.db    the state at the last attestation; rebuildable
<home>/*.erasing      marks: erased words may be left in that database's files; the node finishes it
<home>/relay.db       events of the embedded relay; rebuildable
<home>/outbox.db      what is still to be sent to relays; losing it delays, never loses
<home>/witnessed.note the newest head that witnesses cosigned, with their lines
<home>/relays.db      what was learnt of relays; lost, it is learnt again
<home>/sealed-N.db    which sealed messages were dealt with; rebuildable
<home>/carried.db     which sealed messages carried which events; by it a redaction finds them
<home>/anchors/       signed transactions not yet final; must not be lost
<home>/SOUL.md        who the agent is; immutable
<home>/keys/          the agent's keystore, 0600
<home>/trees/         adopted architecture trees by digest
<home>/orders/        changes of this software that people approved; can be written anew
<home>/node.toml      what differs from the default
<home>/work/          where the agent's tools work, unless node.toml names another folder
<home>/skills/        adopted skills, a folder each
<home>/tools.json     tools registered over HTTP, with their secrets, 0600
<home>/sandbox.json   whether the sandbox held its attacks in this boot, 0600; rebuildable
<home>/weights.json   digests of model files, read once; rebuildable
<home>/token          the HTTP API's bearer token, 0600
<home>/run.json       address and pid of the running node
<home>/elsewhere.note  a signed head of this log that is not in it, as a mirror showed
<home>/aside/        what was appended here and gave way to a tail that was fetched back
<home>/mirrors/<ledger id>/  a copy of another agent's ledger: a folder that is read like a home
<home>/mirrors/<ledger id>-leaves/  heads and leaf hashes of another one, and no word of it
<home>/logs/
<state>/<ledger id>/  the guard: the last head that was released
<state>/<ledger id>/grants.db    what this node granted as a voter of its fleet
<state>/<ledger id>/witness.db   what this node saw of other logs, as their witness
<state>/operator/     the operator's keystore
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ledger.core.errors import TimmyError

_MIRROR: Final = "mirror"
"""A file in the folder of a mirror (`mesh.mirrors.folder`)."""
_LEAVES: Final = "leaves"
"""Another, where leaf hashes are all that is kept (`mesh.mirrors.leaf_folder`)."""


class HomeError(TimmyError):
    """The home cannot be used."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Home:
    """Paths of one home and of the state directory that goes with it.

    The folder of a mirror is one too, for reading.
    """

    path: Path
    state: Path

    @classmethod
    def find(cls, given: str | None) -> "Home":
        """Choose by --home, TIMMY_HOME, or ~/.timmy; state by TIMMY_STATE or the XDG rule."""
        path = given or os.environ.get("TIMMY_HOME") or "~/.timmy"
        mirror = Path(path).expanduser().absolute()
        if (mirror / _MIRROR).is_file():  # it has its own: never that of the agent it is a copy of
            return cls(path=mirror, state=mirror / "state")
        state = os.environ.get("TIMMY_STATE")
        if not state:
            base = os.environ.get("XDG_STATE_HOME") or "~/.local/state"
            state = f"{base}/timmy"
        return cls(
            path=Path(path).expanduser().absolute(), state=Path(state).expanduser().absolute()
        )

    @property
    def mirrors(self) -> Path:
        """Copies of other ledgers, a folder each."""
        return self.path / "mirrors"

    def require_own(self) -> None:
        """Raise HomeError if this is a copy of another agent's ledger: nobody lives in it."""
        if (self.path / _MIRROR).is_file():
            raise HomeError(
                f"{self.path} is a mirror of another node's ledger: it is read, never written",
                hint="make a home of it: timmy --home MIRROR export -o FILE, then timmy import",
            )

    def require_words(self) -> None:
        """Raise HomeError if this is a copy of leaf hashes only: there is no event to be read."""
        if (self.path / _MIRROR).is_file() and (self.path / _LEAVES).exists():
            raise HomeError(
                f"{self.path} holds the leaf hashes of another node's ledger, and no event of it",
                hint="timmy mesh mirrors says how it is; its proofs are given to other nodes",
            )

    @property
    def ledger(self) -> Path:
        """The ledger's database."""
        return self.path / "ledger.db"

    @property
    def views(self) -> Path:
        """The rebuildable views."""
        return self.path / "views.db"

    @property
    def snapshot(self) -> Path:
        """The state at the last attestation."""
        return self.path / "snapshot.db"

    @property
    def relay(self) -> Path:
        """Events of the embedded relay."""
        return self.path / "relay.db"

    @property
    def outbox(self) -> Path:
        """What is still to be sent to relays."""
        return self.path / "outbox.db"

    @property
    def carried(self) -> Path:
        """Which sealed messages carried which events."""
        return self.path / "carried.db"

    @property
    def soul(self) -> Path:
        """SOUL.md."""
        return self.path / "SOUL.md"

    @property
    def config(self) -> Path:
        """This home's node.toml."""
        return self.path / "node.toml"

    @property
    def token(self) -> Path:
        """The API's bearer token."""
        return self.path / "token"

    @property
    def work(self) -> Path:
        """Where tools work by default."""
        return self.path / "work"

    @property
    def skills(self) -> Path:
        """Adopted skills."""
        return self.path / "skills"

    @property
    def tools(self) -> Path:
        """Tools registered over HTTP."""
        return self.path / "tools.json"

    @property
    def trials(self) -> Path:
        """What the sandbox's attacks on itself said in this boot."""
        return self.path / "sandbox.json"

    @property
    def running(self) -> Path:
        """Address of the running node."""
        return self.path / "run.json"

    @property
    def operator(self) -> Path:
        """Folder of the operator's keystore, outside every home."""
        return self.state / "operator"

    def grants(self, ledger_id: bytes) -> Path:
        """What this node granted as a voter of its fleet: beside the guard, in no backup."""
        return self.state / ledger_id.hex() / "grants.db"

    @property
    def witnessed(self) -> Path:
        """The newest head that witnesses cosigned."""
        return self.path / "witnessed.note"

    @property
    def diverged(self) -> Path:
        """Proofs that logs signed two histories, a file each, for people."""
        return self.path / "diverged"

    @property
    def elsewhere(self) -> Path:
        """A signed head of this log that was not in it, as a mirror showed."""
        return self.path / "elsewhere.note"

    @property
    def set_aside(self) -> Path:
        """What was appended here, and gave way to a tail that was fetched back."""
        return self.path / "aside"

    @property
    def anchors(self) -> Path:
        """Durable state of anchoring."""
        return self.path / "anchors"

    @property
    def proofs(self) -> Path:
        """Proofs of the links that blocks have."""
        return self.anchors / "proofs"

    @property
    def logs(self) -> Path:
        """Rotated logs."""
        return self.path / "logs"

    @contextmanager
    def unmade_if_refused(self) -> Iterator[None]:
        """Take away the empty folders that the block made, if it raises."""
        wanted = (self.path / "keys", self.operator)
        folders = {folder for path in wanted for folder in (path, *path.parents)}
        new = [folder for folder in folders if not folder.exists()]
        try:
            yield
        except BaseException:
            for folder in sorted(new, key=lambda path: len(path.parts), reverse=True):
                with suppress(OSError):  # it holds something, or was never made
                    folder.rmdir()
            raise

    def make(self) -> None:
        """Create the home, private to its user."""
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.state.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise HomeError(
                f"{error.filename} cannot be made: {error.strerror}",
                hint="choose another place: timmy --home FOLDER, or TIMMY_HOME and TIMMY_STATE",
            ) from error
