"""A user's machine in a folder: a home, a state directory, and the real `timmy` as a process."""

import atexit
import hashlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

from .warm import Warm, WarmProcess

PASSPHRASE = "a passphrase nobody else would choose"
READY_SECONDS = 120.0
"""A start takes one second; a machine that runs thirty things at once needs more. Like the others
here it guards against a hang, and is no measure of anything."""
COMMAND_SECONDS = 120.0
STOP_SECONDS = 120.0
BY_ITSELF = re.compile(
    r"(node|checkpoint|clock|state)\.|job\.(started|awaited|skipped|finished|noticed)"
    r"|turn\.finished|memory\.distilled|context\.compacted"
)
"""What a node records when its time has come, or a moment after something else."""
OF_TURNS = re.compile(r"(turn|model|tool|approval|todo)\.|message\.sent|memory\.recalled")
"""What a turn that an earlier request began may still record."""
ARGUMENT_CHARS_MAX = 30_000
_KEPT = re.compile(r"PATH|LANG|HOME|TMPDIR|COVERAGE.*")
_AT_START = re.compile(r"PYTHON|LANG|LC_|LD_")
"""Variables that an interpreter reads once, when it starts."""
_MEASURED_NODES = 2
"""Starts of a node, of those that one test file makes, have their coverage measured, and of each
command the first that one test makes, parameters not counted. Measuring doubles what a process
costs, and of 949 processes a third covered 94 % where all covered 95 %."""
_STARTS: Counter[tuple[str, str]] = Counter()
_WARM: list[Warm] = []
"""The process of this worker that forks, once there is one."""
_SCRATCH = re.compile(r"-shm$|\block$|\.lock$|^home/(logs|views\.db)|^run\.(out|err)$")
SETTINGS = """
[node]
checkpoint_interval_ms = 200
[api]
port = 0
[jobs]
heartbeat = ""
report = ""
healer = ""
historian = ""
dreamer = ""
"""
"""The node's own jobs are off: a test that crosses a full quarter would find an event more."""


def measured(command: str) -> bool:
    """Whether this start of a command, or of a node, is one whose coverage is worth its time."""
    test = re.split(r"[\[ ]", os.environ.get("PYTEST_CURRENT_TEST", ""))[0]
    node = command == "node"
    key = (test.partition("::")[0] if node else test, command)
    _STARTS[key] += 1
    return _STARTS[key] <= (_MEASURED_NODES if node else 1)


def warm(command: str) -> Warm | None:
    """What starts this command fast, or None: the first of each in a run of tests starts cold."""
    _STARTS["cold", command] += 1
    if _STARTS["cold", command] == 1 or "TIMMY_TESTS_COLD" in os.environ:
        return None
    if not _WARM:
        _WARM.append(Warm())
        atexit.register(_WARM[0].close)
    return _WARM[0]


def _command(argv: tuple[str, ...]) -> str:
    return next((word for word in argv if not word.startswith("-")), "")


def _long(argv: tuple[str, ...]) -> bool:
    """Whether the kernel may refuse an argument of this length."""
    return any(len(word) >= ARGUMENT_CHARS_MAX for word in argv)


class Failed(Exception):
    """A process did not do what the harness needs of it."""


@dataclass(frozen=True, slots=True)
class Done:
    """What a command did. `code` is its exit status."""

    argv: tuple[str, ...]
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Its standard output as the one JSON document it must be."""
        return json.loads(self.out)

    def good(self) -> "Done":
        """Assert that it ended with 0."""
        assert self.code == 0, self
        return self

    def refused(self, *words: str) -> "Done":
        """Assert one line of error and one of hint, nothing else, exit 2, and these words."""
        lines = self.err.splitlines()
        assert self.code == 2, self
        assert "Traceback" not in self.err, self.err
        assert sum(line.startswith("timmy: error: ") for line in lines) == 1, self.err
        assert sum(line.startswith("timmy: hint: ") for line in lines) == 1, self.err
        assert self.out == "", self.out
        for word in words:
            assert word in self.err, f"{word!r} is not in {self.err!r}"
        return self


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer."""

    status: int
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    def refused(self, status: int, *words: str) -> "Answer":
        """Assert a refusal in our shape with this status and these words."""
        assert self.status == status, self
        found = self.json
        assert set(found) == {"error", "hint"}, found
        for word in words:
            assert word in f"{found['error']} {found['hint']}", f"{word!r} is not in {found}"
        return self


@dataclass(frozen=True, slots=True)
class Home:
    """One agent's places, below `root`. Nothing is made before something runs."""

    root: Path
    passphrase: str | None = PASSPHRASE
    _nodes: list["Node"] = field(default_factory=list)

    @property
    def path(self) -> Path:
        return self.root / "home"

    @property
    def state(self) -> Path:
        return self.root / "state"

    @property
    def ledger(self) -> Path:
        return self.path / "ledger.db"

    @property
    def config(self) -> Path:
        return self.path / "node.toml"

    @property
    def token(self) -> str:
        return (self.path / "token").read_text().strip()

    @property
    def logged(self) -> str:
        """What the node wrote into its log file."""
        return (self.path / "logs" / "node.log").read_text()

    @property
    def guard(self) -> Path:
        """The one guard of this state directory."""
        [found] = self.state.glob("*/head")
        return found

    @property
    def env(self) -> dict[str, str]:
        """A user's environment, without anything this machine may have set for Timmy."""
        env = {name: value for name, value in os.environ.items() if _KEPT.fullmatch(name)}
        env |= {"TIMMY_HOME": str(self.path), "TIMMY_STATE": str(self.state)}
        if self.passphrase is not None:
            env["TIMMY_PASSPHRASE"] = self.passphrase
        return env

    def env_of(self, *argv: str) -> dict[str, str]:
        """The environment for one command: with its coverage measured, or without."""
        kept = measured(_command(argv))
        return {n: v for n, v in self.env.items() if kept or not n.startswith("COVERAGE")}

    def fingerprint(self) -> dict[str, str]:
        """Digest of every file that matters: not logs, locks, SQLite's scratch and views."""
        found = {}
        for path in sorted(self.root.rglob("*")):
            name = str(path.relative_to(self.root))
            if not path.is_file() or _SCRATCH.search(name) or not path.stat().st_size:
                continue
            found[name] = hashlib.sha256(path.read_bytes()).hexdigest()
        return found

    def configure(self, text: str = SETTINGS) -> "Home":
        """Write node.toml."""
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.config.write_text(text)
        return self

    def run(
        self, *argv: str, stdin: bytes = b"", env: dict[str, str] | None = None, fds: tuple = ()
    ) -> Done:
        """Run one command to its end; cold if it gets descriptors, or what an interpreter reads."""
        given = self.env_of(*argv) | (env or {})
        cold = fds or _long(argv) or any(map(_AT_START.match, env or ()))
        starter = None if cold else warm(_command(argv))
        if starter is not None:
            done = starter.run(argv, given, stdin, COMMAND_SECONDS)
        else:
            done = subprocess.run(
                [sys.executable, "-m", "node", *argv],
                input=stdin,
                capture_output=True,
                env=given,
                timeout=COMMAND_SECONDS,
                check=False,
                pass_fds=fds,
            )
        return Done(argv, done.returncode, done.stdout.decode(), done.stderr.decode())

    def python(self, code: str) -> Done:
        """Run code in an interpreter of its own."""
        done = subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            env=self.env_of("python"),
            check=False,
        )
        return Done(("python",), done.returncode, done.stdout.decode(), done.stderr.decode())

    def popen(self, *argv: str, **options: Any) -> subprocess.Popen:
        """Start one command; the caller ends it."""
        command = [sys.executable, "-m", "node", *argv]
        return subprocess.Popen(command, env=self.env_of(*argv), **options)

    def start(self, *, wrapper: tuple[str, ...] = (), cold: bool = False) -> "Node":
        """Start the node and wait until it answers."""
        node = Node(self, wrapper, None if cold or wrapper else warm("node"))
        self._nodes.append(node)
        node.wait_until_ready()
        return node

    @contextmanager
    def running(self, *, cold: bool = False):
        """A node for the time of a block, stopped as a user stops it."""
        node = self.start(cold=cold)
        try:
            yield node
        finally:
            node.stop()

    def copy(self, root: Path) -> "Home":
        """The same agent at another place; no node may be running."""
        shutil.copytree(self.root, root)
        return Home(root, self.passphrase)

    def end(self) -> None:
        """Kill what a failed test left running."""
        for node in self._nodes:
            node.kill9()


class Node:
    """A running node."""

    process: subprocess.Popen | WarmProcess

    def __init__(
        self, home: Home, wrapper: tuple[str, ...] = (), starter: Warm | None = None
    ) -> None:
        self.home = home
        self.said = home.root / "run.out"
        self.complained = home.root / "run.err"
        env = home.env_of("node")
        nothing = Path(os.devnull)
        with (
            nothing.open("rb") as given,
            self.said.open("wb") as out,
            self.complained.open("wb") as err,
        ):
            if starter is not None:
                streams = (given.fileno(), out.fileno(), err.fileno())
                self.process = starter.start(("run",), env, *streams)
            else:
                argv = [*wrapper, sys.executable, "-m", "node", "run"]
                self.process = subprocess.Popen(argv, stdin=given, stdout=out, stderr=err, env=env)
        self.port = 0

    @property
    def alive(self) -> bool:
        return self.process.poll() is None

    @property
    def stderr(self) -> str:
        return self.complained.read_text()

    def wait_until_ready(self) -> None:
        """Return when the node answers; raise with its words if it ended."""
        running = self.home.path / "run.json"
        until(lambda: self._answers(running) or not self.alive, READY_SECONDS, "the node is ready")
        if not self.alive:
            raise Failed(f"the node ended with {self.process.returncode}: {self.stderr}")

    def _answers(self, running: Path) -> bool:
        try:
            found = json.loads(running.read_text())
            if found["pid"] != self.process.pid:
                return False
            self.port = found["port"]
            return self.request("GET", "/healthz").status == 200
        except (OSError, ValueError):
            return False

    def request(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        token: str | None = None,
        headers: dict[str, str] | None = None,
        timeout: float = 120,
    ) -> Answer:
        """Send one request. `body` is bytes, or something that becomes JSON."""
        given = self.home.token if token is None else token
        sent = {"Authorization": f"Bearer {given}"} if given else {}
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        connection = HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        try:
            connection.request(method, path, body=data, headers=sent | (headers or {}))
            response = connection.getresponse()
            return Answer(response.status, response.read())
        finally:
            connection.close()

    def raw(self, data: bytes, *, timeout: float = 10, then_end: bool = True) -> bytes:
        """Send bytes as they are, and return what comes until the node closes or is silent.

        `then_end`: say that there is nothing more to come, as a client that goes away.
        """
        with socket.create_connection(("127.0.0.1", self.port), timeout=timeout) as sock:
            answer = b""
            try:
                sock.sendall(data)
                if then_end:
                    sock.shutdown(socket.SHUT_WR)
                while chunk := sock.recv(65_536):
                    answer += chunk
            except OSError:
                pass
            return answer

    def say(self, text: str, **more: Any) -> Any:
        """Say something and return {message, answer}."""
        answer = self.request("POST", "/v1/say", {"text": text} | more)
        assert answer.status == 200, answer
        return answer.json

    def answer(self, text: str, **more: Any) -> str:
        """Say something and return the words of the answer."""
        return self.say(text, **more)["answer"]["content"]["text"]

    def status(self) -> Any:
        return self.request("GET", "/v1/status").json

    def log(self, kind: str = "", last: int = 1000) -> list[Any]:
        return self.request("GET", f"/v1/log?last={last}&type={kind}").json

    def recorded(self) -> list[int]:
        """Positions of every event but those that a node adds by itself."""
        return [row["position"] for row in self._rows() if not BY_ITSELF.match(row["type"])]

    def asked_for(self) -> list[int]:
        """Positions of what requests brought about, without the turns that follow them."""
        rows = (row for row in self._rows() if not OF_TURNS.match(row["type"]))
        return [row["position"] for row in rows if not BY_ITSELF.match(row["type"])]

    def _rows(self) -> list[Any]:
        rows: list[Any] = []
        while page := self.request("GET", f"/v1/log?from={len(rows)}&last=1000").json:
            rows += page
        return rows

    def stop(self, number: signal.Signals = signal.SIGTERM) -> None:
        """Ask it to stop, as Ctrl-C or systemd does, and assert that it does so in order."""
        self.process.send_signal(number)
        try:
            code = self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired as error:
            self.kill9()
            raise Failed(f"the node does not stop: {self.stderr}") from error
        assert code == 0, self.stderr
        assert "Traceback" not in self.stderr, self.stderr

    def kill9(self) -> None:
        """End it without a warning."""
        self.process.kill()
        self.process.wait()


def until(ready, seconds: float, what: str) -> None:
    """Wait until `ready()` is true."""
    deadline = time.monotonic() + seconds
    while not ready():
        if time.monotonic() > deadline:
            raise Failed(f"after {seconds:g} s it is not so that {what}")
        time.sleep(0.02)
