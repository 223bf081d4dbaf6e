"""Small makers that the ledger's tests share."""

import itertools
import os

from ledger.core.event import Draft
from ledger.core.keys import Signer
from ledger.log import Log
from ledger.memory import MemoryStore

SIGNER = Signer(bytes.fromhex("11" * 32))
STREAM = b"s" * 16


def ticking(start=1_790_000_000_000):
    counter = itertools.count(start)
    return lambda: next(counter)


def open_log(store=None, clock=None):
    return Log(
        store if store is not None else MemoryStore(), clock=clock or ticking(), entropy=os.urandom
    )


def genesis():
    return Draft(type="genesis.born", stream=bytes(16), payload={"log": SIGNER.public})


def message(text="hello", *, key=None, stream=STREAM, causes=()):
    return Draft(
        type="message.received",
        stream=stream,
        payload={"author": "operator"},
        content={"text": text},
        idempotency_key=key,
        causes=causes,
    )


def fact(number=0, *, stream=STREAM):
    return Draft(type="test.fact", stream=stream, payload={"n": number})
