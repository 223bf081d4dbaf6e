"""Structure-aware mutations: of bytes, of CBOR and JSON values, of text. Seeded, never random."""

import base64
import json
import string

import cbor2

INTERESTING = (0, 1, -1, 23, 24, 255, 256, 2**31, 2**32 - 1, 2**48, 2**48 + 1, 2**53)
INTERESTING += (2**63 - 1, 2**63, -(2**63), -(2**63) - 1, 2**64, 2**70)
TEXTS = ("", "\x00", "\ud800", "\u2028", "é" * 40, "x" * 300, "-1", "0", "null", "../..", "/", "\n")
CBOR_HEADS = bytes([0x3B, 0x5B, 0x7B, 0x9B, 0xBB, 0xDB, 0x5F, 0x9F, 0xBF, 0xFF, 0xF9, 0xFB, 0xC2])


# ---- bytes --------------------------------------------------------------------------------------


def flip(random, data, _pool):
    at = random.randrange(len(data))
    return data[:at] + bytes([data[at] ^ 1 << random.randrange(8)]) + data[at + 1 :]


def set_byte(random, data, _pool):
    at = random.randrange(len(data))
    value = random.choice([0, 0x7F, 0x80, 0xFF, 0x0A, 0x20, random.randrange(256)])
    return data[:at] + bytes([value]) + data[at + 1 :]


def cut(random, data, _pool):
    return data[: random.randrange(len(data))]


def remove(random, data, _pool):
    start, length = random.randrange(len(data)), random.choice([1, 2, 4, 32, 200])
    return data[:start] + data[start + length :]


def repeat(random, data, _pool):
    start = random.randrange(len(data))
    section = data[start : start + random.choice([1, 4, 32, 80, len(data)])]
    return data[:start] + section * random.choice([2, 3, 40]) + data[start:]


def swap(random, data, _pool):
    a, b, c, d = sorted(random.randrange(len(data) + 1) for _ in range(4))
    return data[:a] + data[c:d] + data[b:c] + data[a:b] + data[d:]


def splice(random, data, pool):
    other = random.choice(pool)
    return data[: random.randrange(len(data) + 1)] + other[random.randrange(len(other) + 1) :]


def insert(random, data, _pool):
    at = random.randrange(len(data) + 1)
    return data[:at] + random.randbytes(random.choice([1, 2, 4, 9])) + data[at:]


def overwrite_length(random, data, _pool):
    """Big counts where a length may stand: of 1, 2, 4 or 8 bytes, of either end."""
    at, width = random.randrange(len(data)), random.choice([1, 2, 4, 8])
    value = random.choice([0, 1, 255, 2**16, 2**22 + 1, 2**31, 2**63, 2**64 - 1]) % 256**width
    return data[:at] + value.to_bytes(width, random.choice(["big", "little"])) + data[at + width :]


def cbor_head(random, data, _pool):
    at = random.randrange(len(data))
    head = bytes([random.choice(CBOR_HEADS)]) + random.randbytes(random.choice([0, 1, 8]))
    return data[:at] + head + data[at:]


BYTES = (flip, set_byte, cut, remove, repeat, swap, splice, insert, overwrite_length, cbor_head)


def mutate_bytes(random, data, pool):
    for _ in range(random.choice([1, 1, 1, 2, 4])):
        data = random.choice(BYTES)(random, data or b"\x00", pool)
    return data


# ---- values -------------------------------------------------------------------------------------


def strange(random, value):
    """Another value in the place of `value`, of its type or of none like it."""
    choice = random.randrange(6)
    if choice == 0 and type(value) is int:
        return value + random.choice([1, -1, 2**32])
    if choice == 1 and isinstance(value, bytes | str):
        return value[: len(value) // 2] if random.random() < 0.5 else value + value
    if choice == 2:
        return random.choice(INTERESTING)
    if choice == 3:
        return random.choice(TEXTS)
    if choice == 4 and isinstance(value, bytes) and value:
        return flip(random, value, [])
    return random.choice([None, True, False, [], {}, [None], {"": 0}, [[]] * 70, "x", 1.5, value])


def deep(random, value):
    for _ in range(random.choice([1, 10, 31, 32, 33, 60])):
        value = [value] if random.random() < 0.7 else {"k": value}
    return value


def mutate_value(random, value):
    """Descend to a random place and change what is there."""
    if isinstance(value, list) and value and random.random() < 0.85:
        at, items = random.randrange(len(value)), list(value)
        action = random.randrange(6)
        if action == 0:
            del items[at]
        elif action == 1:
            items[at:at] = [items[at]] * random.choice([1, 2, 70, 300])
        elif action == 2:
            other = random.randrange(len(items))
            items[at], items[other] = items[other], items[at]
        else:
            items[at] = mutate_value(random, items[at])
        return items
    if isinstance(value, dict) and value and random.random() < 0.85:
        key, items = random.choice(list(value)), dict(value)
        action = random.randrange(6)
        if action == 0:
            del items[key]
        elif action == 1:
            items[random.choice([*TEXTS, key * 2])] = items.pop(key)
        elif action == 2:
            other = random.choice(list(items))
            items[key], items[other] = items[other], items[key]
        elif action == 3:
            items[random.choice(TEXTS)] = strange(random, items[key])
        else:
            items[key] = mutate_value(random, items[key])
        return items
    return deep(random, value) if random.random() < 0.05 else strange(random, value)


def mutate_cbor(random, data, pool):
    """Change the value that `data` encodes; bytes that hold CBOR or nothing are changed as such."""
    try:
        value = mutate_value(random, cbor2.loads(data))
        return cbor2.dumps(value, canonical=random.random() < 0.9)
    except (cbor2.CBORError, UnicodeError, ValueError, TypeError, RecursionError):
        return mutate_bytes(random, data, pool)


def mutate_json(random, data, pool):
    try:
        value = mutate_value(random, json.loads(data))
        style = random.choice([{"separators": (",", ":"), "sort_keys": True}, {}, {"indent": 1}])
        return json.dumps(value, ensure_ascii=random.random() < 0.5, **style).encode()
    except (ValueError, TypeError, RecursionError):
        return mutate_bytes(random, data, pool)


def mutate_text(random, data, pool):
    """Change whole lines or words, so that what is around them still parses."""
    separator = random.choice([b"\n", b" ", b"/", b"\n@@"])
    parts = data.split(separator)
    at = random.randrange(len(parts))
    action = random.randrange(6)
    if action == 0:
        del parts[at]
    elif action == 1:
        parts[at:at] = [parts[at]] * random.choice([1, 2, 40])
    elif action == 2:
        other = random.randrange(len(parts))
        parts[at], parts[other] = parts[other], parts[at]
    elif action == 3:
        parts[at] = random.choice(TEXTS).encode(errors="replace")
    elif action == 4:
        word = "".join(random.choices(string.printable + "éß\u0661\u2028", k=random.choice([1, 8])))
        parts[at] += word.encode()
    else:
        parts[at] = mutate_bytes(random, parts[at] or b"\x00", pool)
    return separator.join(parts)


def mutate_base64(random, data, pool):
    """Change what a base64 word of a text decodes to."""
    words = data.split(b" ")
    at = random.randrange(len(words))
    try:
        inner = base64.b64decode(words[at].strip(), validate=True)
    except ValueError:
        return mutate_text(random, data, pool)
    words[at] = base64.b64encode(mutate_bytes(random, inner, pool)) + b"\n"
    return b" ".join(words)


MUTATORS = {
    "bytes": (mutate_bytes,),
    "cbor": (mutate_cbor, mutate_cbor, mutate_bytes),
    "json": (mutate_json, mutate_json, mutate_bytes),
    "text": (mutate_text, mutate_text, mutate_base64, mutate_bytes),
}


def mutate(random, kind, data, pool):
    return random.choice(MUTATORS[kind])(random, data, pool)
