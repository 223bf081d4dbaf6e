"""Find words in everything said and remembered. Every word may be the start of a word."""

import argparse
from typing import Final

from ledger.core.errors import StoreDamaged
from node import console
from node.home import Home
from node.open import reading

WORDS: Final = "words"
"""Words may stand on both sides of options."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("words", nargs="+", help="what to look for")
    parser.add_argument("--limit", type=int, default=20, metavar="N", help="at most so many (20)")


def run(arguments: argparse.Namespace) -> int:
    """Search; exit 1 if nothing was found."""
    with reading(Home.find(arguments.home)) as home:
        hits = home.views.search(" ".join(arguments.words), limit=max(1, arguments.limit))
        if home.views.behind:
            told = console.caught_up(home.views.size, home.log.size)
            console.say(f"search has {told}: what came later is not found yet")
        found = []
        for hit in hits:
            try:
                found.append((home.log.read(hit.position), hit.snippet))
            except StoreDamaged as error:
                console.say(f"warning: {error}")
    if arguments.json:
        console.out_json([console.row(event) | {"snippet": snippet} for event, snippet in found])
    elif found:
        console.table(
            ["event", "when", "type", "says"],
            ([str(e.position), console.when(e.ts_ms), e.type, text] for e, text in found),
        )
    else:
        console.say("nothing found")
    return 0 if found else 1
