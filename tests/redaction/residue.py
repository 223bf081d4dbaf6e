"""Looking for what is left of erased words: every byte of every file that a home's life touches."""

import base64
import json
import os
import unicodedata
from pathlib import Path

WINDOW = 8
"""So many bytes in a row of the words, in any of the forms below, are a residue."""
WORD_CHARS_MIN = 5
SHARED = Path("/dev/shm")
"""Its own files only: what `shm_open` makes lies there, and folders in it are somebody's disk."""


def forms(text: str) -> list[bytes]:
    """The text as files of ours, or a library's, could hold it."""
    folded = "".join(c for c in unicodedata.normalize("NFKD", text) if not unicodedata.combining(c))
    plain = [text, text.lower(), text.upper(), folded.lower(), json.dumps(text)[1:-1]]
    return [one.encode() for one in plain]


def stretched(text: str) -> list[bytes]:
    """Forms that take two bytes for one, and base64: looked for in windows of twice the length."""
    found = [text.encode("utf-16-le"), text.encode().hex().encode()]
    coded = (base64.b64encode(b"\0" * shift + text.encode()) for shift in range(3))
    return [*found, *(one[4:-4] for one in coded)]


def needles(texts: list[str], salts: list[bytes]) -> tuple[set[bytes], set[bytes]]:
    """All windows of all forms and salts, and single words as a search index holds them."""
    windows = set()
    for text in texts:
        for form in forms(text):
            windows |= cut(form, WINDOW)
        for form in stretched(text):
            windows |= cut(form, 2 * WINDOW)
    for salt in salts:
        windows |= cut(salt, WINDOW)
    words = set()
    for text in texts:
        folded = unicodedata.normalize("NFKD", text.lower())
        letters = "".join(c for c in folded if not unicodedata.combining(c))
        split = "".join(c if c.isalnum() else " " for c in letters).split()
        words |= {word.encode() for word in split if len(word) >= WORD_CHARS_MIN}
    return windows, words


def cut(data: bytes, length: int) -> set[bytes]:
    """Every window of so many bytes."""
    return {data[at : at + length] for at in range(len(data) - length + 1)}


def in_bytes(data: bytes, windows: set[bytes], words: set[bytes]) -> list[bytes]:
    """What of the needles is in `data`."""
    found = windows & cut(data, WINDOW)
    found |= windows & cut(data, 2 * WINDOW)
    lower = data.lower()
    return [*found, *(word for word in words if word in lower)]


def places(*roots: Path, pids: tuple[int, ...] = ()) -> list[Path]:
    """Every file below `roots`, in shared memory, and open in a process, unlinked or not."""
    found = [path for root in roots for path in root.rglob("*") if path.is_file()]
    found += [path for path in SHARED.iterdir() if path.is_file() and os.access(path, os.R_OK)]
    for pid in pids:
        for link in Path(f"/proc/{pid}/fd").iterdir():
            if link.exists() and link.is_file():
                found.append(link)
    return found


def residue(
    texts: list[str], salts: list[bytes], *roots: Path, pids: tuple[int, ...] = ()
) -> dict[str, list[bytes]]:
    """Return per file what is left of the texts or salts; empty if nothing is."""
    windows, words = needles(texts, salts)
    found = {}
    for path in places(*roots, pids=pids):
        try:
            data = path.read_bytes()
        except FileNotFoundError:  # renamed meanwhile: a node is running
            continue
        left = in_bytes(data, windows, words)
        if left:
            found[str(path)] = sorted(left)[:3]
    return found
