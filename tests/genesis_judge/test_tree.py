"""Architecture trees as values and on disk."""

import hashlib
import os

import pytest
from blake3 import blake3
from hypothesis import given
from hypothesis import strategies as st

from genesis import trees
from genesis.core import limits
from genesis.core.errors import InvalidTree, TreeError
from genesis.core.tree import Tree, check_path
from ledger.core.codec import encode

from .diffs import AGENT, agent_tree

FILES = {"main.py": b"print()\n", "skills/one.md": b"# One\n"}

REFUSED = {
    "no entry": {"other.py": b""},
    "absolute": {"main.py": b"", "/etc/x.py": b""},
    "parent folder": {"main.py": b"", "../x.py": b""},
    "inner parent folder": {"main.py": b"", "a/../x.py": b""},
    "hidden": {"main.py": b"", ".x.py": b""},
    "backslash": {"main.py": b"", "a\\x.py": b""},
    "space": {"main.py": b"", "a x.py": b""},
    "not ascii": {"main.py": b"", "é.py": b""},
    "empty segment": {"main.py": b"", "a//x.py": b""},
    "binary suffix": {"main.py": b"", "x.so": b""},
    "bytecode": {"main.py": b"", "x.pyc": b""},
    "no suffix": {"main.py": b"", "x": b""},
    "case fold": {"main.py": b"", "a.py": b"", "A.py": b""},
    "file and folder": {"main.py": b"", "a.py": b"", "a.py/b.py": b""},
    "file and folder, folded": {"main.py": b"", "a.py": b"", "A.py/b.py": b""},
    "not utf-8": {"main.py": b"\xff"},
    "nul": {"main.py": b"a\0b"},
    "too large": {"main.py": bytes(b"#" * (limits.TREE_FILE_BYTES_MAX + 1))},
    "too many": {"main.py": b"", **{f"f{n}.py": b"" for n in range(limits.TREE_FILES_MAX)}},
    "too deep": {"main.py": b"", "/".join("a" * 8) + "/x.py": b""},
    "too long": {"main.py": b"", "a" * limits.PATH_CHARS_MAX + ".py": b""},
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_tree_is_refused(name):
    with pytest.raises(InvalidTree):
        Tree(REFUSED[name])


def test_all_of_it_is_bounded():
    size = limits.TREE_FILE_BYTES_MAX
    files = {f"f{n}.py": b"#" * size for n in range(limits.TREE_BYTES_MAX // size)}
    with pytest.raises(InvalidTree, match="bytes, at most"):
        Tree({"main.py": b"#", **files})


def test_the_digest_by_hand():
    context = "timmy-node 2026-11 architecture tree v1"

    def digest(data):
        return blake3(data, derive_key_context=context).digest()

    pairs = [[path, digest(FILES[path])] for path in sorted(FILES)]
    assert Tree(FILES).digest == digest(encode(pairs))
    assert Tree(dict(reversed(FILES.items()))).digest == Tree(FILES).digest


@given(
    st.sampled_from(sorted(FILES)),
    st.binary(max_size=20).filter(lambda b: b.isascii() and 0 not in b),
)
def test_every_byte_and_name_counts(path, data):
    changed = {**FILES, path: data}
    assert (Tree(changed).digest == Tree(FILES).digest) == (changed == FILES)
    assert Tree({**FILES, "x.py": data}).digest != Tree(FILES).digest


def test_a_tree_does_not_change():
    tree = Tree(FILES)
    with pytest.raises(TypeError):
        tree.files["main.py"] = b""
    assert len({tree, Tree(FILES)}) == 1


@given(st.text(max_size=12))
def test_any_path_is_plain_or_refused(path):
    try:
        check_path(path)
    except InvalidTree:
        return
    assert path.isascii()
    assert ".." not in path.split("/")


def test_the_agent_is_a_tree():
    assert "main.py" in agent_tree()
    assert trees.read_tree(AGENT).digest == agent_tree().digest


def test_store_open_adopt(tmp_path):
    first, second = Tree(FILES), Tree({"main.py": b"pass\n"})
    folder = trees.store_tree(tmp_path, first)
    assert folder == tmp_path / "trees" / first.digest.hex()
    assert trees.store_tree(tmp_path, first) == folder
    assert trees.load_tree(tmp_path, first.digest) == first
    assert not os.access(folder / "main.py", os.W_OK) or os.getuid() == 0
    assert (folder / "main.py").stat().st_mode & 0o222 == 0
    assert folder.stat().st_mode & 0o222 == 0
    assert trees.current(tmp_path) is None
    trees.set_current(tmp_path, first.digest)
    assert trees.current(tmp_path) == first.digest
    with pytest.raises(TreeError, match="no tree"):
        trees.set_current(tmp_path, second.digest)
    trees.store_tree(tmp_path, second)
    trees.set_current(tmp_path, second.digest)
    assert trees.current(tmp_path) == second.digest
    assert trees.open_tree(tmp_path, first.digest) == folder  # to go back to
    assert sorted(p.name for p in (tmp_path / "trees").iterdir()) == sorted(
        [first.digest.hex(), second.digest.hex(), "current"]
    )


DAMAGES = {
    "another byte": lambda f: (f / "main.py").write_bytes(b"Print()\n"),
    "a file more": lambda f: (f / "x.py").write_bytes(b""),
    "a file less": lambda f: (f / "skills" / "one.md").unlink(),
    "a link": lambda f: (f / "x.py").symlink_to("/etc/passwd"),
    "a pipe": lambda f: os.mkfifo(f / "x.py"),
    "a folder link": lambda f: (f / "more").symlink_to("/usr"),
    "a binary": lambda f: (f / "x.so").write_bytes(b""),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_a_damaged_tree_is_found_at_use(tmp_path, name):
    tree = Tree(FILES)
    folder = trees.store_tree(tmp_path, tree)
    for path in (folder, folder / "skills", folder / "main.py"):
        path.chmod(0o700)
    DAMAGES[name](folder)
    for use in (trees.open_tree, trees.set_current):
        with pytest.raises(TreeError, match="damaged"):
            use(tmp_path, tree.digest)
    with pytest.raises(TreeError, match="damaged"):
        trees.store_tree(tmp_path, tree)


def test_bytecode_beside_the_source_is_no_part(tmp_path):
    for path, data in FILES.items():
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_bytes(data)
    (tmp_path / "__pycache__").mkdir()
    (tmp_path / "__pycache__" / "main.cpython-311.pyc").write_bytes(b"\0")
    assert trees.read_tree(tmp_path) == Tree(FILES)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "zz\n",
        "00" * 31 + "\n",
        "../../etc\n",
        "AB" * 32 + "\n",
        hashlib.sha256().hexdigest() + " \n",
    ],
)
def test_a_pointer_that_names_no_tree_is_an_error(tmp_path, text):
    (tmp_path / "trees").mkdir()
    (tmp_path / "trees" / "current").write_text(text)
    with pytest.raises(TreeError, match="does not name a tree"):
        trees.current(tmp_path)


def test_a_missing_folder_is_an_error(tmp_path):
    with pytest.raises(TreeError):
        trees.read_tree(tmp_path / "absent")


def test_failing_to_write_leaves_nothing(tmp_path, monkeypatch):
    def full(fd):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(trees.os, "fsync", full)
    with pytest.raises(TreeError, match="No space left"):
        trees.store_tree(tmp_path, Tree(FILES))
    assert list((tmp_path / "trees").iterdir()) == []
