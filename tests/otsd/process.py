"""A calendar as a process, and the public `ots` program beside it."""

import os
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[2]


class CalendarProcess:
    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"

    def commit(self) -> None:
        """Send the transaction for what waits."""
        request = urllib.request.Request(f"{self.url}/commit", b"", method="POST")
        with urllib.request.urlopen(request, timeout=60) as answer:
            assert answer.status == 200


@contextmanager
def running_calendar(rpc: str, cookie: Path) -> Iterator[CalendarProcess]:
    command = [sys.executable, "-m", "tests.otsd", "--rpc", rpc, "--cookie", str(cookie)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        assert process.stdout is not None
        ready, port = process.stdout.readline().split()
        assert ready == "ready"
        try:
            yield CalendarProcess(int(port))
        finally:
            process.kill()


def public_ots(rpc: str, cookie: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run opentimestamps-client, as a stranger would, against a regtest node."""
    login = cookie.read_text().strip()
    node = rpc.replace("http://", f"http://{login}@")
    command = [sys.executable, "-c", "from otsclient.ots import main; main()"]
    options = ["--no-cache", "--no-default-whitelist", "--btc-regtest", "--bitcoin-node", node]
    return subprocess.run(
        [*command, *options, *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={"PATH": os.environ["PATH"], "HOME": "/nonexistent", "GIT_PYTHON_REFRESH": "quiet"},
    )
