"""Folds events with the software that lies beside it, in the sandbox, and says what came of it.

It stands as main.py in a folder with the packages of that software that fold and, in `_site`, the
libraries that folding takes. `_events` holds records without words: [first position, [[position,
envelope, salt, payload], ...]]. What it says is what this software would hold: its state's size and
digest, and the digest of each part.
"""

import socket
import sys
from pathlib import Path


def folded(folder: Path) -> bytes:
    """Return what is said, as CBOR."""
    import cbor2

    from ledger.core.event import Event, Record
    from ledger.core.state import BASIC_REDUCERS, State
    from runtime.core.reducers import REDUCERS

    first, rows = cbor2.loads((folder / "_events").read_bytes())
    state = State((*BASIC_REDUCERS, *REDUCERS), size=first)
    for position, envelope, salt, payload in rows:
        state.apply(Event.open(Record(position, envelope, salt, payload)))
    return cbor2.dumps([state.size, state.digest(), state.parts()], canonical=True)


if __name__ == "__main__":
    with socket.socket(fileno=0) as channel:
        here = Path(__file__).resolve().parent
        sys.path.append(str(here / "_site"))
        channel.sendall(folded(here))
