"""BIP-39 and BIP-32 straight from their texts: twin of what a recovery kit's words lead to."""

import hashlib
import hmac

from coincurve import PrivateKey

ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
HARD = 1 << 31
ALPHABET = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"

Node = tuple[bytes, bytes]
"""Secret and chain code."""


def seed_of(words: str, passphrase: str = "") -> bytes:
    return hashlib.pbkdf2_hmac("sha512", words.encode(), b"mnemonic" + passphrase.encode(), 2048)


def master(seed: bytes) -> Node:
    digest = hmac.digest(b"Bitcoin seed", seed, "sha512")
    return digest[:32], digest[32:]


def public(secret: bytes) -> bytes:
    return PrivateKey(secret).public_key.format()


def child(node: Node, index: int) -> Node:
    secret, code = node
    data = b"\x00" + secret if index >= HARD else public(secret)
    digest = hmac.digest(code, data + index.to_bytes(4, "big"), "sha512")
    number = (int.from_bytes(digest[:32], "big") + int.from_bytes(secret, "big")) % ORDER
    return number.to_bytes(32, "big"), digest[32:]


def derive(seed: bytes, path: str) -> Node:
    """`path` is like m/86h/0h/0h/0/0."""
    node = master(seed)
    for step in path.split("/")[1:]:
        node = child(node, int(step.rstrip("hH'")) + (HARD if step[-1] in "hH'" else 0))
    return node


def node_of(xprv: str) -> Node:
    """Secret and chain code of a serialised private key, whatever its version bytes."""
    number = 0
    for char in xprv:
        number = number * 58 + ALPHABET.index(char)
    data = number.to_bytes(82, "big")
    assert hashlib.sha256(hashlib.sha256(data[:78]).digest()).digest()[:4] == data[78:]
    assert data[45] == 0
    return data[46:78], data[13:45]
