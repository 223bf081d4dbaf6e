"""Asks and asks, and never answers."""

from pathlib import Path

from . import process


def spoil(folder: Path) -> None:
    def answer(position, *, memory, name, soul, given):
        while True:
            yield "recall", {"query": "again", "limit": 1}

    process.answer = answer
