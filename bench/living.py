"""A whole node as a user starts it: birth, start-up, an append and a turn by HTTP, idle memory."""

import json
import os
import signal
import statistics
import subprocess
import sys
import time
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

_READY_SECONDS = 60.0


def _environment(folder: Path) -> dict[str, str]:
    return os.environ | {
        "TIMMY_HOME": str(folder / "home"),
        "TIMMY_STATE": str(folder / "state"),
        "TIMMY_PASSPHRASE": "a bench has no secrets",
    }


def _start(folder: Path) -> tuple["subprocess.Popen[bytes]", dict[str, Any], float]:
    begin = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "node", "run"],
        env=_environment(folder),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    running = folder / "home" / "run.json"
    while time.perf_counter() - begin < _READY_SECONDS:
        try:
            found: dict[str, Any] = json.loads(running.read_text())
            if found["pid"] == process.pid:
                return process, found, (time.perf_counter() - begin) * 1000
        except (OSError, ValueError):
            pass
        time.sleep(0.005)
    process.kill()
    raise SystemExit("the node did not start")


def _stop(process: "subprocess.Popen[bytes]") -> None:
    process.send_signal(signal.SIGTERM)
    process.wait(30)


def _descendants(pid: int) -> list[int]:
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *(found for child in children for found in _descendants(int(child)))]


def _rss_mib(pid: int) -> float:
    text = Path(f"/proc/{pid}/status").read_text()
    line = next(line for line in text.splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) / 1024


def _say(connection: HTTPConnection, token: str, **body: Any) -> float:
    begin = time.perf_counter()
    connection.request("POST", "/v1/say", json.dumps(body), {"Authorization": f"Bearer {token}"})
    connection.getresponse().read()
    return (time.perf_counter() - begin) * 1000


def living_rows(folder: Path) -> list[tuple[str, float, str]]:
    """Measure a node."""
    folder = folder / "living"
    (folder / "home").mkdir(parents=True, mode=0o700)
    (folder / "home" / "node.toml").write_text("[api]\nport = 0\n")
    process, _, birth_ms = _start(folder)
    _stop(process)
    process, running, start_ms = _start(folder)
    time.sleep(3)
    memory = [(_rss_mib(pid), pid) for pid in _descendants(process.pid)]
    host = next(rss for rss, pid in memory if pid == process.pid)
    rest = sum(rss for rss, pid in memory if pid != process.pid)
    connection = HTTPConnection(running["host"], running["port"])
    token = (folder / "home" / "token").read_text().strip()
    appends = [_say(connection, token, text=f"note {n}", wait_s=0) for n in range(30)]
    time.sleep(3)
    turns = [_say(connection, token, text=f"and {n}?") for n in range(30)]
    _stop(process)
    return [
        ("birth and first start", birth_ms, "ms"),
        ("start-up (scrypt included)", start_ms, "ms"),
        ("message acknowledged durable, by HTTP, p50", statistics.median(appends), "ms"),
        ("one turn with the responder, by HTTP, p50", statistics.median(turns), "ms"),
        ("idle memory: host", host, "MiB"),
        ("idle memory: agent process and sandbox", rest, "MiB"),
    ]
