"""Relays by other people as processes: PyPI nostr-relay, npm @nostr-relay.

They share no code with ours, nor with each other. nostr-relay stands in an environment of its own
(requirements/relay.in): it brings a web framework and an ORM that nothing here needs. Both keep
SQLite files, check signatures, and listen on loopback only. `make test` and `make bench` install
them; where that was not possible `absence` says why.
"""

import shutil
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from pathlib import Path

from tests.ports import free_port

HERE = Path(__file__).parent
VENV = HERE.parent.parent / ".venv-relay"
NPM = "@nostr-relay"
PYPI = "nostr-relay"
READY_S = 60
_POLL_S = 0.02
_CONFIGURATION = """\
DEBUG: false
relay_name: nostr-relay
storage:
  sqlalchemy.url: sqlite+aiosqlite:///{folder}/nostr.sqlite3
  num_concurrent_reqs: 10
  num_concurrent_adds: 2
  validators:
    - nostr_relay.validators.is_not_too_large
    - nostr_relay.validators.is_signed
    - nostr_relay.validators.is_recent
    - nostr_relay.validators.is_not_hellthread
verification:
  nip05_verification: disabled
gunicorn:
  bind: 127.0.0.1:{port}
  workers: 1
  loglevel: warning
authentication:
  enabled: false
message_timeout: 1800
subscription_limit: 32
max_limit: 6000
hellthread_limit: 100
oldest_event: {oldest_s}
"""
"""The configuration that it comes with, but for the address, the file, and what it logs."""
YEAR_S = 31_536_000
"""How old an event may be that it takes, as it comes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """A relay that answers; `pid` is that of its first process."""

    url: str
    pid: int


def absence(name: str) -> str:
    """Why a relay cannot run here; empty if it can."""
    if name == PYPI:
        return "" if (VENV / "bin" / "nostr-relay").exists() else f"{PYPI} is not installed"
    if shutil.which("node") is None:
        return "node is not installed"
    built = HERE / "node_modules" / "better-sqlite3" / "build" / "Release" / "better_sqlite3.node"
    return "" if built.exists() else f"{NPM} is not installed: it wants npm, a network, a compiler"


@contextmanager
def relay(name: str, folder: Path) -> Iterator[Running]:
    """Run the relay of that name with its files in `folder` for the time of a block."""
    running = pypi_relay if name == PYPI else npm_relay
    with running(folder) as found:
        yield found


@contextmanager
def npm_relay(folder: Path) -> Iterator[Running]:
    """npm @nostr-relay on SQLite, in one process."""
    command = ["node", str(HERE / "npm_relay.mjs"), str(folder / "events.sqlite")]
    with announced(command, folder) as running:
        yield running


@contextmanager
def pypi_relay(folder: Path, *, oldest_s: int = YEAR_S) -> Iterator[Running]:
    """PyPI nostr-relay on SQLite, as its own command starts it: gunicorn and one worker."""
    port = free_port()
    file = folder / "relay.yaml"
    file.write_text(_CONFIGURATION.format(folder=folder, port=port, oldest_s=oldest_s))
    command = [str(VENV / "bin" / "python"), str(VENV / "bin" / "nostr-relay"), "-c", str(file)]
    with _process([*command, "serve"], folder, None) as process:
        _until_answered(port, process, folder)
        yield Running(url=f"ws://127.0.0.1:{port}", pid=process.pid)


@contextmanager
def announced(command: Sequence[str], folder: Path) -> Iterator[Running]:
    """Run a relay that prints its address in a line of its own when it is ready."""
    with _process(command, folder, subprocess.PIPE) as process:
        assert process.stdout is not None
        url = process.stdout.readline().decode().strip()
        assert url.startswith("ws://"), _said(folder)
        yield Running(url=url, pid=process.pid)


@contextmanager
def _process(
    command: Sequence[str], folder: Path, output: int | None
) -> Iterator["subprocess.Popen[bytes]"]:
    with (folder / "log").open("ab") as log:
        process = subprocess.Popen(
            command, cwd=folder, stdin=subprocess.DEVNULL, stdout=output or log, stderr=log
        )
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(READY_S)
            finally:
                process.kill()
                if process.stdout is not None:
                    process.stdout.close()


def _until_answered(port: int, process: "subprocess.Popen[bytes]", folder: Path) -> None:
    deadline = time.monotonic() + READY_S
    while not _answers(port):
        assert process.poll() is None, _said(folder)
        assert time.monotonic() < deadline, _said(folder)
        time.sleep(_POLL_S)


def _answers(port: int) -> bool:
    connection = HTTPConnection("127.0.0.1", port, timeout=READY_S)
    try:
        connection.request("GET", "/")
        return connection.getresponse().status == 200
    except (OSError, HTTPException):
        return False
    finally:
        connection.close()


def _said(folder: Path) -> str:
    return (folder / "log").read_text(errors="replace")[-2000:]
