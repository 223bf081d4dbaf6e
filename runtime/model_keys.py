"""Keys of model providers: out of the environment or a private file, when a link is built."""

import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeAlias

from runtime.core.errors import AgentError

Opens: TypeAlias = Callable[[str], str]
"""Gives what a file's text says; raises AgentError for one that is sealed and does not open."""

_FILE_BYTES_MAX: Final = 8192
"""A key of the longest kind, sealed, takes half of it."""
_KEY_CHARS_MAX: Final = 2048
"""The longest keys that providers give, signed tokens, are half of it."""
_KEY_HINT: Final = "put the key and nothing else into a file of yours, mode 0600"


def _as_it_is(text: str) -> str:
    return text


def read_key(
    *, env: str | None = None, file: Path | None = None, opens: Opens = _as_it_is
) -> str | None:
    """Return a provider's key from an environment variable or a file; None if neither is named.

    The file is a regular one, owned by this user, readable by nobody else, and holds one word: what
    it holds is sent to the model's host, so no other file may be taken for it by mistake. `opens`
    gives the word of a file that is sealed.
    Raises AgentError if one is named and is not that, or holds nothing.
    """
    if env is not None:
        key = os.environ.get(env, "").strip()
        if not key:
            raise AgentError(f"environment variable {env} is not set", hint="it names a model key")
        return key
    if file is None:
        return None
    key = opens(_read_private(file)).strip()
    if not key:
        raise AgentError(f"key file {file} is empty", hint=_KEY_HINT)
    if len(key) > _KEY_CHARS_MAX:
        raise AgentError(f"key file {file} holds a word of {len(key)} characters", hint=_KEY_HINT)
    if not key.isascii() or not key.isprintable() or " " in key:
        raise AgentError(f"key file {file} holds more than one word", hint=_KEY_HINT)
    return key


def _read_private(file: Path) -> str:
    try:
        descriptor = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as opened:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise AgentError(f"key file {file} is not a regular file", hint=_KEY_HINT)
            if status.st_uid != os.geteuid() or status.st_mode & 0o077:
                raise AgentError(
                    f"key file {file} has mode {stat.S_IMODE(status.st_mode):04o} and belongs to "
                    f"user {status.st_uid}, expected 0600 of user {os.geteuid()}",
                    hint="it must be yours alone: chown and chmod 600",
                )
            data = opened.read(_FILE_BYTES_MAX + 1)
    except OSError as error:
        raise AgentError(
            f"key file {file} is not readable: {error.strerror}", hint=_KEY_HINT
        ) from error
    if len(data) > _FILE_BYTES_MAX:
        raise AgentError(f"key file {file} holds more than {_FILE_BYTES_MAX} bytes", hint=_KEY_HINT)
    return data.decode("utf-8", "replace")
