"""BLAKE3 as section 2 of its paper describes it, one 32-bit word at a time: hash and derive_key.

Slow on purpose and without cleverness: the whole input at once, the tree by recursion. It shares
nothing with the library that the software uses.
"""

IV = (0x6A09E667, 0xBB67AE85, 0x3C6EF372, 0xA54FF53A, 0x510E527F, 0x9B05688C, 0x1F83D9AB, 0x5BE0CD19)  # fmt: skip
CHUNK_START, CHUNK_END, PARENT, ROOT = 1, 2, 4, 8
DERIVE_KEY_CONTEXT, DERIVE_KEY_MATERIAL = 32, 64
PERMUTATION = (2, 6, 3, 10, 7, 0, 4, 13, 1, 11, 12, 5, 9, 14, 15, 8)
COLUMNS = ((0, 4, 8, 12), (1, 5, 9, 13), (2, 6, 10, 14), (3, 7, 11, 15))
DIAGONALS = ((0, 5, 10, 15), (1, 6, 11, 12), (2, 7, 8, 13), (3, 4, 9, 14))
BLOCK, CHUNK = 64, 1024
MASK = 0xFFFFFFFF


def rotate(word, bits):
    return (word >> bits | word << (32 - bits)) & MASK


def mix(v, a, b, c, d, x, y):
    """The quarter-round G."""
    for word, first, second in ((x, 16, 12), (y, 8, 7)):
        v[a] = (v[a] + v[b] + word) & MASK
        v[d] = rotate(v[d] ^ v[a], first)
        v[c] = (v[c] + v[d]) & MASK
        v[b] = rotate(v[b] ^ v[c], second)


def compress(chaining, block, counter, length, flags):
    """16 words out; the first 8 are the chaining value."""
    message = [int.from_bytes(block[i : i + 4], "little") for i in range(0, BLOCK, 4)]
    v = [*chaining, *IV[:4], counter & MASK, counter >> 32, length, flags]
    for _ in range(7):
        for number, places in enumerate(COLUMNS + DIAGONALS):
            mix(v, *places, message[2 * number], message[2 * number + 1])
        message = [message[i] for i in PERMUTATION]
    low = [v[i] ^ v[i + 8] for i in range(8)]
    return low + [v[i + 8] ^ chaining[i] for i in range(8)]


def chunk_node(data, index, key, flags):
    """The last compression of a chunk, not yet done: it may turn out to be the root."""
    blocks = [data[i : i + BLOCK] for i in range(0, len(data), BLOCK)] or [b""]
    chaining = key
    for number, block in enumerate(blocks):
        start = CHUNK_START if number == 0 else 0
        end = CHUNK_END if number == len(blocks) - 1 else 0
        node = (chaining, block.ljust(BLOCK, b"\0"), index, len(block), flags | start | end)
        chaining = compress(*node)[:8]
    return node


def tree_node(data, first, key, flags):
    """The left subtree holds the largest power of two of chunks that leaves some to the right."""
    chunks = -(-len(data) // CHUNK)
    if chunks <= 1:
        return chunk_node(data, first, key, flags)
    left = 1 << ((chunks - 1).bit_length() - 1)
    halves = (data[: left * CHUNK], first), (data[left * CHUNK :], first + left)
    words = [word for half in halves for word in compress(*tree_node(*half, key, flags))[:8]]
    return key, b"".join(w.to_bytes(4, "little") for w in words), 0, BLOCK, flags | PARENT


def output(data, key, flags, length):
    chaining, block, _, size, node_flags = tree_node(data, 0, key, flags)
    found = b""
    while len(found) < length:
        words = compress(chaining, block, len(found) // BLOCK, size, node_flags | ROOT)
        found += b"".join(word.to_bytes(4, "little") for word in words)
    return found[:length]


def plain(data, length=32):
    return output(data, IV, 0, length)


def derive_key(context, material, length=32):
    context_key = output(context.encode(), IV, DERIVE_KEY_CONTEXT, 32)
    key = tuple(int.from_bytes(context_key[i : i + 4], "little") for i in range(0, 32, 4))
    return output(material, key, DERIVE_KEY_MATERIAL, length)
