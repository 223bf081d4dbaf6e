"""What the figures were measured on, without its name or anybody's folders."""

import json
import os
import platform
import re
import subprocess
from importlib.metadata import version
from pathlib import Path
from typing import Final

import apsw

from bench.contest import ROOT

_PEERS: Final[dict[str, frozenset[str]]] = {
    ".venv-bench": frozenset(
        {"eventsourcing", "pymerkle", "langgraph", "langgraph_checkpoint_sqlite", "openai_agents"}
    ),
    ".venv-relay": frozenset({"nostr_relay", "nostr_sdk"}),
}
_NPM_PEERS: Final = {"bench/peers": "hypercore", "tests/nostr": "@nostr-relay/core"}


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


def _pinned(place: Path, name: str) -> str:
    """The version of an npm package that is installed there; empty if it is not."""
    try:
        text = (place / "node_modules" / name / "package.json").read_text()
    except OSError:
        return ""
    return f"{name} {json.loads(text)['version']}"


def versions() -> str:
    """Python, SQLite, and the peers that are here."""
    found = [f"Python {platform.python_version()}", f"SQLite {apsw.sqlite_lib_version()}"]
    found += [f"{name} {version(name)}" for name in ("cbor2", "apsw", "blake3")]
    for place, peers in _PEERS.items():
        for path in sorted((ROOT / place).glob("lib/*/site-packages/*.dist-info")):
            name, number = path.stem.rsplit("-", 1)
            if name in peers:
                found.append(f"{name} {number}")
    npm = [_pinned(ROOT / place, name) for place, name in _NPM_PEERS.items()]
    if any(npm):
        found.append(f"{', '.join(filter(None, npm))} on node {_output('node', '-v')}")
    git = _output("git", "--version").removeprefix("git version ")
    return ", ".join([*found, *([f"git {git}"] if git else [])])
