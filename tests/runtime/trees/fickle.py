"""Asks for other things each life: dies after its first step, then wants another first step."""

import os
from pathlib import Path

from . import process


def spoil(folder: Path) -> None:
    lives = folder / "lives"
    count = len(lives.read_text()) if lives.exists() else 0
    lives.write_text("x" * (count + 1))

    def answer(position, *, memory, name, soul, given):
        yield "recall", {"query": f"life {count}", "limit": 1}
        if count == 0:
            os._exit(3)
        yield "answer", {"text": "never reached"}

    process.answer = answer
