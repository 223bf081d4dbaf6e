"""The fleet bus of a node: made of [mesh.bus] of node.toml. The default is local, without a server:
what is kept stays here, and live words go from member to member (mesh/fleet/direct_bus.py).

The seed of the NKey is read from a file that nobody else may read, once, at the start; it is in no
argument, log, status or event. A server that is away stops no node: its bus is down, and says so.
"""

import random
import ssl
from pathlib import Path
from typing import TYPE_CHECKING, Final

import aiohttp

from genesis.core.errors import PrivateFileMissing
from genesis.keys import private
from ledger.core.errors import TimmyError
from ledger.core.keys import Signer
from mesh.core.errors import InvalidNKey
from mesh.core.fleet.manifest import Manifest
from mesh.core.fleet.nkeys import UserKey
from mesh.fleet.bus import Bus, Live
from mesh.fleet.direct_bus import DirectBus
from mesh.fleet.local_bus import LocalBus
from node.fleet.members import FleetNode
from node.home import Home
from node.open import now_ms
from node.sections.bus import BusSection

if TYPE_CHECKING:
    from mesh.fleet.nats_link import Server

KEY_FILE_BYTES_MAX: Final = 256
"""A seed is 58 characters; a line end, and no more."""


class BusRefused(TimmyError):
    """[mesh.bus] names what cannot be used."""


def make_bus(home: Home, section: BusSection) -> Bus:
    """Make the bus that node.toml asks for; nothing is connected yet. Raises TimmyError."""
    if section.engine == "local":
        return LocalBus()
    from mesh.fleet.nats_bus import NatsBus  # nats-py is not loaded by a node that needs none

    return NatsBus(server_of(home, section), fleet=section.fleet, jitter=random.random)


def make_live(bus: Bus, signer: Signer, session: aiohttp.ClientSession, fleet: FleetNode) -> Live:
    """Make what live words of the fleet go by: the server's bus, or HTTP from member to member."""
    if not isinstance(bus, LocalBus):
        return bus
    return DirectBus(signer, session, manifest=lambda: known(fleet), clock=lambda: now_ms() // 1000)


def known(fleet: FleetNode) -> Manifest:
    """The newest manifest; one without members for a node that is of no fleet, or no more."""
    if fleet.ours is not None:
        return fleet.ours.manifest
    return Manifest(number=0, previous=b"", operator=fleet.signer.public, members=())


def server_of(home: Home, section: BusSection) -> "Server":
    """Read key and certificates. Raises TimmyError."""
    from mesh.fleet.nats_link import Server

    key = read_key(_path(home, section.nkey_file)) if section.nkey_file else None
    tls = _tls(home, section) if section.url.startswith("tls://") else None
    return Server(url=section.url, tls=tls, key=key)


def read_key(path: Path) -> UserKey:
    """Read a seed from a private file. Raises TimmyError, which does not repeat what it holds."""
    try:
        data = private.read(path, bytes_max=KEY_FILE_BYTES_MAX)
    except PrivateFileMissing as error:
        raise BusRefused(f"mesh.bus.nkey_file: {error}", hint=_HINT) from error
    try:
        return UserKey.read(data.decode("ascii").strip())
    except UnicodeDecodeError:
        raise InvalidNKey(f"{path} is not the seed of an NKey", hint=_HINT) from None
    except InvalidNKey as error:
        raise InvalidNKey(f"{path}: {error}", hint=error.hint or _HINT) from error


_HINT: Final = "make one: timmy bus key FILE"


def _tls(home: Home, section: BusSection) -> ssl.SSLContext:
    what = section.ca_file
    try:
        ca = str(_path(home, what)) if what else None
        context = ssl.create_default_context(cafile=ca)
        if section.cert_file:
            what = section.cert_key_file
            chain, key = (_path(home, one) for one in (section.cert_file, what))
            private.read(key, bytes_max=_PEM_BYTES_MAX)  # it is private, or refused
            what = section.cert_file
            context.load_cert_chain(chain, key, password=lambda: b"")
    except (OSError, ssl.SSLError) as error:
        why = error.strerror or "it is not what it should be"
        raise BusRefused(
            f"mesh.bus: {what} cannot be used: {why.lower()}",
            hint="PEM files: absolute, or a name inside the home",
        ) from error
    return context


_PEM_BYTES_MAX: Final = 64 * 1024


def _path(home: Home, name: str) -> Path:
    """A file: absolute, or inside the home."""
    return home.path / Path(name).expanduser()
