"""Adopted files and the operator's own: the newer word holds; a stored version is what it says."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genesis import trees
from genesis.adopting import versions
from genesis.core import limits, thresholds
from genesis.core.adopting.layers import Version
from genesis.core.errors import InvalidTree, TreeError
from genesis.core.tree import Tree
from genesis.keys import private
from tests.genesis_judge.diffs import agent_tree

TEA, COFFEE, BOUNDS = "skills/tea/SKILL.md", "skills/coffee/SKILL.md", "thresholds.toml"
FILES = st.dictionaries(st.sampled_from([TEA, COFFEE, BOUNDS]), st.binary(max_size=2))


@given(FILES, FILES, FILES)
def test_the_newer_word_holds(adopted, then, now):
    version = Version.of(adopted, then)
    held = version.over(now)
    for path in (TEA, COFFEE, BOUNDS):
        theirs = adopted.get(path) if now.get(path) == then.get(path) else now.get(path)
        assert held.get(path) == theirs
    assert version.over(then) == dict(sorted(adopted.items()))  # just adopted: all of it
    again = Version.of(version.over(now), now)
    assert again.over(now) == version.over(now)  # and adopting upon it changes nothing else


@given(FILES, FILES)
def test_a_version_is_read_back_and_nothing_else_is(adopted, own):
    version = Version.of(adopted, own)
    data = version.encode()
    assert Version.decode(data) == version
    for bad in (data + b"\0", data[:-1], b"", b"\x83\x02\x80\x80", b"\x83\xf5\x80\x80"):
        with pytest.raises(InvalidTree):
            Version.decode(bad)


@pytest.mark.parametrize(
    "path", ["runtime/agent/main.py", "skills/drafts/SKILL.md", "genesis/judge.py"]
)
def test_only_what_the_operator_has_beside_it_is_layered(path):
    with pytest.raises(InvalidTree):
        Version({path: b""}, {})
    with pytest.raises(InvalidTree, match="32 bytes"):
        Version({}, {TEA: b"x"})
    assert Version.of({path: b"x"}, {}).files == {}


def test_it_is_stored_read_only_and_verified(tmp_path):
    version = Version.of({TEA: b"hot"}, {})
    assert versions.store_version(tmp_path, version) == version.digest
    assert versions.store_version(tmp_path, version) == version.digest
    path = versions.version_path(tmp_path, version.digest)
    assert path.stat().st_mode & 0o777 == 0o400
    assert versions.load_version(tmp_path, version.digest) == version
    with pytest.raises(TreeError, match="there is no version"):
        versions.load_version(tmp_path, bytes(32))
    path.chmod(0o600)
    path.write_bytes(path.read_bytes().replace(b"hot", b"hop"))
    for use in (versions.load_version, lambda home, _: versions.store_version(home, version)):
        with pytest.raises(TreeError, match="damaged"):
            use(tmp_path, version.digest)


class PowerLost(BaseException):
    """Nothing runs after it, and nothing is tidied up."""


class Cut:
    """System calls that write, of which the n-th does not come to its end."""

    NAMES = ("fsync", "replace", "rename", "link", "unlink", "mkdir", "open", "chmod")

    def __init__(self, monkeypatch, at):
        self.left, self.calls = at, 0
        for name in self.NAMES:
            monkeypatch.setattr(os, name, self.counted(getattr(os, name)))

    def counted(self, real):
        def call(*args, **more):
            self.calls += 1
            if self.calls >= self.left:  # and nothing after it, either
                raise PowerLost
            return real(*args, **more)

        return call


OLD, NEW = agent_tree(), Tree({**agent_tree(), "extra.md": b"more\n"})
VERSION = Version.of({TEA: b"hot"}, {TEA: b"cold"})


def adopt(home: Path) -> None:
    """What adopting does to the files: the ledger's events stand between these."""
    trees.store_tree(home, NEW)
    disk = private.Disk(fsync=os.fsync, link=os.link, replace=os.replace, unlink=os.unlink)
    versions.store_version(home, VERSION, disk=disk)
    trees.set_current(home, NEW.digest)


def test_power_lost_at_any_write_leaves_the_old_or_the_new(tmp_path, monkeypatch):
    at, ended = 0, False
    seen = set()
    while not ended:
        at += 1
        home = tmp_path / str(at)
        home.mkdir(mode=0o700)
        trees.store_tree(home, OLD)
        trees.set_current(home, OLD.digest)
        with monkeypatch.context() as patch:
            cut = Cut(patch, at)
            try:
                adopt(home)
                ended = True
            except PowerLost:
                pass
        now = trees.current(home)
        seen.add(now)
        assert trees.open_tree(home, now)
        if now == NEW.digest:
            assert versions.load_version(home, VERSION.digest) == VERSION
        assert trees.open_tree(home, OLD.digest)  # to go back to
        adopt(home)  # and what was cut short is done again
        assert trees.current(home) == NEW.digest
        assert versions.load_version(home, VERSION.digest) == VERSION
    assert cut.calls > 20
    assert seen == {OLD.digest, NEW.digest}


def named(count, made):
    return [made.format(f"{n:03}".rjust(32, "n")) for n in range(count)]


def test_the_largest_version_there_may_be_is_stored_and_opens(tmp_path):
    sizes = {
        **dict.fromkeys(named(limits.SKILLS_MAX, "skills/{}/SKILL.md"), limits.SKILL_BYTES_MAX),
        **dict.fromkeys(named(limits.SKINS_MAX, "skins/{}.toml"), limits.SKIN_BYTES_MAX),
        thresholds.PATH: limits.THRESHOLDS_BYTES_MAX,
    }
    files = {path: bytes(size) for path, size in sizes.items()}
    own = {path.replace("nn", "mm"): b"" for path in files}  # his own have other names, all of them
    version = Version.of(files, own)
    assert versions.store_version(tmp_path, version) == version.digest
    assert versions.load_version(tmp_path, version.digest) == version


def test_what_will_not_open_is_refused_when_it_is_stored(tmp_path):
    skills = named(limits.SKILLS_MAX * 2, "skills/{}/SKILL.md")
    version = Version.of(dict.fromkeys(skills, bytes(limits.SKILL_BYTES_MAX)), {})
    with pytest.raises(TreeError, match="version"):
        versions.store_version(tmp_path, version)
