"""Takes a state back to what it was, with a migration that lies beside it, and nothing else.

It stands as main.py in a folder with `migration.py`, the module that a proposal declares, and
`_state`, the CBOR of all entries of the new state. It hands over the CBOR of what
`migration.inverse` makes of them: the entries of the old one. No event is there, no reducer, no
other state: what the new state does not hold cannot come back.
"""

import importlib
import socket
from pathlib import Path


def inverted(folder: Path) -> bytes:
    """Return the entries of the old state, as CBOR."""
    import cbor2

    migration = importlib.import_module("migration")
    entries = cbor2.loads((folder / "_state").read_bytes())
    said: bytes = cbor2.dumps(migration.inverse(entries), canonical=True)
    return said


if __name__ == "__main__":
    with socket.socket(fileno=0) as channel:
        channel.sendall(inverted(Path(__file__).resolve().parent))
