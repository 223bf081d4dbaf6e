"""Runs the attacker in a sandbox and prints its report: also as another user, hence a program.

sandbox_driver.py ENGINE TREE HOME
"""

import asyncio
import json
import os
import socket
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

from runtime.core import seccomp
from runtime.sandbox import Child, Engine, SandboxLimits, spawn

LIMITS = SandboxLimits(memory_bytes=128 << 20, cpu_seconds=5, wall_s=8, state_bytes=16 << 20)


async def run_child(
    tree: Path, engine: Engine, limits: SandboxLimits = LIMITS, **options
) -> tuple[bytes, Child, int]:
    """Start `tree`, collect what it says on the channel (bounded), wait for its end."""
    ours, theirs = socket.socketpair()
    with ours:
        ours.setblocking(False)
        child = await spawn(tree, theirs, limits=limits, engine=engine, **options)
        loop, said = asyncio.get_running_loop(), b""
        while len(said) < 1 << 20 and (data := await loop.sock_recv(ours, 1 << 16)):
            said += data
        return said, child, await child.wait()


def targets(engine: Engine, home: Path, stack: ExitStack) -> dict:
    tcp = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
    abstract = stack.enter_context(socket.socket(socket.AF_UNIX))
    abstract.bind(f"\0timmy-attack-{os.getpid()}")
    abstract.listen()
    for name, kind in (("node.sock", socket.SOCK_STREAM), ("datagram.sock", socket.SOCK_DGRAM)):
        (home / name).unlink(missing_ok=True)
        listener = stack.enter_context(socket.socket(socket.AF_UNIX, kind))
        listener.bind(str(home / name))
        (home / name).chmod(0o777)
        if kind is socket.SOCK_STREAM:
            listener.listen()
    secret = home.parent / "secret"
    column = {"x86_64": 0, "aarch64": 1}[os.uname().machine]
    return {
        "home": "/snapshot" if engine is Engine.BUBBLEWRAP else str(home),
        "real_home": str(home),
        "same_disk": {Engine.BUBBLEWRAP: "/state", Engine.LANDLOCK: "."}.get(
            engine, str(home.parent)
        ),
        "secret": str(secret),
        "victim": int((home.parent / "victim.pid").read_text()),
        "tcp_port": tcp.getsockname()[1],
        "abstract": f"timmy-attack-{os.getpid()}",
        "calls": {name: numbers[column] for name, numbers in seccomp._REFUSED.items()},
    }


async def attack(engine: Engine, source: Path, home: Path) -> dict:
    with ExitStack() as stack:
        tree = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="timmy-attack-")))
        (tree / "main.py").write_bytes((source / "main.py").read_bytes())
        (tree / "config.json").write_text(json.dumps(targets(engine, home, stack)))
        os.environ["TIMMY_PASSPHRASE"] = "never to be seen"
        leak = stack.enter_context((home.parent / "secret").open("rb"))
        os.set_inheritable(leak.fileno(), True)
        said, child, code = await run_child(tree, engine, snapshot=home)
        if not said:
            raise SystemExit(f"no report, exit {code}: {child.stderr_tail()}")
        return json.loads(said)


if __name__ == "__main__":
    print(
        json.dumps(asyncio.run(attack(Engine(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]))))
    )
