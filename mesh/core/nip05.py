"""Names for keys on the web (NIP-05): what a domain says that a name's public key is.

Whoever puts this node behind a domain has `name@domain` shown for it by Nostr clients. It proves
what the domain says and no more: who the agent is its SOUL and ledger say.
"""

import re
from typing import Final

import msgspec

PATH: Final = "/.well-known/nostr.json"
_ROOT: Final = "_"
"""Shown by clients as the domain alone."""
_OTHERS: Final = re.compile(r"[^a-z0-9_.-]+")


def local_part(name: str) -> str:
    """A name as NIP-05 spells it: a-z, 0-9, `-`, `_`, `.`; empty if nothing of it is left."""
    return _OTHERS.sub("-", name.lower()).strip("-")


def document(name: str, pubkey: str, relays: tuple[str, ...], *, asked: str | None) -> bytes:
    """Return the JSON document for `?name=asked`. `pubkey` is in hex.

    A name that is not here gets an empty document; without a name both of ours are told.
    """
    ours = {one for one in (_ROOT, local_part(name)) if one}
    told = sorted(ours if asked is None else ours & {asked.lower()})
    body: dict[str, dict[str, object]] = {"names": dict.fromkeys(told, pubkey)}
    if told and relays:
        body["relays"] = {pubkey: list(relays)}
    return msgspec.json.encode(body)
