"""What a node keeps of its fleet on disk.

<home>/fleet/000000.manifest   the chain, one file each, verified again at every start
<home>/fleet/invites.json      what was invited, by digest of the secret; who asked with it; 0600
<home>/fleet/token             a newcomer's token, until the operator has taken him in; 0600
<home>/fleet/relays.json       where newcomers ask, and until when this node listens there
<home>/fleet/forks/000003-<digest>.manifest   what the operator signed beside the chain: a proof
"""

import json
from pathlib import Path
from typing import Any, Final

import msgspec

from ledger.files import write_atomically
from mesh.core.errors import InvalidManifest, ManifestRefused, Refused
from mesh.core.fleet.joining import Token
from mesh.core.fleet.manifest import Fleet, SignedManifest, manifest_in, open_manifest
from mesh.core.pool.routes import relay_url
from node.home import Home

FORKS_MAX: Final = 16


class FleetFiles:
    """`<home>/fleet`: the chain of manifests, invites, a token."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def chain(self) -> list[bytes]:
        """Every signed manifest, the first one first."""
        found: list[bytes] = []
        while (path := self._path(len(found))).exists():
            found.append(path.read_bytes())
        return found

    def load(self) -> Fleet | None:
        """Verify the chain again. Raises InvalidManifest or ManifestRefused."""
        fleet: Fleet | None = None
        try:
            for data in self.chain():
                one = open_manifest(data)
                fleet = Fleet.begin(one) if fleet is None else fleet.advance(one)
        except (InvalidManifest, ManifestRefused) as error:
            error.hint = f"bring {self._folder} back from a backup, or remove it and join anew"
            raise
        return fleet

    def put(self, one: SignedManifest) -> None:
        """Keep a manifest, durably."""
        self._folder.mkdir(mode=0o700, exist_ok=True)
        write_atomically(self._path(one.manifest.number), one.encode())

    def forks(self) -> list[Path]:
        """Manifests of the operator that exclude the chain, as they came; each file is a proof."""
        return sorted((self._folder / "forks").glob("*.manifest"))

    def put_fork(self, data: bytes) -> Path | None:
        """Keep one that the operator signed, durably; None if it is in the chain, or kept already.

        FORKS_MAX of them are kept: who signs two has shown all there is to show.
        """
        named = manifest_in(data)
        known = self._path(named.number)
        if known.exists() and manifest_in(known.read_bytes()).digest == named.digest:
            return None
        path = self._folder / "forks" / f"{named.number:06d}-{named.digest.hex()[:16]}.manifest"
        if path.exists() or len(self.forks()) >= FORKS_MAX:
            return None
        path.parent.mkdir(mode=0o700, exist_ok=True)
        write_atomically(path, data)
        return path

    def _path(self, number: int) -> Path:
        return self._folder / f"{number:06d}.manifest"

    def invites(self) -> dict[str, dict[str, Any]]:
        """What was invited and not yet taken in."""
        try:
            found: dict[str, dict[str, Any]] = json.loads(
                (self._folder / "invites.json").read_text()
            )
        except (OSError, ValueError):
            return {}
        return found

    def put_invites(self, invites: dict[str, dict[str, Any]]) -> None:
        """Keep them."""
        self._folder.mkdir(mode=0o700, exist_ok=True)
        write_atomically(self._folder / "invites.json", json.dumps(invites).encode())

    def relays(self) -> dict[str, int]:
        """At which relays newcomers may ask, and until when, in Unix seconds.

        Nowhere, if the file cannot be read: it may be edited, and must not end the node.
        """
        try:
            data = (self._folder / "relays.json").read_bytes()
            found = msgspec.json.decode(data, type=dict[str, int])
            return {relay_url(one): until for one, until in found.items()}
        except (OSError, ValueError, RecursionError, Refused):  # msgspec's are ValueErrors
            return {}

    def put_relays(self, relays: dict[str, int]) -> None:
        """Keep them."""
        self._folder.mkdir(mode=0o700, exist_ok=True)
        write_atomically(self._folder / "relays.json", json.dumps(relays).encode())

    def token(self) -> Token | None:
        """The token that this node was started with. Raises InvalidToken."""
        path = self._folder / "token"
        return Token.parse(path.read_text().strip()) if path.exists() else None

    def put_token(self, token: Token | None) -> None:
        """Keep a token, or forget it."""
        self._folder.mkdir(mode=0o700, exist_ok=True)
        path = self._folder / "token"
        if token is None:
            path.unlink(missing_ok=True)
        else:
            write_atomically(path, token.encode().encode() + b"\n")


def fleet_files(home: Home) -> FleetFiles:
    """The fleet's folder in a home."""
    return FleetFiles(home.path / "fleet")
