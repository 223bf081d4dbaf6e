"""The disk's own rate, and how often a contestant asks the system to make something durable.

Counting is a run of its own: it slows the counted one. It is done twice, with a count and with
twice that count, and the difference taken, so that opening and closing do not count. strace counts
where there is one that may trace; else a library of twenty lines, loaded before libc, where there
is a C compiler; else nothing counts, and the report says so. Neither sees a file that was opened
O_SYNC; no contestant opens one.
"""

import os
import re
import shutil
import statistics
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

_CALLS: Final = ("fsync", "fdatasync", "sync_file_range", "msync", "syncfs", "sync")
_LINE: Final = re.compile(
    rf"^\s*[\d.]+\s+[\d.]+\s+\d+\s+(\d+)\s.*\b(?:{'|'.join(_CALLS)})$", re.MULTILINE
)
"""A line of `strace -c`: per cent, seconds, microseconds a call, calls, errors if any, name."""
_TALLY: Final = "BENCH_TALLY"
_LIBRARY: Final = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/types.h>
#include <unistd.h>
static void tally(void) {
  const char *path = getenv("BENCH_TALLY");
  int fd = path ? open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600) : -1;
  if (fd >= 0) { if (write(fd, "x", 1) != 1) abort(); close(fd); }
}
#define COUNTED(name, parameters, arguments) \
  int name parameters { \
    int (*real) parameters = (int (*) parameters) dlsym(RTLD_NEXT, #name); \
    tally(); \
    return real arguments; \
  }
COUNTED(fsync, (int fd), (fd))
COUNTED(fdatasync, (int fd), (fd))
COUNTED(syncfs, (int fd), (fd))
COUNTED(msync, (void *at, size_t length, int flags), (at, length, flags))
COUNTED(sync_file_range, (int fd, off64_t at, off64_t length, unsigned flags),
        (fd, at, length, flags))
"""


def disk_rate(folder: Path, count: int = 50) -> float:
    """One 4 KiB write and fdatasync at a time: per second, by the median."""
    fd = os.open(folder / "sync", os.O_WRONLY | os.O_CREAT)
    times = []
    try:
        for _ in range(count):
            os.pwrite(fd, os.urandom(4096), 0)
            begin = time.perf_counter()
            os.fdatasync(fd)
            times.append(time.perf_counter() - begin)
    finally:
        os.close(fd)
    return 1 / statistics.median(times)


class Counter:
    """Runs a command and counts. `how` says by what means; empty if there is none."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._library = folder / "tally.so"
        self.how = "strace" if self._may_trace() else "preload" if self._compiled() else ""

    def _may_trace(self) -> bool:
        if shutil.which("strace") is None:
            return False
        return self._traced(["true"], dict(os.environ)) == 0

    def _compiled(self) -> bool:
        compiler = shutil.which("cc")
        if compiler is None:
            return False
        source = self._library.with_suffix(".c")
        source.write_text(_LIBRARY)
        argv = [compiler, "-shared", "-fPIC", "-O2", "-o", str(self._library), str(source), "-ldl"]
        return subprocess.run(argv, capture_output=True, check=False).returncode == 0

    def count(self, argv: Sequence[str], env: Mapping[str, str]) -> int | None:
        """How many durability calls `argv` and its children made; None if it failed."""
        return self._traced(argv, env) if self.how == "strace" else self._preloaded(argv, env)

    def _traced(self, argv: Sequence[str], env: Mapping[str, str]) -> int | None:
        table = self._folder / "strace.txt"
        trace = ["strace", "-f", "-c", "-o", str(table), "-e", f"trace={','.join(_CALLS)}"]
        done = subprocess.run([*trace, *argv], env=env, capture_output=True, check=False)
        if done.returncode:
            return None
        return sum(int(found) for found in _LINE.findall(table.read_text()))

    def _preloaded(self, argv: Sequence[str], env: Mapping[str, str]) -> int | None:
        tally = self._folder / "tally"
        tally.write_bytes(b"")
        env = {**env, _TALLY: str(tally), "LD_PRELOAD": str(self._library)}
        done = subprocess.run(argv, env=env, capture_output=True, check=False)
        return None if done.returncode else tally.stat().st_size
