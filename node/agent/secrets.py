"""The node's own secrets, as `runtime.core.leaks` compares them with words that are to leave.

The API's token, its signing keys of now and before, the keys of models and MCP servers, the secrets
of webhooks: all of them are in this process anyway. The passphrase is not: it is forgotten once the
keystore is open.
"""

import secrets
from collections.abc import Iterator
from typing import Final

from genesis.core.keys import AgentKeys
from genesis.keys import private
from ledger.core.genesis import ROLES
from mesh.core import nip19
from node.agent.hooks import read_hooks
from node.agent.sealed_keys import opener
from node.config import Config, key_file
from node.home import Home
from node.opened import Opened
from runtime.core.leaks import Leaks
from runtime.model_keys import Opens, read_key

_TOKEN_BYTES: Final = 32


def api_token(home: Home) -> str:
    """Return the API's token, made at the first start."""
    if not home.token.exists():
        private.create(home.token, secrets.token_urlsafe(_TOKEN_BYTES).encode() + b"\n")
    return private.read(home.token, bytes_max=256).decode().strip()


def own_secrets(opened: Opened) -> Leaks:
    """Return what finds this node's own secrets. Raises TimmyError for a key that is not there."""
    home, config = opened.home, opened.config
    return Leaks.of(
        [
            ("api-token", api_token(home)),
            *_keys(opened.keys),
            *(pair for keys in opened.past.values() for pair in _keys(keys)),
            *_given(home, config, opener(opened.keys.nostr)),
        ]
    )


def _keys(keys: AgentKeys) -> Iterator[tuple[str, str]]:
    for role in ROLES:
        secret = keys.signer(role).secret
        for written in (secret.hex(), secret.hex().upper(), nip19.encode(nip19.SecretKey(secret))):
            yield f"{role}-key", written


def _given(home: Home, config: Config, opens: Opens) -> Iterator[tuple[str, str]]:
    for rule, sections in (("model-key", config.models), ("mcp-key", config.mcp)):
        for one in sections:
            key = read_key(env=one.key_env or None, file=key_file(home, one), opens=opens)
            if key is not None:
                yield rule, key
    hooks = read_hooks(home, config)
    for hook in config.hooks:
        yield "hook-secret", hooks.find(hook.name).secret.decode(errors="replace")
