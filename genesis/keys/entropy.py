"""Where the randomness of a birth comes from, named for the genesis event.

    os-getrandom     32 bytes of the kernel's generator; always there, and enough alone
    hwrng            32 bytes of /dev/hwrng, if it answers within a quarter of a second
    boot-id, machine-id, clock    facts of this machine; no entropy to speak of, only distinctness

All are mixed (genesis/core/keys.py), so none can weaken another. The names are what this machine
says of itself: a virtual /dev/hwrng is the hypervisor's word, and only a TPM quote would make it
more than a claim. RDRAND cannot be executed from Python; where the CPU has it, the kernel already
mixes it into getrandom.
"""

import os
import select
import time
from pathlib import Path

from genesis.core.keys import Entropy

HWRNG = Path("/dev/hwrng")
SOURCE_BYTES = 32
"""One secp256k1 secret's worth from each real source."""
HWRNG_WAIT_S = 0.25
"""A working device gives 32 bytes in a millisecond; a birth does not wait for a stuck one."""
FACT_BYTES_MAX = 128
"""A boot id and a machine id are 37 and 33 bytes."""

_FACTS = (
    ("boot-id", Path("/proc/sys/kernel/random/boot_id")),
    ("machine-id", Path("/etc/machine-id")),
)


def _os_random() -> Entropy:
    if hasattr(os, "getrandom"):
        return Entropy(name="os-getrandom", data=os.getrandom(SOURCE_BYTES))
    return Entropy(name="os-urandom", data=os.urandom(SOURCE_BYTES))


def _read_some(descriptor: int, deadline_s: float) -> bytes:
    data = b""
    while len(data) < SOURCE_BYTES:
        left = deadline_s - time.monotonic()
        if left <= 0 or not select.select([descriptor], [], [], left)[0]:
            return data
        try:
            chunk = os.read(descriptor, SOURCE_BYTES - len(data))
        except BlockingIOError:
            time.sleep(0.001)  # some drivers report readable and then ask to try again
            continue
        if not chunk:
            return data
        data += chunk
    return data


def read_device(path: Path, *, wait_s: float = HWRNG_WAIT_S) -> bytes | None:
    """Return 32 bytes of a random device, or None if it is absent, closed, slow or stuck."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        data = _read_some(descriptor, time.monotonic() + wait_s)
    except OSError:
        return None
    finally:
        os.close(descriptor)
    stuck = len(set(data)) <= 1
    return None if stuck or len(data) < SOURCE_BYTES else data


def _facts() -> list[Entropy]:
    found = [Entropy(name="clock", data=f"{time.time_ns()} {time.perf_counter_ns()}".encode())]
    for name, path in _FACTS:
        try:
            with path.open("rb") as file:
                found.append(Entropy(name=name, data=file.read(FACT_BYTES_MAX)))
        except OSError:
            continue
    return found


def collect(*, hwrng: Path = HWRNG) -> tuple[Entropy, ...]:
    """Return fresh inputs of every source that answers; the first is the kernel's."""
    device = read_device(hwrng)
    hardware = [] if device is None else [Entropy(name="hwrng", data=device)]
    return (_os_random(), *hardware, *_facts())


def source_names(inputs: tuple[Entropy, ...]) -> tuple[str, ...]:
    """The names for the genesis event, in the order they were mixed."""
    return tuple(source.name for source in inputs)
