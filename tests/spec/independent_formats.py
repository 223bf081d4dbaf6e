"""The formats of docs/spec, read from the pages alone. Nothing of the software is imported.

CBOR is read with a decoder of its own, so that the two implementations have none in common, and
written by cbor2. Headings name the page that the functions below them follow.
"""

import base64
import hashlib
import re
import struct

import cbor2
from blake3 import blake3
from coincurve import PublicKeyXOnly

from tests.spec.independent_anchor import Fail, need, tagged

INT_MAX = 2**63 - 1


# ---- README: hashes and signatures ----------------------------------------------------------


def derive(context, data):
    return blake3(data, derive_key_context=context).digest()


def signed(public, tag, message, signature):
    if len(public) != 32 or len(signature) != 64:
        return False
    try:
        return PublicKeyXOnly(public).verify(signature, tagged(tag, message))
    except ValueError:
        return False


# ---- event.md: deterministic CBOR -----------------------------------------------------------


def decode(data, bytes_max):
    need(len(data) <= bytes_max, "too long")
    value, end = read(data, 0, 0)
    need(end == len(data), "bytes after the value")
    return value


def head(data, at):
    """Major type, argument and where it ends; the shortest form only (rule 2)."""
    need(at < len(data), "no head")
    major, info = data[at] >> 5, data[at] & 31
    at += 1
    if info < 24:
        return major, info, at
    need(info <= 27, "indefinite or reserved")
    width = 1 << (info - 24)
    need(at + width <= len(data), "head is cut")
    value = int.from_bytes(data[at : at + width], "big")
    need(value >= (24 if width == 1 else 1 << (4 * width)), "not the shortest head")
    need(major != 7, "float or simple value")
    return major, value, at + width


def read(data, at, depth):
    major, value, at = head(data, at)
    if major < 2:
        need(value <= INT_MAX, "integer out of range")
        return (value, at) if major == 0 else (-1 - value, at)
    if major < 4:
        need(at + value <= len(data), "string is cut")
        text = data[at : at + value]
        return (text if major == 2 else utf8(text)), at + value
    need(major != 6, "tag")
    if major == 7:
        need(value in {20, 21, 22}, "simple value")
        return {20: False, 21: True, 22: None}[value], at
    need(depth < 32, "nested too deep")
    if major == 4:
        items = []
        for _ in range(value):
            item, at = read(data, at, depth + 1)
            items.append(item)
        return items, at
    return read_map(data, at, value, depth + 1)


def read_map(data, at, count, depth):
    entries, before = {}, b""
    for _ in range(count):
        start = at
        key, at = read(data, at, depth)
        need(type(key) is str and data[start:at] > before, "map keys")
        before = data[start:at]
        entries[key], at = read(data, at, depth)
    return entries, at


def utf8(data):
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise Fail("not UTF-8") from error


def encode(value):
    return cbor2.dumps(value, canonical=True)


# ---- event.md: opening one event ------------------------------------------------------------


def is_uint(value):
    return type(value) is int and value >= 0


def is_bytes(value, length):
    return type(value) is bytes and len(value) == length


class Event:
    def __init__(self, record):
        _, self.position, self.raw, salt, payload, content_salt, content = record
        value = decode(self.raw, 16384)
        need(type(value) is list and len(value) == 10, "envelope")
        version, self.type, schema, self.stream, self.sequence, self.ts_ms = value[:6]
        self.causes, key, commitment, length = value[6:]
        need(type(version) is int and version == 1, "version")
        need(
            type(self.type) is str
            and len(self.type) <= 64
            and re.fullmatch(r"[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)+", self.type),
            "type",
        )
        need(all(map(is_uint, (schema, self.sequence, self.ts_ms, length))), "numbers")
        need(is_bytes(self.stream, 16) and (key is None or is_bytes(key, 16)), "stream or key")
        need(type(self.causes) is list and len(self.causes) <= 64, "causes")
        for cause in self.causes:
            need(type(cause) is list and len(cause) in {2, 3}, "cause")
            need(is_uint(cause[-2]) and is_bytes(cause[-1], 32), "cause")
            need(len(cause) == 2 or is_bytes(cause[0], 32), "cause ledger")
        need(is_bytes(commitment, 32) and length <= 65536, "payload commitment")
        need(len(salt) == 32 and len(payload) == length, "salt or payload")
        found = derive("timmy-node 2026-11 payload commitment v1", salt + payload)
        need(found == commitment, "payload commitment")
        self.payload = decode(payload, 65536)
        need(type(self.payload) is dict, "payload")
        self.erased = "content" in self.payload and content is None
        need((content is None) == (content_salt is None), "content and its salt")
        if content is not None:
            need("content" in self.payload and len(content_salt) == 32, "content")
            found = derive("timmy-node 2026-11 content commitment v1", content_salt + content)
            need(found == self.payload["content"], "content commitment")
            need(type(decode(content, 1048576)) is dict, "content")
        self.id = derive("timmy-node 2026-11 event id v1", self.raw)


# ---- event.md: genesis payload --------------------------------------------------------------

ROLES = {"log", "nostr", "seal", "funding", "operator"}
FIELDS = {
    *("version", "name", "network", "soul", "keys", "next_key_digest", "recovery_key_digest"),
    *("recovery_output_key", "architecture", "entropy", "created_ms", "signatures"),
}
HIDDEN = """
U+0000..U+001F U+007F..U+00A0 U+00AD U+034F U+061C U+115F..U+1160 U+1680 U+17B4..U+17B5
U+180B..U+180F U+2000..U+200F U+2028..U+202F U+205F..U+206F U+3000 U+3164 U+D800..U+DFFF
U+FDD0..U+FDEF U+FEFF U+FFA0 U+FFF0..U+FFFF U+1BCA0..U+1BCA3 U+1D173..U+1D17A U+E0000..U+E0FFF
"""


def hidden(character):
    for entry in HIDDEN.split():
        first, _, last = entry.replace("U+", "").partition("..")
        if int(first, 16) <= ord(character) <= int(last or first, 16):
            return True
    return False


def check_genesis(payload):
    need(set(payload) == FIELDS and type(payload["version"]) is int, "genesis")
    need(payload["version"] == 1 and is_uint(payload["created_ms"]), "genesis")
    name = payload["name"]
    need(type(name) is str and 1 <= len(name) <= 32, "name")
    need(name[0] != " " != name[-1] and "  " not in name, "name")
    need(not any(map(hidden, name)), "name")
    need(payload["network"] in ("mainnet", "signet", "regtest"), "network")
    soul, keys, signatures = payload["soul"], payload["keys"], payload["signatures"]
    need(type(soul) is type(keys) is type(signatures) is dict, "genesis maps")
    need(set(soul) == {"sha256", "blake3", "length"}, "soul")
    need(is_bytes(soul["sha256"], 32) and is_bytes(soul["blake3"], 32), "soul")
    need(type(soul["length"]) is int and 1 <= soul["length"] <= 65536, "soul length")
    need(set(keys) == ROLES and set(signatures) == ROLES | {"recovery_output"}, "roles")
    keys = keys | {"recovery_output": payload["recovery_output_key"]}
    digests = [payload["next_key_digest"], payload["recovery_key_digest"]]
    fixed = [*keys.values(), *digests, payload["architecture"]]
    need(all(is_bytes(item, 32) for item in fixed), "genesis bytes")
    digests += [hashlib.sha256(key).digest() for key in keys.values()]
    need(len(set(digests)) == 8, "a key in two roles")
    sources = payload["entropy"]
    need(type(sources) is list and 1 <= len(sources) <= 16, "entropy")
    for source in sources:
        need(type(source) is str, "entropy")
        need(re.fullmatch(r"[a-z0-9][a-z0-9._-]{0,63}", source), "entropy")
    need(len(set(sources)) == len(sources), "entropy")
    message = encode({key: value for key, value in payload.items() if key != "signatures"})
    for role, key in keys.items():
        need(is_bytes(signatures[role], 64), "signature")
        need(signed(key, "timmy/genesis/v1", message, signatures[role]), "unproven key")


# ---- tree.md --------------------------------------------------------------------------------


def sha256(*parts):
    return hashlib.sha256(b"".join(parts)).digest()


def node(left, right):
    return sha256(b"\x01", left, right)


def root_of(leaves):
    """From the definition, level by level: an odd last node goes up as it is."""
    if not leaves:
        return sha256()
    while len(leaves) > 1:
        pairs = [node(*leaves[i : i + 2]) for i in range(0, len(leaves) - 1, 2)]
        leaves = pairs + ([leaves[-1]] if len(leaves) % 2 else [])
    return leaves[0]


def check_inclusion(leaf, index, size, path, root):
    need(index < size <= 2**48, "index")
    need(len(path) <= 63 and all(len(item) == 32 for item in path), "path")
    fn, sn, r = index, size - 1, leaf
    for p in path:
        need(sn != 0, "path too long")
        if fn & 1 or fn == sn:
            r = node(p, r)
            while not fn & 1 and fn:
                fn, sn = fn >> 1, sn >> 1
        else:
            r = node(r, p)
        fn, sn = fn >> 1, sn >> 1
    need(sn == 0 and r == root, "inclusion")


def check_consistency(size1, size2, path, root1, root2):
    need(0 < size1 <= size2 <= 2**48, "sizes")
    need(len(path) <= 63 and all(len(item) == 32 for item in path), "path")
    if size1 == size2:
        return need(not path and root1 == root2, "equal sizes")
    need(path, "empty path")
    path = [root1, *path] if size1 & (size1 - 1) == 0 else path
    fn, sn = size1 - 1, size2 - 1
    while fn & 1:
        fn, sn = fn >> 1, sn >> 1
    fr = sr = path[0]
    for c in path[1:]:
        need(sn != 0, "path too long")
        if fn & 1 or fn == sn:
            fr, sr = node(c, fr), node(c, sr)
            while not fn & 1 and fn:
                fn, sn = fn >> 1, sn >> 1
        else:
            sr = node(sr, c)
        fn, sn = fn >> 1, sn >> 1
    return need(sn == 0 and (fr, sr) == (root1, root2), "consistency")


# ---- checkpoint.md --------------------------------------------------------------------------


def unbase64(text):
    try:
        data = base64.b64decode(text, validate=True)
    except ValueError as error:
        raise Fail("not base64") from error
    need(base64.b64encode(data).decode() == text, "base64 of another form")
    return data


class Head:
    def __init__(self, note, log_key):
        need(len(note) <= 65536, "note too long")
        whole = utf8(note)
        need(whole.endswith("\n") and "\n\n" in whole, "note")
        at = whole.rindex("\n\n")
        text, tail = whole[: at + 1], whole[at + 2 :]
        need(text != "\n" and tail, "empty text or no signatures")
        need(not any((c < " " and c != "\n") or c == "\x7f" for c in text), "control character")
        lines = tail[:-1].split("\n")
        need(len(lines) <= 64, "too many signatures")
        parsed = [(line, *signature_line(line)) for line in lines]
        body = text.split("\n")
        need(len(body) == 4, "three lines")
        origin = re.fullmatch(r"timmy/([0-9a-f]{64})/(0|[1-9][0-9]{0,9})", body[0])
        need(origin and re.fullmatch(r"0|[1-9][0-9]{0,14}", body[1]), "origin or size")
        self.ledger, self.epoch = bytes.fromhex(origin[1]), int(origin[2])
        self.size, self.root = int(body[1]), unbase64(body[2])
        need(self.size <= 2**48 and len(self.root) == 32, "size or root")
        data = body[0].encode() + b"\x0a\xff" + b"timmy-node/bip340/v1" + log_key
        ours = [item for item in parsed if item[1:3] == (body[0], sha256(data)[:4])]
        need(ours, "not signed by the log")
        for _, _, _, signature in ours:
            need(signed(log_key, "timmy/note/v1", text.encode(), signature), "signature")
        self.anchor_digest = sha256(f"{text}\n{ours[0][0]}\n".encode())


def signature_line(line):
    match = re.fullmatch(r"— ([^ ]+) ([^ ]+)", line, re.DOTALL)
    need(match, "signature line")
    name = match[1]
    need("+" not in name and all("!" <= c <= "~" for c in name), "name")
    data = unbase64(match[2])
    need(len(data) >= 5, "signature too short")
    return name, data[:4], data[4:]


def check_epoch(event, genesis, ledger, before):
    """Rules 1 to 4 of "Epochs"; returns the new epoch."""
    kinds = {"epoch": int, "kept_size": int, "kept_root": bytes, "key": bytes, "signature": bytes}
    for name, kind in kinds.items():
        need(type(event.payload.get(name)) is kind, "epoch record")
    epoch, size, root, key, signature = (event.payload[name] for name in kinds)
    need(sha256(key) == genesis["recovery_key_digest"], "recovery key")
    message = encode([ledger, epoch, size, root])
    need(signed(key, "timmy/epoch/v1", message, signature), "epoch signature")
    need(epoch == before + 1, "epoch out of order")
    return epoch


# ---- statement.md ---------------------------------------------------------------------------


def check_statement(payload, body, ledger):
    author, data, signature = (payload.get(k) for k in ("author", "statement", "signature"))
    need(type(author) is type(data) is type(signature) is bytes, "payload of a statement")
    value = decode(data, 256)
    need(type(value) is list and len(value) == 4, "statement")
    destination, nonce, kind, commitment = value
    need(is_bytes(destination, 32) and is_bytes(nonce, 16) and type(kind) is str, "fields")
    need(is_bytes(commitment, 32), "commitment")
    need(signed(author, "timmy/statement/v1", data, signature), "signature of the author")
    need(destination == ledger, "another ledger")
    if body is not None:
        found = derive("timmy-node 2026-11 statement body v1", nonce + encode(body))
        need(found == commitment, "another body")


# ---- state.md -------------------------------------------------------------------------------


def state_digest(entries, size):
    context, total = "timmy-node 2026-11 state entry v1", [0] * 1024
    for entry in entries.items():
        hasher = blake3(encode(list(entry)), derive_key_context=context)
        lanes = struct.unpack("<1024H", hasher.digest(length=2048))
        total = [(a + b) % 65536 for a, b in zip(total, lanes, strict=True)]
    return derive(context, encode([size, struct.pack("<1024H", *total)]))
