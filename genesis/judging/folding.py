"""Folds events with the software that lies beside it, in the sandbox, and hands over the state.

It stands as main.py in a folder with `packing.py`, the packages of that software that fold and, in
`_site`, the libraries that folding takes. It is told [first position, [sizes]] and then the events
(`packing`), for as long as it asks; none of them is kept. At each size, which ends the events up to
it, it hands over all entries and [size, digest]: what the digest is of, the judge computes himself.

Not covered: that this program is what answers. The software that folds is in the process, too.
"""

import importlib
import socket
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO


def fold(told: BinaryIO, said: BinaryIO) -> None:
    """Fold what is told, and say what came of it."""
    import cbor2

    from ledger.core.event import Event, Record
    from ledger.core.state import BASIC_REDUCERS, State
    from runtime.core.reducers import REDUCERS

    encode, packing = partial(cbor2.dumps, canonical=True), importlib.import_module("packing")
    frames = packing.frames_of(told.read)
    first, sizes = cbor2.loads(next(frames))

    def events() -> Iterator[Any]:
        position = first
        for frame in frames:
            row = cbor2.loads(frame)
            at = range(0, len(row), 3)
            yield from Event.open_together(
                [Record(position + n, *row[i : i + 3]) for n, i in enumerate(at)]
            )
            position += len(at)

    state, rest = State((*BASIC_REDUCERS, *REDUCERS), size=first), events()
    for size in sizes:
        while state.size < size:
            state.apply(next(rest))
        said.writelines(packing.framed(some) for some in packing.maps_of(state.entries, encode))
        said.write(packing.framed(encode([state.size, state.digest()])))
        said.flush()


if __name__ == "__main__":
    with socket.socket(fileno=0) as channel:
        sys.path.append(str(Path(__file__).resolve().parent / "_site"))
        with channel.makefile("rb") as told, channel.makefile("wb") as said:
            fold(told, said)
