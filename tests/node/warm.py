"""Start `timmy` from a process that has its imports behind it, as forkserver does.

An interpreter that imports what a node needs burns a second of CPU, and the tests start a thousand.
`Warm` keeps one process that has imported all of it and done nothing else. For each start that process
forks, and the fork becomes what `python -m node` would be: arguments, environment, folder, standard
streams, signals and exit status are its own, and so are its memory and its files, because a fork is
a process. What it shares with its siblings is the interpreter's start alone: the hash seed, its
command line in /proc, and the modules that are imported. `world` therefore starts cold the first of
each command, each that a test gives descriptors or a language of its own, those that a test looks at
from outside, and all of them if TIMMY_TESTS_COLD is set.

The protocol, on a Unix socket: eight bytes with the length, and the four descriptors; then JSON. On
the fourth descriptor come the pid and, at the end, the exit status, each as a line.
"""

import gc
import importlib
import json
import os
import pkgutil
import runpy
import select
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

LENGTH_BYTES: Final = 8
FDS: Final = 4
"""Standard input, output and error of the new process, and where its pid and status are told."""
DESCRIPTORS_MAX: Final = 4096
"""Above every descriptor that this process can have: one is open for each that runs."""
CHUNK_BYTES: Final = 65_536


class WarmProcess:
    """A process that was forked for us: what we use of subprocess.Popen."""

    def __init__(self, argv: tuple[str, ...], told: socket.socket) -> None:
        self.args = argv
        self.returncode: int | None = None
        self._told = told
        self._lines = told.makefile("r")
        self.pid = int(self._lines.readline())

    def poll(self) -> int | None:
        """Its exit status, or None while it runs."""
        if self.returncode is None and select.select([self._told], [], [], 0)[0]:
            self._end()
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end. Raises subprocess.TimeoutExpired."""
        if self.returncode is None:
            if not select.select([self._told], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired(self.args, timeout or 0)
            self._end()
        assert self.returncode is not None
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Send a signal, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """End it without a warning."""
        self.send_signal(signal.SIGKILL)

    def communicate(self, stdin: bytes, pipes: tuple[int, int, int], timeout: float) -> list[bytes]:
        """Feed its input, and return all of its output and of its errors."""
        feed, *read = pipes
        found: dict[int, bytes] = dict.fromkeys(read, b"")
        waiting = select.poll()
        for pipe in pipes:
            os.set_blocking(pipe, False)
            waiting.register(pipe, select.POLLOUT if pipe == feed else select.POLLIN)
        left = len(pipes)
        while left:
            ready = waiting.poll(timeout * 1000)
            if not ready:
                self.kill()
                raise subprocess.TimeoutExpired(self.args, timeout)
            for pipe, _ in ready:
                if pipe == feed:
                    stdin, more = _fed(pipe, stdin)
                else:
                    more = os.read(pipe, CHUNK_BYTES)
                    found[pipe] += more
                if not more:
                    waiting.unregister(pipe)
                    os.close(pipe)
                    left -= 1
        self.wait(timeout)
        return [found[pipe] for pipe in read]

    def _end(self) -> None:
        self.returncode = int(self._lines.readline())
        self._lines.close()
        self._told.close()


def _fed(pipe: int, stdin: bytes) -> tuple[bytes, bool]:
    """Write what the pipe takes; return what is left, and whether something is."""
    try:
        left = stdin[os.write(pipe, stdin[:CHUNK_BYTES]) :] if stdin else b""
    except BrokenPipeError:  # it does not read what it is given
        left = b""
    return left, bool(left)


class Warm:
    """The process that forks, seen from the tests: one for each worker."""

    def __init__(self) -> None:
        self._control, theirs = socket.socketpair()
        env = {n: v for n, v in os.environ.items() if not n.startswith("COVERAGE")}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.node.warm"],
            cwd=Path(__file__).parents[2], stdin=theirs, stdout=subprocess.DEVNULL, env=env,
        )  # fmt: skip
        theirs.close()

    @property
    def pid(self) -> int:
        """Of the process that forks."""
        return self._process.pid

    def close(self) -> None:
        """End it. What it forked lives on, as it would without us."""
        self._control.close()
        self._process.wait()

    def start(
        self, argv: tuple[str, ...], env: dict[str, str], stdin: int, stdout: int, stderr: int
    ) -> WarmProcess:
        """Become `python -m node ARGV` with these standard streams."""
        told, tells = socket.socketpair()
        asked = json.dumps({"argv": argv, "env": env, "cwd": str(Path.cwd())}).encode()
        length = len(asked).to_bytes(LENGTH_BYTES)
        with tells:
            socket.send_fds(self._control, [length], [stdin, stdout, stderr, tells.fileno()])
            self._control.sendall(asked)
        return WarmProcess(argv, told)

    def run(
        self, argv: tuple[str, ...], env: dict[str, str], stdin: bytes, timeout: float
    ) -> subprocess.CompletedProcess[bytes]:
        """Run one command to its end."""
        (their_in, feed), (out, their_out), (err, their_err) = os.pipe(), os.pipe(), os.pipe()
        try:
            process = self.start(argv, env, their_in, their_out, their_err)
        finally:
            for pipe in (their_in, their_out, their_err):
                os.close(pipe)
        said, complained = process.communicate(stdin, (feed, out, err), timeout)
        return subprocess.CompletedProcess(argv, process.wait(), said, complained)


# ---- the process that forks ----------------------------------------------------------------------


def _import_all() -> None:
    """Import what `timmy` imports, in any of its commands. No module of ours does work at import."""
    for package in ("node", "node.commands"):
        for module in pkgutil.iter_modules(importlib.import_module(package).__path__):
            if module.name != "__main__":
                importlib.import_module(f"{package}.{module.name}")
    importlib.import_module("coverage")
    importlib.import_module("runtime.screening").warm_up()  # tables that are the same for everyone


def _receive(control: socket.socket) -> tuple[dict[str, Any], list[int]] | None:
    data, fds, _, _ = socket.recv_fds(control, LENGTH_BYTES, FDS)
    if not data:
        return None
    asked = b""
    while len(asked) < int.from_bytes(data):
        asked += control.recv(CHUNK_BYTES)
    return json.loads(asked), fds


def _reap(running: dict[int, int]) -> None:
    """Tell of each that has ended how it did."""
    while running:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if not pid:
            return
        told = running.pop(pid)
        os.write(told, b"%d\n" % os.waitstatus_to_exitcode(status))
        os.close(told)


def _serve(control: socket.socket) -> tuple[dict[str, Any], list[int]] | None:
    """Fork for each that is asked for. Returns its errand in a fork, and None at the end."""
    ended, ends = os.pipe()
    os.set_blocking(ended, False)
    os.set_blocking(ends, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(ends)
    running: dict[int, int] = {}
    waiting = select.poll()
    waiting.register(control, select.POLLIN)
    waiting.register(ended, select.POLLIN)
    while True:
        for ready, _ in waiting.poll():
            if ready == ended:
                os.read(ended, CHUNK_BYTES)
                _reap(running)
            elif (errand := _receive(control)) is None:
                return None
            elif pid := os.fork():
                *streams, told = errand[1]
                running[pid] = told
                os.write(told, b"%d\n" % pid)
                for stream in streams:
                    os.close(stream)
            else:
                control.detach()
                return errand


def _become(asked: dict[str, Any], fds: list[int]) -> None:
    """Make this fork what a fresh interpreter would be."""
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    for number, given in enumerate(fds[:3]):
        os.dup2(given, number)
    os.closerange(3, DESCRIPTORS_MAX)
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        old = getattr(sys, name)
        new = open(number, old.mode, encoding=old.encoding, errors=old.errors, closefd=False)  # noqa: SIM115 - it stays open as long as the process
        setattr(sys, name, new)
        setattr(sys, f"__{name}__", new)
    os.environ.clear()
    os.environ.update(asked["env"])
    os.chdir(asked["cwd"])
    sys.argv = ["timmy", *asked["argv"]]
    if "COVERAGE_PROCESS_CONFIG" in os.environ:
        importlib.import_module("coverage").process_startup(force=True, slug="warm")


def main() -> None:
    """Import everything, then fork on demand; in a fork, be `timmy`."""
    _import_all()
    gc.collect()
    gc.freeze()  # and so no fork copies the pages of what was imported to look for rubbish in them
    errand = _serve(socket.socket(fileno=0))
    if errand is not None:
        _become(*errand)
        runpy.run_module("node", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
