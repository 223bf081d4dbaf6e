"""Recovery kits between a person and a command: read from a file, shown once, or kept."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

from genesis.core.recovery import RecoveryKit, parse_kit
from genesis.keys.private import create
from ledger.core.errors import TimmyError
from node import console
from node.home import Home
from node.identity.birth import keep_kit

_KIT_BYTES_MAX: Final = 64 * 1024
"""Thirty times a kit as it is shown."""
REMARK: Final = "Kits before this one hand nothing over any more; their recovery key is this one."


def read_kit(name: str) -> RecoveryKit:
    """Read a kit from a file, or from standard input for "-". Raises TimmyError."""
    try:
        if name == "-":
            text = sys.stdin.buffer.read(_KIT_BYTES_MAX).decode()
        else:
            with Path(name).open("rb") as file:
                text = file.read(_KIT_BYTES_MAX).decode()
    except OSError as error:
        raise TimmyError(
            f"{name} cannot be read: {error.strerror}", hint="name the file that holds your kit"
        ) from error
    except UnicodeDecodeError as error:
        raise TimmyError(
            f"{name} is not UTF-8", hint="the kit is the text that was shown at birth"
        ) from error
    return parse_kit(text)


def shower(
    home: Home, name: str, given: Path | None, *, as_json: bool
) -> tuple[Callable[[str], None], Path | None]:
    """Choose where a new kit goes: the operator's file, the terminal, or the state directory."""
    if given is not None:
        if given.exists():
            raise TimmyError(f"{given} is already there", hint="a kit is never overwritten")
        return lambda text: create(given.absolute(), text.encode()), given
    if not as_json and sys.stdin.isatty():
        return show_on_terminal, None
    return keep_kit(home, name)


def show_on_terminal(text: str) -> None:
    """Show the kit and wait for the person to have copied it."""
    console.say("your recovery kit, shown once; copy it, then press Enter")
    sys.stderr.write(text + "\n")
    sys.stderr.flush()
    sys.stdin.readline()
