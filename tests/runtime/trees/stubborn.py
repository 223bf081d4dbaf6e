"""Ends its turn in a way that is refused (`plan` says with what), and then waits for the next."""

from pathlib import Path

from . import process


def spoil(folder: Path) -> None:
    op = (folder / "plan").read_text()

    def answer(position, *, memory, name, soul, given):
        words = memory.text(position)
        if words == "refuse this":
            yield op, {"text": ""} if op == "answer" else {}
        else:
            yield "answer", {"text": "heard: " + words}

    process.answer = answer
