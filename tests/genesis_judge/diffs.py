"""Makes the patches that the tests judge."""

import difflib
from collections.abc import Mapping
from pathlib import Path

from genesis.core.architecture import Architecture
from genesis.core.patch import AGENT_PREFIX
from genesis.core.tree import Tree
from genesis.trees import read_tree

AGENT = Path(__file__).parents[2] / "runtime" / "agent"


def agent_tree() -> Tree:
    return read_tree(AGENT)


def architecture(tree: Tree, data: Mapping[str, bytes] | None = None) -> Architecture:
    """What `tree` and other files, by their paths in the repository, make."""
    return Architecture(
        {AGENT_PREFIX + path: text for path, text in tree.items()} | {**(data or {})}
    )


def diff(path: str, old: bytes, new: bytes) -> bytes:
    """What `diff -u` prints for one file of the repository."""
    lines = difflib.unified_diff(
        old.decode().splitlines(keepends=True),
        new.decode().splitlines(keepends=True),
        f"a/{path}" if old else "/dev/null",
        f"b/{path}" if new else "/dev/null",
    )
    return "".join(
        line if line.endswith("\n") else line + "\n\\ No newline at end of file\n" for line in lines
    ).encode()


def change(tree: Tree, path: str, *passages: str) -> bytes:
    """Replace passages of one file: old, new, old, new."""
    text = tree[path].decode()
    for old, new in zip(passages[::2], passages[1::2], strict=True):
        assert text.count(old) == 1, f"{path} has no single {old!r}"
        text = text.replace(old, new)
    return diff(f"runtime/agent/{path}", tree[path], text.encode())


def rewrite(tree: Tree, path: str, new: str) -> bytes:
    return diff(f"runtime/agent/{path}", tree.get(path, b""), new.encode())
