"""Keys of model providers, sealed to the agent: a file that only its unlocked keystore opens.

One line of three words: `timmy-sealed-key-1`, a public key that was used once, and the provider's
key for the agent's Nostr key (NIP-44). That one stays over a handoff, and is there without a
passphrase to seal to. A file holds it like any other key file: `key_file` names it, a backup of the
home's keys does not have it, and without the keystore it says nothing.

Not covered: a process of this user that reads the node's memory while it runs.
"""

import secrets
from typing import Final

from genesis.keys import keystore
from ledger.core.keys import Signer
from mesh.core import nip44
from mesh.core.errors import MeshError
from mesh.core.nip01 import NostrSigner
from node.home import Home
from node.open import open_log
from runtime.core.errors import AgentError
from runtime.model_keys import Opens

_WORD: Final = "timmy-sealed-key-1"
_PARTS: Final = 3
_HINT: Final = "add the model again: timmy models add ... --sealed-key"


def seal_key(home: Home, key: bytes) -> bytes:
    """Return the file for a provider's key. Needs no passphrase. Raises TimmyError."""
    once = NostrSigner(secrets.token_bytes(32))
    shared = nip44.conversation_key(once.secret, _public(home).hex())
    payload = nip44.encrypt(shared, key.decode(), secrets.token_bytes(nip44.NONCE_BYTES))
    return f"{_WORD} {once.pubkey} {payload}\n".encode()


def opener(nostr: Signer) -> Opens:
    """Return what opens such files: what it is given of another form it gives back."""

    def opens(text: str) -> str:
        parts = text.split()
        if not parts or parts[0] != _WORD:
            return text
        if len(parts) != _PARTS:
            raise AgentError("a sealed key that is cut short or goes on", hint=_HINT)
        try:
            return nip44.decrypt(nip44.conversation_key(nostr.secret, parts[1]), parts[2])
        except MeshError as error:
            raise AgentError(f"a sealed key that does not open: {error}", hint=_HINT) from error

    return opens


def _public(home: Home) -> bytes:
    """The agent's Nostr key as it is now, as far as it is known without a passphrase."""
    path = keystore.nostr_path(home.path)
    if path.exists():
        return keystore.read_keystore(path, role="nostr").public
    with open_log(home) as log:
        public: bytes = log.read(0).payload["keys"]["nostr"]
        return public
