"""What this agent is made of, read where it lies: its tree, skills, skins, thresholds, reducers.

    tree         <home>/trees/<adopted>/       runtime/agent/...
    skills       <home>/skills/<name>/         skills/NAME/SKILL.md, as the agent reads them
    skins        the newest of each name in the ledger, as their authors wrote them
    thresholds   node.toml, the values that `genesis.core.thresholds` names
                 (of both what was adopted, where the operator has not changed it since)
    reducers     the modules that fold this ledger

and beside them everything else that this software is made of, which is pinned. Reading changes
nothing; what is in force may have changed since the tree was adopted, and then the root is another.

Not covered: interpreter, libraries, models (see `genesis.core.architecture`).
"""

import json
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from genesis import trees
from genesis.core import limits
from genesis.core.architecture import Architecture, Entry, Manifest, PathClass
from genesis.core.constitution import LEFT_OUT, PACKAGES, Software, in_software
from genesis.core.errors import InvalidTree
from genesis.core.patch import AGENT_PREFIX, path_fault
from ledger.log import Log
from node.agent.layering import Layers
from node.config import Config
from node.home import Home
from node.keeping.folding import REDUCERS
from runtime.core.adoptions import Adoptions
from runtime.core.skins import installed
from runtime.journal import Journal


@dataclass(frozen=True, slots=True, kw_only=True)
class Present:
    """The architecture of one node as it is now."""

    home: Home
    config: Config
    """As the operator wrote it, without what was adopted."""
    log: Log
    journal: Journal

    @property
    def birth(self) -> bytes | None:
        """The tree that ran before any other was adopted. Raises TreeError."""
        stack = Adoptions(self.journal.state.entries).stack
        return stack[0].tree if stack else trees.current(self.home.path)

    def read(self) -> Architecture:
        """Return it. Raises TreeError, InvalidTree for what lies there and cannot be one."""
        return self.of(self.journal.state.entries, self.birth)

    def of(self, entries: Mapping[str, Any], birth: bytes | None) -> Architecture:
        """Return that of a state, perhaps an earlier one: its tree, its adopted files, its skins.

        The operator's own skills and thresholds are those of now: an older edit is kept nowhere.
        Reads no other state. Raises TreeError, InvalidTree.
        """
        now = Adoptions(entries).in_force
        tree = birth if now is None else now.tree
        if tree is None:
            raise InvalidTree("no architecture tree is adopted", hint="be born first: timmy init")
        layers = Layers(home=self.home, config=self.config, journal=self.journal)
        loaded = trees.load_tree(self.home.path, tree)
        files = {AGENT_PREFIX + path: data for path, data in loaded.items()}
        files.update(layers.take(None if now is None else now.version).held())
        files.update(self._skins(entries))
        reducers = reducer_files()
        return Architecture({**files, **reducers}, frozenset(reducers))

    def _skins(self, entries: Mapping[str, Any]) -> Iterator[tuple[str, bytes]]:
        """One that was erased is worn no more, and is none."""
        for skin in installed(entries):
            content = self.log.read(skin.position).content
            if content is not None and isinstance(content.get("document"), str):
                signed = json.loads(content["document"])
                yield f"skins/{skin.name}.toml", signed["content"].encode()


def reducer_files() -> dict[str, bytes]:
    """Return the modules of the reducers, by their paths in the repository."""
    modules = {reducer.__module__ for reducer in REDUCERS}
    return {f"{name.replace('.', '/')}.py": _source(name) for name in sorted(modules)}


def _source(module: str) -> bytes:
    file = sys.modules[module].__file__
    if file is None:
        raise InvalidTree(f"the source of {module} is not there")
    return Path(file).read_bytes()


def pinned_manifest() -> Manifest:
    """Return the manifest of all of this software that no patch of the agent's may touch.

    Reads some seven hundred files: not for the event loop.
    """
    reducers = reducer_files()
    found = {path: data for path, data in _software() if path not in reducers}
    return Manifest(tuple(Entry.of(path, PathClass.PINNED, found[path]) for path in sorted(found)))


def present_software() -> Software:
    """Return this software as it lies on disk: reducers and what is pinned.

    Reads some seven hundred files: not for the event loop.
    """
    return Software(dict(_software()))


def software_file(path: str) -> bytes | None:
    """Return one file of this software, None if it has none of this path."""
    import node

    file = Path(node.__file__).parent.parent / path
    return file.read_bytes() if in_software(path) and file.is_file() else None


def _software() -> Iterator[tuple[str, bytes]]:
    import node

    root = Path(node.__file__).parent.parent
    for package in PACKAGES:
        for file in _files(root / package):
            path = file.relative_to(root).as_posix()
            if not in_software(path) or path_fault(path):
                continue
            data = file.read_bytes()
            if len(data) <= limits.TREE_BYTES_MAX:
                yield path, data


def _files(folder: Path) -> Iterable[Path]:
    for entry in sorted(folder.iterdir()):
        if entry.name in LEFT_OUT:
            continue
        if entry.is_dir():
            yield from _files(entry)
        elif entry.is_file():
            yield entry


def rows(manifest: Manifest) -> list[Mapping[str, Any]]:
    """Return entries as the rows that scripts rely on."""
    return [
        {
            "path": entry.path,
            "class": entry.path_class.value,
            "bytes": entry.size,
            "digest": entry.digest,
        }
        for entry in manifest.entries
    ]
