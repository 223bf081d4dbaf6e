"""Keystores: the agent's in its home, the operator's outside it, each one file with one ncryptsec.

    <home>/keys/agent.keystore          the 32-byte root; the four keys are derived from it, so
                                        unlocking costs one scrypt (half a second at log_n 16)
    <home>/keys/nostr.keystore          the Nostr key itself, from the first handoff on: a new root
                                        gives new log, seal and funding keys, and this one stays
    <home>/keys/agent-N.keystore        the root of tenure N, kept while its seal or its coins may
                                        still have to be signed for
    <home>/keys/heir.keystore           a root that is about to take over (genesis.succession)
    <operator folder>/operator.keystore the operator's secret key itself; any NIP-49 client opens it

The files are JSON: {"format", "version", "role", "public", "ncryptsec"}. `public` is the log key or
the operator key, readable without a passphrase. The agent's ncryptsec holds a root, no Nostr key: a
client that imports it shows an npub that is nobody's.

The operator key has entropy of its own and stays outside the home, which tools and backups reach.
With a passphrase of its own, nothing on a running node can approve in the operator's name; with the
same one as the agent's (the default of an unattended birth), whoever reads both the folder and the
passphrase can.

Unlocking checks the permissions of folder and file first, and changes nothing, whatever happens.
"""

import json
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from genesis.core import nip49
from genesis.core.birth import check_keys
from genesis.core.errors import InvalidKeystore, InvalidNcryptsec, WrongPassphrase
from genesis.core.keys import AgentKeys
from genesis.keys import private
from ledger.core.keys import Signer

FILE_BYTES_MAX: Final = 4096
"""Eight times a keystore as it is written."""

_FORMAT: Final = "timmy keystore"
_VERSION: Final = 1
_AGENT, _OPERATOR, _NOSTR = "agent", "operator", "nostr"
_PAST: Final = re.compile(r"agent-(0|[1-9][0-9]{0,5})\.keystore")
_FIELDS: Final = frozenset(("format", "version", "role", "public", "ncryptsec"))


def agent_path(home: Path) -> Path:
    """Where the agent's keystore is."""
    return home / "keys" / "agent.keystore"


def nostr_path(home: Path) -> Path:
    """Where the Nostr key is, once it no longer comes from the root."""
    return home / "keys" / "nostr.keystore"


def heir_path(home: Path) -> Path:
    """Where a root waits that is about to take over."""
    return home / "keys" / "heir.keystore"


def past_path(home: Path, number: int) -> Path:
    """Where the keystore of an earlier tenure is kept."""
    return home / "keys" / f"agent-{number}.keystore"


def past_paths(home: Path) -> dict[int, Path]:
    """Keystores of earlier tenures that are still here, by number."""
    found = {}
    for path in sorted((home / "keys").glob("agent-*.keystore")):
        if match := _PAST.fullmatch(path.name):
            found[int(match[1])] = path
    return found


def operator_path(folder: Path) -> Path:
    """Where the operator's keystore is, in a folder outside every home."""
    return folder / "operator.keystore"


@dataclass(frozen=True, slots=True, kw_only=True)
class Keystore:
    """A keystore file, still locked. `public` is 32 bytes."""

    role: str
    public: bytes
    ncryptsec: str

    def to_bytes(self) -> bytes:
        """The file's bytes."""
        value = {
            "format": _FORMAT,
            "version": _VERSION,
            "role": self.role,
            "public": self.public.hex(),
            "ncryptsec": self.ncryptsec,
        }
        return (json.dumps(value, indent=1) + "\n").encode()

    @classmethod
    def parse(cls, data: bytes) -> "Keystore":
        """Parse a keystore file. Raises InvalidKeystore."""
        try:
            value = json.loads(data)
        except (ValueError, RecursionError) as error:
            raise InvalidKeystore("keystore is not JSON") from error
        if not isinstance(value, dict) or set(value) != _FIELDS:
            raise InvalidKeystore(f"keystore fields are not {', '.join(sorted(_FIELDS))}")
        if (value["format"], value["version"]) != (_FORMAT, _VERSION):
            raise InvalidKeystore(
                f"keystore is {value['format']!r} version {value['version']!r}, "
                f"expected {_FORMAT!r} version {_VERSION}"
            )
        if value["role"] not in (_AGENT, _OPERATOR, _NOSTR):
            raise InvalidKeystore(
                f"keystore role is {value['role']!r}, expected agent, operator or nostr"
            )
        if not isinstance(value["ncryptsec"], str) or not isinstance(value["public"], str):
            raise InvalidKeystore("keystore public and ncryptsec are not text")
        try:
            public = bytes.fromhex(value["public"])
        except ValueError as error:
            raise InvalidKeystore("keystore public is not hexadecimal") from error
        if len(public) != 32:
            raise InvalidKeystore(f"keystore public is {len(public)} bytes, expected 32")
        return cls(role=value["role"], public=public, ncryptsec=value["ncryptsec"])


def _encrypt(secret: bytes, passphrase: str, log_n: int) -> str:
    return nip49.encrypt(
        secret,
        passphrase,
        salt=secrets.token_bytes(nip49.SALT_BYTES),
        nonce=secrets.token_bytes(nip49.NONCE_BYTES),
        log_n=log_n,
    )


def lock_agent(root: bytes, passphrase: str, *, log_n: int = nip49.LOG_N_MIN) -> Keystore:
    """Encrypt an agent's 32-byte root."""
    public = AgentKeys.from_root(root).log.public
    return Keystore(role=_AGENT, public=public, ncryptsec=_encrypt(root, passphrase, log_n))


def lock_operator(key: Signer, passphrase: str, *, log_n: int = nip49.LOG_N_MIN) -> Keystore:
    """Encrypt an operator's key."""
    ncryptsec = _encrypt(key.secret, passphrase, log_n)
    return Keystore(role=_OPERATOR, public=key.public, ncryptsec=ncryptsec)


def lock_nostr(key: Signer, passphrase: str, *, log_n: int = nip49.LOG_N_MIN) -> Keystore:
    """Encrypt an agent's Nostr key."""
    ncryptsec = _encrypt(key.secret, passphrase, log_n)
    return Keystore(role=_NOSTR, public=key.public, ncryptsec=ncryptsec)


def read_keystore(path: Path, *, role: str) -> Keystore:
    """Read a keystore without opening it, permissions checked.

    Raises PrivateFileError (missing, exposed, unreadable) or InvalidKeystore.
    """
    data = private.read(path, bytes_max=FILE_BYTES_MAX)
    private.check_private(path.parent, path.parent.lstat(), mode=private.FOLDER_MODE)
    found = Keystore.parse(data)
    if found.role != role:
        raise InvalidKeystore(f"{path} is the keystore of role {found.role}, expected {role}")
    return found


def examine(path: Path, *, role: str, public: bytes | None) -> None:
    """Check every byte of a keystore without its passphrase; `public` is whose it must be.

    Raises as `read_keystore`, and InvalidKeystore for a file that is not as it was written.
    """
    found = read_keystore(path, role=role)
    restore = "restore it from a backup of this home"
    try:
        nip49.check(found.ncryptsec)
    except InvalidNcryptsec as error:
        raise InvalidKeystore(f"{path}: {error}", hint=restore) from error
    if found.to_bytes() != private.read(path, bytes_max=FILE_BYTES_MAX):
        raise InvalidKeystore(f"{path} is not as it was written", hint=restore)
    if public is not None and found.public != public:
        raise InvalidKeystore(
            f"{path} names key {found.public.hex()}, the ledger was born with {public.hex()}",
            hint=restore,
        )


def _open(path: Path, found: Keystore, passphrase: str, log_n_min: int) -> nip49.Opened:
    try:
        return nip49.decrypt(found.ncryptsec, passphrase, log_n_min=log_n_min)
    except WrongPassphrase as error:
        raise WrongPassphrase(f"{path}: {error}", hint=error.hint) from error
    except InvalidNcryptsec as error:
        raise InvalidKeystore(f"{path}: {error}") from error


def _check_public(path: Path, found: Keystore, public: bytes) -> None:
    if public != found.public:
        raise InvalidKeystore(
            f"{path} opens to key {public.hex()}, and names {found.public.hex()}",
            hint="the file was put together from two: restore it from a backup",
        )


def unlock_agent(
    home: Path,
    passphrase: str,
    *,
    expected: Mapping[str, bytes] | None = None,
    path: Path | None = None,
    log_n_min: int = nip49.LOG_N_MIN,
) -> AgentKeys:
    """Open the home's keystore (or that at `path`), and that of the Nostr key if there is one.

    One scrypt for each. The keys are compared with those `expected`, by role. Raises
    PrivateFileError, InvalidKeystore, WrongPassphrase or KeyMismatch.
    """
    place = path or agent_path(home)
    keys = unlock_root(place, passphrase, log_n_min=log_n_min)
    if nostr_path(home).exists():
        nostr = _unlock_key(nostr_path(home), _NOSTR, passphrase, log_n_min)
        keys = replace(keys, nostr=nostr)
    if expected is not None:
        check_keys(keys, expected)
    return keys


def unlock_root(path: Path, passphrase: str, *, log_n_min: int = nip49.LOG_N_MIN) -> AgentKeys:
    """Return the four keys of one root, whoever is in charge. Raises as `unlock_agent` does."""
    found = read_keystore(path, role=_AGENT)
    keys = AgentKeys.from_root(_open(path, found, passphrase, log_n_min).secret)
    _check_public(path, found, keys.log.public)
    return keys


def unlock_operator(folder: Path, passphrase: str, *, log_n_min: int = nip49.LOG_N_MIN) -> Signer:
    """Open the operator's keystore. Raises as `unlock_agent` does."""
    return _unlock_key(operator_path(folder), _OPERATOR, passphrase, log_n_min)


def _unlock_key(path: Path, role: str, passphrase: str, log_n_min: int) -> Signer:
    found = read_keystore(path, role=role)
    key = Signer(_open(path, found, passphrase, log_n_min).secret)
    try:
        _check_public(path, found, key.public)
    except ValueError as error:
        raise InvalidKeystore(f"{path} holds a number that is no secp256k1 key") from error
    return key


def change_passphrase(
    path: Path,
    old: str,
    new: str,
    *,
    log_n: int = nip49.LOG_N_MIN,
    log_n_min: int = nip49.LOG_N_MIN,
    disk: private.Disk = private.REAL_DISK,
) -> None:
    """Encrypt a keystore anew; a wrong `old`, or a crash, leaves the file as it was.

    The old file's blocks may survive on the medium: after a leak, change keys, not passphrases.
    """
    found = Keystore.parse(private.read(path, bytes_max=FILE_BYTES_MAX))
    opened = _open(path, found, old, log_n_min)
    renewed = Keystore(
        role=found.role, public=found.public, ncryptsec=_encrypt(opened.secret, new, log_n)
    )
    private.replace(path, renewed.to_bytes(), disk=disk)
