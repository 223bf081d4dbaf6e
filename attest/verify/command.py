"""What a verification is asked, and carrying it out: for `timmy verify` and `timmy-verify`."""

import argparse
import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from io import BufferedReader
from pathlib import Path
from typing import Final

from attest.core.header import HEIGHT_MAX
from attest.verify.accusing import accusation
from attest.verify.bundle import verify_bundle
from attest.verify.report import LEVELS, Report
from attest.verify.witnessed import Policy
from ledger.core.cosignature import Witness
from ledger.core.errors import InvalidNote, TimmyError

_PIN: Final = re.compile(r"(\d{1,10}):([0-9a-fA-F]{64})")
_SOUL_BYTES_MAX: Final = 1024 * 1024
"""Sixteen times the longest SOUL.md: enough to say that it is another one."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what a verification of a file is asked."""
    parser.add_argument("--soul", type=Path, metavar="FILE", help="the SOUL.md you know")
    parser.add_argument(
        "--held", type=Path, metavar="OLD", help="what you were shown before of the same ledger"
    )
    parser.add_argument(
        "--proof",
        type=Path,
        metavar="FILE",
        help="with --held, if both are exports and part: write what shows it to everybody",
    )
    parser.add_argument("--require", choices=LEVELS, help="how deep in Bitcoin, at least")
    parser.add_argument(
        "--pin",
        type=pin,
        action="append",
        default=[],
        metavar="HEIGHT:HASH",
        help="a block that you know to be on the heaviest chain; may be given again",
    )
    parser.add_argument(
        "--witness",
        type=witness,
        action="append",
        default=[],
        metavar="KEY",
        help="the key of a witness that you trust (name+id+base64); may be given again",
    )
    parser.add_argument(
        "--witnesses", type=int, metavar="N", help="how many of them must have signed (all)"
    )
    parser.add_argument(
        "--online",
        nargs="?",
        const="",
        metavar="URL",
        help="ask a Bitcoin node of yours whether the blocks stand and the seal is unspent",
    )
    parser.add_argument(
        "--cookie",
        type=Path,
        metavar="FILE",
        help="that node's .cookie, or a file of user:password",
    )


def pin(text: str) -> tuple[int, bytes]:
    """Read `HEIGHT:HASH`, the hash as block explorers show it. Raises ArgumentTypeError."""
    match = _PIN.fullmatch(text)
    if match is None or int(match[1]) > HEIGHT_MAX:
        raise argparse.ArgumentTypeError(f"{text!r} is no height and block hash of 64 hex digits")
    return int(match[1]), bytes.fromhex(match[2])[::-1]


def witness(text: str) -> Witness:
    """Read a verifier key. Raises ArgumentTypeError."""
    try:
        return Witness.parse(text)
    except InvalidNote as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def policy(arguments: argparse.Namespace) -> Policy | None:
    """Return which witnesses must have signed. Raises TimmyError."""
    known = {one.public for one in arguments.witness}
    needed = len(known) if arguments.witnesses is None else arguments.witnesses
    if not 0 <= needed <= len(known):
        raise TimmyError(
            f"{needed} witnesses are required, and the keys of {len(known)} are given",
            hint="name each by its key: --witness KEY",
        )
    return Policy(witnesses=arguments.witness, needed=needed) if known else None


def verify_path(path: Path, arguments: argparse.Namespace) -> Report:
    """Verify a file as the arguments ask. Raises TimmyError if something cannot be read."""
    soul = _read(arguments.soul) if arguments.soul else None
    with opened(path) as file, ExitStack() as stack:
        held = None if arguments.held is None else stack.enter_context(opened(arguments.held))
        report = verify_bundle(
            file, soul, require=arguments.require, held=held, pins=dict(arguments.pin),
            witnesses=policy(arguments),
        )  # fmt: skip
        if arguments.proof is not None:
            file.seek(0)
            data = accusation(report, file, lambda one: verify_bundle(one, soul))
            if data is None:
                report.say("proof", "not written: no two histories are shown here")
            else:
                _write(arguments.proof, data)
                report.say("proof", f"{arguments.proof}: {len(data)} bytes, for everybody")
    if arguments.online is not None:
        from attest.verify.online import look_up

        look_up(report, arguments.online, arguments.cookie)
    return report


@contextmanager
def opened(path: Path) -> Iterator[BufferedReader]:
    """Open a file for reading. Raises TimmyError."""
    try:
        with path.open("rb") as file:
            yield file
    except OSError as error:
        raise _unreadable(path, error) from error


def _read(path: Path) -> bytes:
    with opened(path) as file:
        return file.read(_SOUL_BYTES_MAX)


def _write(path: Path, data: bytes) -> None:
    """Write a new file. Raises TimmyError; nothing that is there is lost."""
    try:
        with path.open("xb") as file:
            file.write(data)
    except OSError as error:
        raise TimmyError(
            f"{path} cannot be written: {error.strerror}", hint="name a file that is not there yet"
        ) from error


def _unreadable(path: Path, error: OSError) -> TimmyError:
    return TimmyError(
        f"{path} cannot be read: {error.strerror}", hint="check the name, and who may read it"
    )
