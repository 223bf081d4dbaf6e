"""One real birth at the format's lowest scrypt cost, shared where nothing changes it."""

import pytest

from genesis.birth import Birth, prepare
from genesis.soul import default_soul

PASSPHRASE = "correct horse battery staple"
CHEAP = 1


def bear(**overrides) -> Birth:
    arguments = {
        "name": "Timmy",
        "soul": default_soul(),
        "architecture": bytes(range(32)),
        "created_ms": 1_790_000_000_000,
        "passphrase": PASSPHRASE,
        "log_n": CHEAP,
    }
    return prepare(**(arguments | overrides))


@pytest.fixture(scope="session")
def birth() -> Birth:
    return bear()
