"""Takes a state back to what it was, with a migration that lies beside it, and nothing else.

It stands as main.py in a folder with `packing.py`, with `migration.py`, the module that a proposal
declares, and `_state`, the frames of all entries of the new state. It hands over what
`migration.inverse` makes of them, the entries of the old one, and [how many]. No event is there, no
reducer, no other state: what the new state does not hold cannot come back.
"""

import importlib
import socket
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO


def invert(folder: Path, said: BinaryIO) -> None:
    """Say the entries of the old state."""
    import cbor2

    encode, packing = partial(cbor2.dumps, canonical=True), importlib.import_module("packing")
    migration = importlib.import_module("migration")
    entries: dict[str, Any] = {}
    with (folder / "_state").open("rb") as state:
        for some in packing.frames_of(state.read):
            entries |= cbor2.loads(some)
    old = migration.inverse(entries)
    for some in packing.maps_of(old, encode):
        said.write(packing.framed(some))
    said.write(packing.framed(encode([len(old)])))


if __name__ == "__main__":
    with socket.socket(fileno=0) as channel, channel.makefile("wb") as out:
        invert(Path(__file__).resolve().parent, out)
