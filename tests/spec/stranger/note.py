"""Signed notes, checkpoints and epoch records (checkpoint.md)."""

import re
from dataclasses import dataclass

from tests.spec.stranger.codec import Refusal, demand, encode, from_base64, is_bytes, sha256, signed

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


def open_head(data: bytes, log_key: bytes) -> Head:
    text, signatures = parse_note(data)
    lines = text.split("\n")
    bad = "checkpoint"
    demand(len(lines) == 4 and lines[3] == "", bad, "not three lines")
    origin, size, root = lines[0], lines[1], from_base64(lines[2], bad)
    match = ORIGIN.fullmatch(origin)
    demand(match is not None, bad, "origin")
    demand(SIZE.fullmatch(size) is not None and int(size) <= 2**48, bad, "size")
    demand(len(root) == 32, bad, "root")
    own = key_id(origin, log_key)
    mine = [
        (line, blob[4:]) for line, name, blob in signatures if (name, blob[:4]) == (origin, own)
    ]
    demand(bool(mine), "note.signature", "not signed by the log")
    for _, signature in mine:
        holds = signed(log_key, signature, "timmy/note/v1", text.encode())
        demand(holds, "note.signature", "signature fails")
    return Head(
        ledger=bytes.fromhex(match[1]),
        epoch=int(match[2]),
        size=int(size),
        root=root,
        anchor_digest=sha256(f"{text}\n{mine[0][0]}\n".encode()),
    )


def check_epoch(payload: dict, ledger: bytes, genesis: dict, before: int) -> None:
    """Rules 1 to 4 of "Epochs"; rule 5 is the caller's."""
    names = ("epoch", "kept_size", "kept_root", "key", "signature")
    epoch, size, root, key, signature = (payload.get(name) for name in names)
    demand(type(epoch) is int and type(size) is int, "epoch", "type of a number")
    demand(is_bytes(root) and is_bytes(key) and is_bytes(signature), "epoch", "type of bytes")
    demand(sha256(key) == genesis["recovery_key_digest"], "epoch", "not the recovery key")
    message = encode([ledger, epoch, size, root])
    demand(signed(key, signature, "timmy/epoch/v1", message), "epoch", "signature")
    demand(epoch == before + 1, "epoch", f"epoch {epoch} after {before}")
