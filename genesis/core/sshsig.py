"""SSH signatures by Ed25519: what `ssh-keygen -Y verify` and `git verify-tag` check.

Formats: OpenSSH PROTOCOL.sshsig (version 1, SHA-512) and RFC 8709 (ssh-ed25519 keys). Stock git and
OpenSSH verify them; neither knows secp256k1, so an agent has an Ed25519 key beside its log key,
derived from it one way. The ledger names that key, and the log's heads cover the ledger.
"""

import base64
import hashlib
import struct
from typing import Final

from Cryptodome.PublicKey import ECC
from Cryptodome.Signature import eddsa

from genesis.core.keys import hkdf_expand, hkdf_extract

NAMESPACE_GIT: Final = "git"
_MAGIC: Final = b"SSHSIG"
_VERSION: Final = 1
_HASH: Final = b"sha512"
_KEY_TYPE: Final = b"ssh-ed25519"
_LINE_CHARS: Final = 70
_SEED_BYTES: Final = 32


def derive_seed(log_secret: bytes) -> bytes:
    """Return the 32-byte Ed25519 seed that belongs to a log key; nothing leads back to that key."""
    root = hkdf_extract(b"timmy/ssh/v1", log_secret)
    return hkdf_expand(root, b"timmy/ssh/v1/ed25519", _SEED_BYTES)


def public_key(seed: bytes) -> str:
    """The public key as OpenSSH writes it: `ssh-ed25519 <base64>`."""
    return f"{_KEY_TYPE.decode()} {base64.b64encode(_blob(seed)).decode()}"


def fingerprint(seed: bytes) -> str:
    """`SHA256:<base64 without padding>`, as `ssh-keygen -l` prints it."""
    digest = hashlib.sha256(_blob(seed)).digest()
    return "SHA256:" + base64.b64encode(digest).decode().rstrip("=")


def sign(seed: bytes, namespace: str, message: bytes) -> str:
    """Return the armoured signature of `message` in a namespace, with a newline at its end."""
    space = namespace.encode()
    digest = hashlib.sha512(message).digest()
    signed = _MAGIC + _string(space) + _string(b"") + _string(_HASH) + _string(digest)
    raw = eddsa.new(_private(seed), "rfc8032").sign(signed)
    blob = (
        _MAGIC
        + struct.pack(">I", _VERSION)
        + _string(_blob(seed))
        + _string(space)
        + _string(b"")
        + _string(_HASH)
        + _string(_string(_KEY_TYPE) + _string(raw))
    )
    text = base64.b64encode(blob).decode()
    lines = [text[at : at + _LINE_CHARS] for at in range(0, len(text), _LINE_CHARS)]
    return "\n".join(["-----BEGIN SSH SIGNATURE-----", *lines, "-----END SSH SIGNATURE-----", ""])


def _private(seed: bytes) -> ECC.EccKey:
    assert len(seed) == _SEED_BYTES
    key: ECC.EccKey = ECC.construct(curve="Ed25519", seed=seed)  # type: ignore[arg-type]  # its stub says int, its documentation bytes
    return key


def _blob(seed: bytes) -> bytes:
    raw = _private(seed).public_key().export_key(format="raw")
    return _string(_KEY_TYPE) + _string(bytes(raw))


def _string(data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + data
