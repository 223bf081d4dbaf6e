"""Put into an agent's tree by test_node_agents: misbehaves as the message says, else is the agent.

It is started by tests/runtime/trees/main.py, as `variant.py`.
"""

import os
import time
from pathlib import Path

from . import process

PONG = b"\x00\x00\x00\x0a\xa2\x61n\x01\x61t\x64pong"
"""A frame that the host did not ask for."""


def spoil(folder: Path) -> None:
    real = process.answer

    def answer(position, *, memory, name, soul, given):
        match memory.text(position).strip():
            case "crash":
                os._exit(3)
            case "raise":
                raise RuntimeError("a bug of the agent")
            case "hang":
                time.sleep(3600)
            case "hog":
                kept = [bytearray(64 << 20) for _ in range(64)]
                yield "answer", {"text": f"{len(kept)} pieces"}
            case "flood":
                while True:
                    os.write(0, PONG * 1000)
            case "garbage":
                os.write(0, b"\x00\x00\x00\x05\xff\xff\xff\xff\xff")
            case "huge":
                os.write(0, b"\xff" * 64)
            case "shell":
                yield "shell", {"command": "id"}
            case "without end":
                while True:
                    yield "recall", {"query": "again", "limit": 1}
            case "spy":
                yield "answer", {"text": _spy()}
            case _:
                yield from real(position, memory=memory, name=name, soul=soul, given=given)

    process.answer = answer


def _spy() -> str:
    """Look for what an agent must not find: files of the home, the environment, processes."""
    found = [f"variable {name}" for name in os.environ if name.startswith("TIMMY")]
    for folder in ("/home", "/root", "/tmp", "/etc", "/proc"):
        try:
            found += [str(path) for path in Path(folder).iterdir()]
        except OSError:
            continue
    return "found: " + ", ".join(found)
