"""What the figures were measured on, without its name or anybody's folders."""

import os
import platform
import re
import subprocess
from importlib.metadata import version
from pathlib import Path

import apsw

from bench.contest import ROOT


def _output(*argv: str) -> str:
    try:
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
    except OSError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def _processor() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return platform.machine()
    found = re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
    return found[1] if found else platform.machine()


def _filesystem(folder: Path) -> str:
    """The type of the file system that `folder` is on."""
    found = _output("stat", "--file-system", "--format=%T", str(folder))
    return found.replace("ext2/ext3", "ext4") or "unknown file system"


def machine(folder: Path) -> str:
    """Cores, processor, memory, file system, kernel."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return (
        f"{os.cpu_count()} cores ({_processor()}), {memory:.0f} GiB, {_filesystem(folder)},"
        f" {platform.system()} {platform.release().split('-')[0]}"
    )


def versions() -> str:
    """Python, SQLite, and the peers that are here."""
    found = [f"Python {platform.python_version()}", f"SQLite {apsw.sqlite_lib_version()}"]
    found += [f"{name} {version(name)}" for name in ("cbor2", "apsw", "blake3")]
    for path in sorted((ROOT / ".venv-bench").glob("lib/*/site-packages/*.dist-info")):
        name, number = path.stem.rsplit("-", 1)
        if name in {"eventsourcing", "pymerkle"}:
            found.append(f"{name} {number}")
    lock = ROOT / "bench" / "peers" / "package.json"
    if (lock.parent / "node_modules").is_dir():
        pinned = re.search(r'"hypercore": "([^"]+)"', lock.read_text())
        found.append(f"hypercore {pinned[1] if pinned else '?'} on node {_output('node', '-v')}")
    git = _output("git", "--version").removeprefix("git version ")
    return ", ".join([*found, *([f"git {git}"] if git else [])])
