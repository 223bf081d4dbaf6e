"""litewitness, a witness that others wrote (Debian's torchwood): on loopback, its key in an ssh-agent.

It keeps what it saw in SQLite and verifies consistency proofs; it knows no BIP-340 and takes no
introduction. `witnessctl` enrols a log with what `timmy mesh witness` prints.
"""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.node.world import until
from tests.ports import free_port

NAME = "witness.example/w1"
_PROGRAMS = Path(__file__).parents[2] / "build/torchwood/usr/bin"
_PATH = f"{_PROGRAMS}:{os.environ['PATH']}"
WAIT = 60.0
# It is a program of others that not every machine can fetch; what runs everywhere is public_witness.
needed = pytest.mark.skipif(
    not ((_PROGRAMS / "litewitness").exists() and shutil.which("ssh-agent")),
    reason="there is no litewitness, or no ssh-agent (tests/litewitness.sh)",
)


@dataclass
class LiteWitness:
    """One witness. What it signed and saw is in `folder`; started again it goes on from there."""

    folder: Path
    port: int = field(default_factory=free_port)
    key: str = ""
    """Its verifier key, as it says itself when it starts."""

    def __post_init__(self) -> None:
        self.folder.mkdir()
        self._run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", "key")

    @property
    def url(self) -> str:
        """The prefix to put into node.toml."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def logged(self) -> str:
        return (self.folder / "log").read_text()

    def enrol(self, origin: str, verifier: str) -> None:
        """Tell it of a log; it may be running."""
        self._run("witnessctl", "add-log", "-origin", origin)
        self._run("witnessctl", "add-key", "-origin", origin, "-key", verifier)

    @contextmanager
    def running(self) -> Iterator["LiteWitness"]:
        """Answer for the time of a block, and end without a warning, as a machine that goes off."""
        with self._agent(), (self.folder / "log").open("wb") as log:
            fingerprint = self._run("ssh-keygen", "-lf", "key.pub").split()[1]
            command = ["litewitness", "-name", NAME, "-key", fingerprint, "-ssh-agent", "agent"]
            command += ["-listen", f"127.0.0.1:{self.port}"]
            with self._process(*command, stdout=log, stderr=log) as process:
                until(
                    lambda: process.poll() is not None or "msg=listening" in self.logged,
                    WAIT,
                    "it listens",
                )
                assert process.poll() is None, self.logged
                [self.key] = re.findall(r"vkey=(\S+)", self.logged)
                yield self

    @contextmanager
    def _agent(self) -> Iterator[None]:
        socket = self.folder / "agent"
        socket.unlink(missing_ok=True)
        with self._process("ssh-agent", "-D", "-a", socket.name, stdout=subprocess.DEVNULL):
            until(socket.exists, WAIT, "there is an ssh-agent")
            self._run("ssh-add", "-q", "key")
            yield

    @contextmanager
    def _process(self, *command: str, **streams) -> Iterator[subprocess.Popen]:
        process = subprocess.Popen(command, cwd=self.folder, env=self._env, **streams)
        try:
            yield process
        finally:
            process.kill()
            process.wait()

    def _run(self, *command: str) -> str:
        done = subprocess.run(
            command, cwd=self.folder, env=self._env, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done
        return done.stdout

    @property
    def _env(self) -> dict[str, str]:
        # A socket's path may have 108 bytes: it is named as seen from the folder.
        return os.environ | {"PATH": _PATH, "SSH_AUTH_SOCK": "agent"}
