"""Asks for something that is refused in the middle of its turn, and does not look at the refusal."""

from pathlib import Path

from . import process


def spoil(_folder: Path) -> None:
    def answer(position, *, memory, name, soul, given):
        words = memory.text(position)
        if words == "refuse this":
            yield "recall", {"query": "x", "limit": 9999}
        yield "answer", {"text": "heard: " + words}

    process.answer = answer
