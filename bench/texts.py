"""What everybody appends: the same texts of 200 ASCII characters, in a file of one a line."""

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Final

TEXT_CHARS: Final = 200
_WORDS: Final = 2000
_SEED: Final = 7
_SYLLABLES: Final = tuple(
    f"{consonant}{vowel}" for consonant in "bcdfghjklmnprstvwxz" for vowel in "aeiou"
)


def words() -> list[str]:
    """A vocabulary: any one word is in about one text of seventy."""
    chosen = random.Random(_SEED)
    found: dict[str, None] = {}
    while len(found) < _WORDS:
        found["".join(chosen.choices(_SYLLABLES, k=chosen.randint(2, 4)))] = None
    return list(found)


def texts(seed: int = _SEED) -> Iterator[str]:
    """Texts without end, the same ones every time."""
    vocabulary, chosen = words(), random.Random(seed)
    while True:
        yield " ".join(chosen.choices(vocabulary, k=TEXT_CHARS // 3))[:TEXT_CHARS]


def write(path: Path, count: int) -> None:
    """Write `count` texts."""
    source = texts()
    path.write_text("".join(f"{next(source)}\n" for _ in range(count)))


def read(path: Path, count: int) -> list[str]:
    """The first `count` texts of the file."""
    with path.open() as file:
        return [line[:-1] for line, _ in zip(file, range(count), strict=False)]
