"""Dies of one message, whenever it is given."""

import os
from pathlib import Path

from . import process


def spoil(folder: Path) -> None:
    real = process.answer

    def answer(position, *, memory, name, soul, given):
        if "poison" in memory.text(position):
            os._exit(3)
        return real(position, memory=memory, name=name, soul=soul, given=given)

    process.answer = answer
