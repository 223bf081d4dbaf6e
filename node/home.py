"""Where everything lies: the home, and the state directory outside it.

<home>/ledger.db      the ledger: the only truth
<home>/views.db       search and ids; rebuildable
<home>/snapshot.db    the state at the last attestation; rebuildable
<home>/*.erasing      marks: erased words may be left in that database's files; the node finishes it
<home>/relay.db       events of the embedded relay; rebuildable
<home>/outbox.db      what is still to be sent to relays; losing it delays, never loses
<home>/anchors/       signed transactions not yet final; must not be lost
<home>/SOUL.md        who the agent is; immutable
<home>/keys/          the agent's keystore, 0600
<home>/trees/         adopted architecture trees by digest
<home>/node.toml      what differs from the default
<home>/token          the HTTP API's bearer token, 0600
<home>/run.json       address and pid of the running node
<home>/logs/
<state>/<ledger id>/  the guard: the last head that was released
<state>/operator/     the operator's keystore
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from ledger.core.errors import TimmyError


class HomeError(TimmyError):
    """The home cannot be used."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Home:
    """Paths of one home and of the state directory that goes with it."""

    path: Path
    state: Path

    @classmethod
    def find(cls, given: str | None) -> "Home":
        """Choose by --home, TIMMY_HOME, or ~/.timmy; state by TIMMY_STATE or the XDG rule."""
        path = given or os.environ.get("TIMMY_HOME") or "~/.timmy"
        state = os.environ.get("TIMMY_STATE")
        if not state:
            base = os.environ.get("XDG_STATE_HOME") or "~/.local/state"
            state = f"{base}/timmy"
        return cls(
            path=Path(path).expanduser().absolute(), state=Path(state).expanduser().absolute()
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
    def running(self) -> Path:
        """Address of the running node."""
        return self.path / "run.json"

    @property
    def operator(self) -> Path:
        """Folder of the operator's keystore, outside every home."""
        return self.state / "operator"

    @property
    def anchors(self) -> Path:
        """Durable state of anchoring."""
        return self.path / "anchors"

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
