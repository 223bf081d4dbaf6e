"""Compute the state again from event 0 and compare it with every attested one on the way."""

import argparse

from ledger.replay import ReplayDiffers, replay
from node import console
from node.home import Home
from node.open import open_log


def add_arguments(_parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""


def run(arguments: argparse.Namespace) -> int:
    """Replay; exit 1 if a state differs."""
    from node.folding import REDUCERS

    with open_log(Home.find(arguments.home)) as log:
        try:
            done = replay(log.events(), REDUCERS)
        except ReplayDiffers as error:
            console.fail(error)
            if arguments.json:
                console.out_json({"error": str(error), "hint": error.hint})
            return 1
        root = log.tree.root()
    result = {
        "events": done.state.size,
        "digest": done.state.digest(),
        "reducers": done.reducers,
        "root": root,
        "attested_agreed": done.agreed,
        "attested_by_other_reducers": done.foreign,
    }
    if arguments.json:
        console.out_json(result)
    else:
        for name, value in result.items():
            console.out(f"{name:28} {console.jsonable(value)}")
    return 0
