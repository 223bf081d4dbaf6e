"""Runs the tools' attacker where the shell tool runs programs: also as another user.

tool_driver.py ENGINE ATTACKER HOME WORK
"""

import asyncio
import ctypes
import json
import os
import socket
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

from runtime.bubblewrap import Bench
from runtime.core import seccomp
from runtime.sandbox import Engine, SandboxLimits, spawn_tool

LIMITS = SandboxLimits(memory_bytes=512 << 20, pids=128, wall_s=60)
LIBC = ctypes.CDLL(None, use_errno=True)
PRIVATE = 0
CREATE = 0o1600


def queues(stack: ExitStack) -> dict:
    """System V objects of this user, removed in the end."""
    made = {
        "segment": LIBC.shmget(PRIVATE, 4096, CREATE),
        "spare_segment": LIBC.shmget(PRIVATE, 4096, CREATE),
        "semaphore": LIBC.semget(PRIVATE, 1, CREATE),
        "queue": LIBC.msgget(PRIVATE, CREATE),
    }
    stack.callback(LIBC.shmctl, made["segment"], 0, None)
    stack.callback(LIBC.shmctl, made["spare_segment"], 0, None)
    stack.callback(LIBC.semctl, made["semaphore"], 0, 0)
    stack.callback(LIBC.msgctl, made["queue"], 0, None)
    return made


def listening(stack: ExitStack, family: int, kind: int, address: object) -> socket.socket:
    found = stack.enter_context(socket.socket(family, kind))
    found.bind(address)
    if kind == socket.SOCK_STREAM:
        found.listen()
    return found


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def port_by_ipv6(stack: ExitStack) -> int:
    try:
        server = listening(stack, socket.AF_INET6, socket.SOCK_STREAM, ("::1", 0))
    except OSError:
        return 1  # a machine without it
    return server.getsockname()[1]


def targets(home: Path, work: Path, stack: ExitStack, engine: str) -> dict:
    tcp = listening(stack, socket.AF_INET, socket.SOCK_STREAM, ("127.0.0.1", 0))
    udp = listening(stack, socket.AF_INET, socket.SOCK_DGRAM, ("127.0.0.1", 0))
    abstract = f"timmy-attack-{os.getpid()}"
    listening(stack, socket.AF_UNIX, socket.SOCK_STREAM, "\0" + abstract)
    for name, kind in (("node.sock", socket.SOCK_STREAM), ("datagram.sock", socket.SOCK_DGRAM)):
        (home / name).unlink(missing_ok=True)
        listening(stack, socket.AF_UNIX, kind, str(home / name))
    column = {"x86_64": 0, "aarch64": 1}[os.uname().machine]
    known = ctypes.create_string_buffer(b"SECRET")
    return {
        "home": str(home),
        "secret": str(home.parent / "secret"),
        "suid": str(work / "suid-id"),
        "victim": os.getpid(),
        "address": ctypes.addressof(known),
        "tcp_port": tcp.getsockname()[1],
        "tcp6_port": port_by_ipv6(stack),
        "udp_port": udp.getsockname()[1],
        "free_port": free_port(),
        "abstract": abstract,
        "shares_network": engine != "bubblewrap",
        "clone": seccomp._CLONE[column],
        "calls": {
            name: numbers[column]
            for name, numbers in (seccomp._REFUSED | seccomp._REFUSED_ON_HOST).items()
        },
        **queues(stack),
    }


async def held(engine: Engine, work: Path, argv: list[str]) -> str:
    ours, theirs = socket.socketpair()
    with ours:
        child = await spawn_tool(
            argv, theirs, limits=LIMITS, engine=engine,
            bench=Bench(folder=str(work), write=True), output_bytes=1 << 20,
        )  # fmt: skip
        await child.wait()
        return child.stderr_tail()


def bare(work: Path, argv: list[str]) -> str:
    run = subprocess.run(argv, cwd=work, capture_output=True, text=True, check=False)
    return run.stdout + run.stderr


def main(engine: str, source: Path, home: Path, work: Path) -> str:
    with ExitStack() as stack:
        (work / "attack.py").write_bytes((source / "main.py").read_bytes())
        (work / "config.json").write_text(json.dumps(targets(home, work, stack, engine)))
        leak = stack.enter_context((home.parent / "secret").open("rb"))
        os.set_inheritable(leak.fileno(), True)
        argv = ["bash", "-c", "ulimit -n 512; exec python3 attack.py"]
        if engine == "none":
            said = bare(work, argv)
        else:
            said = asyncio.run(held(Engine(engine), work, argv))
        line = next((line for line in said.splitlines() if line.startswith("REPORT")), None)
        if line is None:
            raise SystemExit(f"no report: {said[-2000:]}")
        return line.removeprefix("REPORT")


if __name__ == "__main__":
    print(main(sys.argv[1], *map(Path, sys.argv[2:5])))
