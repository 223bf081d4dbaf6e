"""Folds events with the software that lies beside it, in the sandbox, and hands over the state.

It stands as main.py in a folder with the packages of that software that fold and, in `_site`, the
libraries that folding takes. `_events` holds records without words: [first position, [sizes],
[[position, envelope, salt, payload], ...]]. For each size, which ends the events up to it, it hands
over [size, digest, the CBOR of all entries]: what the digest is of, the judge computes himself.

Not covered: that this program is what answers. The software that folds is in the process, too.
"""

import socket
import sys
from pathlib import Path


def folded(folder: Path) -> bytes:
    """Return what is handed over, as CBOR."""
    import cbor2

    from ledger.core.event import Event, Record
    from ledger.core.state import BASIC_REDUCERS, State
    from runtime.core.reducers import REDUCERS

    first, sizes, rows = cbor2.loads((folder / "_events").read_bytes())
    state = State((*BASIC_REDUCERS, *REDUCERS), size=first)
    events = iter(rows)
    told = []
    for size in sizes:
        while state.size < size:
            position, envelope, salt, payload = next(events)
            state.apply(Event.open(Record(position, envelope, salt, payload)))
        entries = cbor2.dumps(state.entries, canonical=True)
        told.append([state.size, state.digest(), entries])
    return cbor2.dumps(told, canonical=True)


if __name__ == "__main__":
    with socket.socket(fileno=0) as channel:
        here = Path(__file__).resolve().parent
        sys.path.append(str(here / "_site"))
        channel.sendall(folded(here))
