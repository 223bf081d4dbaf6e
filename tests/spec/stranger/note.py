"""Signed notes and checkpoints (checkpoint.md)."""

import re
from dataclasses import dataclass

from tests.spec.stranger.codec import Refusal, demand, from_base64, sha256, signed

NOTE_MAX = 65536
SIGNATURES_MAX = 64
SCHEME = b"timmy-node/bip340/v1"
ORIGIN = re.compile(r"timmy/([0-9a-f]{64})/(0|[1-9][0-9]{0,9})")
SIZE = re.compile(r"0|[1-9][0-9]{0,15}")
KEY_NAME = re.compile(r"[!-*,-~]+")  # U+0021 to U+007E without the plus sign


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    ledger: bytes
    epoch: int
    size: int
    root: bytes
    anchor_digest: bytes


def key_id(name: str, key: bytes) -> bytes:
    return sha256(name.encode() + b"\x0a\xff" + SCHEME + key)[:4]


def parse_note(data: bytes) -> tuple[str, list[tuple[str, str, bytes]]]:
    """Text, and for each signature line: the line, its key name, its key id and signature."""
    demand(len(data) <= NOTE_MAX, "note", "too long")
    try:
        note = data.decode("utf-8", "strict")
    except UnicodeDecodeError as error:
        raise Refusal("note", "not UTF-8") from error
    demand(note.endswith("\n"), "note", "no newline at the end")
    cut = note.rfind("\n\n")
    demand(cut >= 0, "note", "no empty line")
    text, lines = note[: cut + 1], note[cut + 2 : -1].split("\n") if note[cut + 2 :] else []
    bad = any((ord(c) < 0x20 and c != "\n") or ord(c) == 0x7F for c in text)
    demand(not bad, "note", "control character")
    demand(1 <= len(lines) <= SIGNATURES_MAX, "note", f"{len(lines)} signature lines")
    signatures = []
    for line in lines:
        parts = line.split(" ")
        demand(len(parts) == 3 and parts[0] == "\u2014", "note", "signature line")
        demand(KEY_NAME.fullmatch(parts[1]) is not None, "note", "key name")
        blob = from_base64(parts[2], "note")
        demand(len(blob) >= 5, "note", "no signature")
        signatures.append((line, parts[1], blob))
    return text, signatures


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """A note whose text is a checkpoint, and whose signatures nobody has looked at."""

    text: str
    signatures: list[tuple[str, str, bytes]]
    ledger: bytes
    epoch: int
    size: int
    root: bytes


def parse_checkpoint(data: bytes) -> Checkpoint:
    text, signatures = parse_note(data)
    lines = text.split("\n")
    bad = "checkpoint"
    demand(len(lines) == 4 and lines[3] == "", bad, "not three lines")
    origin, size, root = lines[0], lines[1], from_base64(lines[2], bad)
    match = ORIGIN.fullmatch(origin)
    demand(match is not None, bad, "origin")
    demand(SIZE.fullmatch(size) is not None and int(size) <= 2**48, bad, "size")
    demand(len(root) == 32, bad, "root")
    return Checkpoint(
        text=text,
        signatures=signatures,
        ledger=bytes.fromhex(match[1]),
        epoch=int(match[2]),
        size=int(size),
        root=root,
    )


def signed_head(note: Checkpoint, log_key: bytes) -> Head:
    """Rule 2 of "Opening a checkpoint"."""
    origin = note.text.split("\n")[0]
    own = key_id(origin, log_key)
    mine = [
        (line, blob[4:])
        for line, name, blob in note.signatures
        if (name, blob[:4]) == (origin, own)
    ]
    demand(bool(mine), "note.signature", "not signed by the log")
    for _, signature in mine:
        holds = signed(log_key, signature, "timmy/note/v1", note.text.encode())
        demand(holds, "note.signature", "signature fails")
    return Head(
        ledger=note.ledger,
        epoch=note.epoch,
        size=note.size,
        root=note.root,
        anchor_digest=sha256(f"{note.text}\n{mine[0][0]}\n".encode()),
    )


def open_head(data: bytes, log_key: bytes) -> Head:
    return signed_head(parse_checkpoint(data), log_key)
