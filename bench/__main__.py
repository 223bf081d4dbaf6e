"""First figures of a node: append, replay, proofs, one turn, start-up, idle memory.

Everything runs on this machine's disk in a temporary folder, on loopback. Prints a table and writes
build/bench.json. Peers come with the ledger's own benchmark.
"""

import json
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench.ledger import ledger_rows
from bench.living import living_rows

Row = tuple[str, float, str]


def fdatasync_rate(folder: Path, count: int = 200) -> Row:
    """One 4 KiB write and fdatasync at a time: what one durable append could reach at best."""
    fd = os.open(folder / "sync", os.O_WRONLY | os.O_CREAT)
    times = []
    for _ in range(count):
        os.pwrite(fd, b"x" * 4096, 0)
        begin = time.perf_counter()
        os.fdatasync(fd)
        times.append(time.perf_counter() - begin)
    os.close(fd)
    return "disk: fdatasync", 1 / statistics.median(times), "/s"


def main() -> None:
    """Measure, print, keep."""
    rows: list[Row] = []
    parts: list[Callable[[Path], list[Any]]] = [
        lambda folder: [fdatasync_rate(folder)],
        ledger_rows,
        lambda folder: [("disk again: fdatasync", *fdatasync_rate(folder)[1:])],
        living_rows,
    ]
    with tempfile.TemporaryDirectory(prefix="timmy-bench-") as name:
        for part in parts:
            for row in part(Path(name)):
                rows.append(row)
                print(f"{row[0]:48} {row[1]:>14,.1f} {row[2]}", flush=True)
    result = {
        "python": platform.python_version(),
        "machine": f"{os.cpu_count()} cores, {platform.machine()}",
        "rows": [{"what": what, "value": value, "unit": unit} for what, value, unit in rows],
    }
    Path("build").mkdir(exist_ok=True)
    Path("build/bench.json").write_text(json.dumps(result, indent=1) + "\n")


main()
