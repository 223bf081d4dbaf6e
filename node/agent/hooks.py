"""The webhooks of node.toml, with their secrets out of private files: <home>/hook-keys/NAME."""

import secrets
from typing import Final

from genesis.keys import private
from ledger.core.errors import TimmyError
from node.config import Config
from node.home import Home
from node.sections.base import ConfigError
from runtime.core.hooks import Hook
from runtime.core.limits import HOOK_SECRET_BYTES_MIN

FOLDER: Final = "hook-keys"
SECRET_BYTES_MAX: Final = 4096


class Hooks:
    """The hooks of a node."""

    def __init__(self, hooks: tuple[Hook, ...]) -> None:
        self._hooks = {hook.name: hook for hook in hooks}
        self._nobody = Hook(
            name="nobody", scheme="github", secret=secrets.token_bytes(32), conversation="nobody"
        )

    def find(self, name: str) -> Hook:
        """Return a hook; for a name that is none one that nobody can sign for."""
        return self._hooks.get(name, self._nobody)

    def known(self, hook: Hook) -> bool:
        """Whether it is a hook of node.toml."""
        return hook is not self._nobody


def read_hooks(home: Home, config: Config) -> Hooks:
    """Read the hooks and their secrets. Raises ConfigError."""
    found = []
    for one in config.hooks:
        if bool(one.conversation) == bool(one.job):
            raise ConfigError(
                f"hooks: {one.name} needs a conversation or a job, and not both",
                hint="timmy hooks add NAME --conversation ROOM, or --job JOB",
            )
        found.append(
            Hook(
                name=one.name,
                scheme=one.signature,
                secret=_secret(home, one.name),
                conversation=one.conversation,
                job=one.job,
            )
        )
    if len({hook.name for hook in found}) != len(found):
        raise ConfigError("hooks: two have one name", hint="name each one differently")
    return Hooks(tuple(found))


def _secret(home: Home, name: str) -> bytes:
    path = home.path / FOLDER / name
    try:
        return check_secret(private.read(path, bytes_max=SECRET_BYTES_MAX))
    except TimmyError as error:
        raise ConfigError(
            f"hooks: the secret of {name}: {error}",
            hint=error.hint or f"put it there, mode 0600; timmy hooks add {name} does",
        ) from error


def check_secret(data: bytes) -> bytes:
    """Return a secret without white space around it. Raises TimmyError."""
    secret = data.strip()
    if not HOOK_SECRET_BYTES_MIN <= len(secret) <= SECRET_BYTES_MAX:
        raise TimmyError(
            f"a secret of {len(secret)} bytes, {HOOK_SECRET_BYTES_MIN} to {SECRET_BYTES_MAX}",
            hint="make one: openssl rand -hex 32",
        )
    return secret
