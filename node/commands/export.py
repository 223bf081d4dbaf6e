"""Write the whole ledger, up to its last released head, to one self-verifying file.

The file holds everything that was said. Keys are not in it: they are in <home>/keys.
"""

import argparse
from pathlib import Path

from ledger.core.errors import TimmyError
from ledger.proof import export
from node import console
from node.commands.prove import refresh
from node.home import Home
from node.open import reading


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="FILE")
    parser.add_argument("--force", action="store_true", help="replace FILE if it is there")


def run(arguments: argparse.Namespace) -> int:
    """Export."""
    output: Path = arguments.output
    if output.exists() and not arguments.force:
        raise TimmyError(f"{output} is already there", hint="--force replaces it")
    home = Home.find(arguments.home)
    refresh(home)
    temporary = output.with_name(f".{output.name}.new")
    try:
        with reading(home) as opened:
            temporary.touch(mode=0o600)
            with temporary.open("wb") as file:
                count = export(opened.log, opened.released(), file)
        temporary.replace(output)
    except OSError as error:
        raise TimmyError(
            f"{output} cannot be written: {error.strerror}", hint="choose another place: -o FILE"
        ) from error
    finally:
        temporary.unlink(missing_ok=True)  # half a life, in plain words, must not lie about
    result = {"file": str(output), "bytes": output.stat().st_size, "events": count}
    if arguments.json:
        console.out_json(result)
    else:
        console.out(f"{output}: {count} events, {result['bytes']} bytes")
        console.out(f"check it: timmy verify {output}")
    return 0
