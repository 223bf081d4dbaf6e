"""A whole node as a user starts it: birth, start-up, an append and a turn by HTTP, idle memory.

Used by figures.py, in its own process: what is measured are the node's processes.
"""

import json
import os
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import Any, Final

_READY_SECONDS: Final = 900.0
"""A start that replays a million events twice takes minutes; more is a hang."""
_POLL_SECONDS: Final = 0.005
_STOP_SECONDS: Final = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """A node that answers. `start_ms` is from the start of its process to its run.json."""

    pid: int
    host: str
    port: int
    start_ms: float


def settle(folder: Path) -> None:
    """Make the home's folder and its settings; the first start is the birth."""
    (folder / "home").mkdir(parents=True, mode=0o700)
    (folder / "home" / "node.toml").write_text("[api]\nport = 0\n")


def _environment(folder: Path) -> dict[str, str]:
    return os.environ | {
        "TIMMY_HOME": str(folder / "home"),
        "TIMMY_STATE": str(folder / "state"),
        "TIMMY_PASSPHRASE": "a bench has no secrets",
    }


@contextmanager
def started(folder: Path) -> Iterator[Running]:
    """A node for the time of a block, stopped as a user stops it."""
    begin = time.perf_counter()
    with (folder / "run.err").open("wb") as errors:
        process = subprocess.Popen(
            [sys.executable, "-m", "node", "run"],
            env=_environment(folder),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=errors,
        )
    try:
        running = _ready(folder, process, begin)
        yield running
        process.send_signal(signal.SIGTERM)
        process.wait(_STOP_SECONDS)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


def _ready(folder: Path, process: "subprocess.Popen[bytes]", begin: float) -> Running:
    path = folder / "home" / "run.json"
    while time.perf_counter() - begin < _READY_SECONDS and process.poll() is None:
        try:
            found: dict[str, Any] = json.loads(path.read_text())
            if found["pid"] == process.pid:
                passed = (time.perf_counter() - begin) * 1000
                return Running(
                    pid=process.pid, host=found["host"], port=found["port"], start_ms=passed
                )
        except (OSError, ValueError):
            pass
        time.sleep(_POLL_SECONDS)
    raise SystemExit(f"the node did not start: {(folder / 'run.err').read_text()[-2000:]}")


def descendants(pid: int) -> list[int]:
    """A process and all that came of it."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *(found for child in children for found in descendants(int(child)))]


def memory_mib(pid: int, line: str = "VmRSS") -> float:
    """Resident memory of one process now (VmRSS) or at its highest (VmHWM), in MiB."""
    text = Path(f"/proc/{pid}/status").read_text()
    found = next(found for found in text.splitlines() if found.startswith(line))
    return int(found.split()[1]) / 1024


def _say(connection: HTTPConnection, token: str, **body: Any) -> float:
    begin = time.perf_counter()
    connection.request("POST", "/v1/say", json.dumps(body), {"Authorization": f"Bearer {token}"})
    connection.getresponse().read()
    return (time.perf_counter() - begin) * 1000


def measure(folder: Path, messages: int, idle_s: float) -> dict[str, float]:
    """Measure a new node in `folder`."""
    settle(folder)
    with started(folder) as born:
        pass
    with started(folder) as running:
        time.sleep(idle_s)
        rest = sum(memory_mib(pid) for pid in descendants(running.pid)[1:])
        found = {"birth": born.start_ms, "start": running.start_ms}
        found |= {"idle-host": memory_mib(running.pid), "idle-agent": rest}
        connection = HTTPConnection(running.host, running.port)
        token = (folder / "home" / "token").read_text().strip()
        told = [_say(connection, token, text=f"note {n}", wait_s=0) for n in range(messages)]
        time.sleep(idle_s)
        turns = [_say(connection, token, text=f"and {n}?") for n in range(messages)]
    return found | {"said": statistics.median(told), "turn": statistics.median(turns)}
