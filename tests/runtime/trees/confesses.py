"""Answers with every word it knows, so that a test sees what reached this process."""

from pathlib import Path

from . import process


def spoil(folder: Path) -> None:
    def answer(position, *, memory, name, soul, given):
        words = [said.text for talk in memory._talks.values() for said in talk]
        words += [note.text for note in memory.notes(position, 100)]
        yield "answer", {"text": "known: " + " | ".join(words)}

    process.answer = answer
