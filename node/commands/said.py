"""What a bare diff is proposed with: of `timmy patch propose` and `timmy lineage patch`.

A proposal says its title, rationale, evaluation and expected effect itself. Around a diff a person
says them: nothing is put on record in his place but a title, which is the file's name.
"""

import argparse
from pathlib import Path
from typing import Final

from genesis.core.patch import PatchClass
from ledger.core.errors import TimmyError
from node.agent import drafting
from node.agent.drafting import Said

_FIELDS: Final = ("title", "rationale", "evaluation", "expected")


def add_arguments(parser: argparse.ArgumentParser, of: str) -> None:
    """Declare the four; `of` is what they are of."""
    for name in _FIELDS:
        parser.add_argument(f"--{name}", default="", help=f"of {of}")


def over(arguments: argparse.Namespace, said: Said) -> Said:
    """Return what was said on the command line, and `said` where nothing was."""
    return Said(**{name: getattr(arguments, name) or getattr(said, name) for name in _FIELDS})


def refuse(arguments: argparse.Namespace, *more: str) -> None:
    """Refuse what would be passed over: a document has words of its own. Raises TimmyError.

    `more`: further options that it says itself.
    """
    given = [name for name in (*_FIELDS, *more) if getattr(arguments, name)]
    if given:
        raise TimmyError(
            f"--{given[0]} is of a diff{', or of --git' if hasattr(arguments, 'git') else ''}: "
            "a proposal says that itself",
            hint=f"write it into {drafting.DOCUMENT}",
        )


def around(
    arguments: argparse.Namespace, diff: bytes, patch_class: PatchClass = PatchClass.ROUTINE
) -> tuple[bytes, bytes]:
    """Return the document around the bare diff of `arguments.file`, and the diff as it is in there.

    Raises DraftError for what nobody said.
    """
    file: Path = arguments.file
    said = Said(title=file.stem.replace("-", " ") or "A diff")
    ended = diff if diff.endswith(b"\n") else diff + b"\n"
    return drafting.document_of(over(arguments, said), ended, patch_class), ended
