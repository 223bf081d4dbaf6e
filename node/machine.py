"""What the machine has left: disk of the home, memory, swap, load. The door to /proc/meminfo."""

import os
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Final

_MEMINFO: Final = Path("/proc/meminfo")
_FIELDS: Final = {
    "MemTotal": "memory_bytes",
    "MemAvailable": "memory_free_bytes",
    "SwapTotal": "swap_bytes",
    "SwapFree": "swap_free_bytes",
}


def read_machine(home: Path) -> dict[str, int]:
    """Return what there is in whole bytes; what this machine does not tell is left out."""
    found: dict[str, int] = {"cores": os.cpu_count() or 1}
    with suppress(OSError):
        disk = shutil.disk_usage(home)
        found |= {"disk_bytes": disk.total, "disk_free_bytes": disk.free}
    with suppress(OSError):
        found["load_milli"] = int(1000 * os.getloadavg()[0])
    with suppress(OSError, ValueError):
        for line in _MEMINFO.read_text().splitlines():
            name, _, value = line.partition(":")
            if name in _FIELDS:
                found[_FIELDS[name]] = 1024 * int(value.split()[0])
    return found
