"""The Merkle tree (tree.md)."""

from collections.abc import Callable, Sequence

from tests.spec.stranger.codec import demand, is_bytes, is_uint, sha256

SIZE_MAX = 2**48
PATH_MAX = 63


def leaf(entry: bytes) -> bytes:
    return sha256(b"\x00" + entry)


def node(left: bytes, right: bytes) -> bytes:
    return sha256(b"\x01" + left + right)


def fold(size: int, over: Callable[[int, int], bytes | None]) -> bytes:
    """The root of `size` entries; `over(start, count)` gives a hash, or None to look further down."""

    def down(start: int, count: int) -> bytes:
        known = over(start, count)
        if known is not None:
            return known
        half = 1 << ((count - 1).bit_length() - 1)
        return node(down(start, half), down(start + half, count - half))

    return down(0, size) if size else sha256(b"")


def root(leaves: Sequence[bytes]) -> bytes:
    return fold(len(leaves), lambda start, count: leaves[start] if count == 1 else None)


def _path(path: object) -> list[bytes]:
    demand(type(path) is list and len(path) <= PATH_MAX, "tree", "no path, or a longer one")
    demand(all(is_bytes(item, 32) for item in path), "tree", "hash of another length")
    return path


def included(leaf_hash: bytes, index: int, size: int, path: object, expected: bytes) -> None:
    demand(is_uint(index) and is_uint(size), "tree", "index or size is no number")
    demand(index < size <= SIZE_MAX, "tree", f"index {index}, size {size}")
    fn, sn, r = index, size - 1, leaf_hash
    for p in _path(path):
        demand(sn != 0, "tree", "path too long")
        if fn & 1 or fn == sn:
            r = node(p, r)
            while fn % 2 == 0 and fn != 0:
                fn, sn = fn >> 1, sn >> 1
        else:
            r = node(r, p)
        fn, sn = fn >> 1, sn >> 1
    demand(sn == 0 and r == expected, "tree", "path leads elsewhere")


def continues(size1: int, size2: int, path: object, root1: bytes, root2: bytes) -> None:
    demand(is_uint(size1) and is_uint(size2), "tree", "size is no number")
    demand(0 < size1 <= size2 <= SIZE_MAX, "tree", f"sizes {size1} and {size2}")
    hashes = list(_path(path))
    if size1 == size2:
        demand(not hashes and root1 == root2, "tree", "equal sizes, and a path or two roots")
        return
    demand(bool(hashes), "tree", "empty path")
    if size1 & (size1 - 1) == 0:
        hashes.insert(0, root1)
    fn, sn = size1 - 1, size2 - 1
    while fn & 1:
        fn, sn = fn >> 1, sn >> 1
    fr = sr = hashes[0]
    for c in hashes[1:]:
        demand(sn != 0, "tree", "path too long")
        if fn & 1 or fn == sn:
            fr, sr = node(c, fr), node(c, sr)
            while fn % 2 == 0 and fn != 0:
                fn, sn = fn >> 1, sn >> 1
        else:
            sr = node(sr, c)
        fn, sn = fn >> 1, sn >> 1
    demand(sn == 0 and fr == root1 and sr == root2, "tree", "path leads elsewhere")
