"""Consensus-critical: what a machine can read of a change of this software, and its kinds. Pure.

    parses   every module that comes or changes is Python that the oldest version we support reads
    record   no event type, hash context or signature tag goes: what is on record stays readable
    help     no fewer lines name help in the screens of a crisis

These are floors, and no judgment: whether to change a rule, a screen or the judge is what people
are asked. Each gate gives a reason in a few words, or None; the known-bad change of each is made of
the software that is there (`BAD`). `kind_of` says what a file is for, so that a reader sees at once
that it is the judge, say, which is to be changed.

Not covered: what the code does. `genesis.judging.constitution` runs the part of it that folds.
"""

import ast
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final, TypeAlias

from genesis.core.constitution import Software, changed_paths
from genesis.core.judging.words import guards

Read: TypeAlias = Callable[[Software, Software], str | None]
_OLDEST: Final = (3, 11)
"""Python that this software supports; a judge's own would be another one on another machine."""
_TYPES: Final = "ledger/core/types.py"
_TYPE: Final = re.compile(r'\bname="([a-z_.]{1,64})"')
_TAG: Final = re.compile(
    r'"(timmy(?:-node \d{4}-\d\d [a-z0-9 -]{1,80}|/[a-z0-9/-]{1,80}) ?/?v\d+)"'
)
_SCREENS: Final = "runtime/core/crisis"

_KINDS: Final[tuple[tuple[str, tuple[str, ...]], ...]] = (
    ("screen", ("runtime/core/crisis", "runtime/core/injection", "runtime/core/leaks",
                "runtime/safety")),
    ("judge", ("genesis/judg", "genesis/core/judging/", "genesis/core/verdict",
               "genesis/core/draws", "runtime/core/suite", "runtime/selftest")),
    ("approval", ("genesis/core/granting", "genesis/core/approval", "genesis/core/sealed_word",
                  "genesis/core/constitution", "node/agent/approval", "node/agent/deciders")),
    ("permission", ("runtime/core/permission", "runtime/permission", "node/agent/permitting")),
    ("sandbox", ("runtime/sandbox", "runtime/bubblewrap", "runtime/landlock", "runtime/warden/",
                 "runtime/held", "runtime/core/seccomp", "runtime/core/landlock", "runtime/cgroups",
                 "runtime/rooms", "runtime/child", "runtime/interpreter")),
    ("key", ("genesis/keys/", "genesis/core/keys", "genesis/core/nip49", "ledger/core/keys")),
    ("tool", ("runtime/tools/", "node/agent/tools", "node/mcp/")),
    ("record", ("ledger/",)),
    ("proof", ("attest/",)),
    ("mesh", ("mesh/", "node/fleet/")),
)  # fmt: skip
"""What a file is for, by how its path begins; the first that fits. All else is the host."""


def kind_of(path: str, reducers: Iterable[str]) -> str:
    """Return in a word what a file is for."""
    if path in set(reducers):
        return "reducer"
    return next((kind for kind, begins in _KINDS if path.startswith(begins)), "host")


def _parses(before: Software, after: Software) -> str | None:
    for path in changed_paths(before, after):
        data = after.get(path)
        if data is None or not path.endswith(".py"):
            continue
        try:
            ast.parse(data.decode(), feature_version=_OLDEST)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return f"{path} is not Python that can be read"
    return None


def _record(before: Software, after: Software) -> str | None:
    if lost := sorted(_types(before) - _types(after)):
        return f"the event type {lost[0]} goes: what is on record would be read no more"
    if lost := sorted(_tags(before) - _tags(after)):
        return f"{lost[0]!r} goes: what was hashed or signed so would be checked no more"
    return None


def _types(software: Software) -> frozenset[str]:
    return frozenset(_TYPE.findall(software.get(_TYPES, b"").decode(errors="replace")))


def _tags(software: Software) -> frozenset[str]:
    return frozenset(tag for text in _modules(software, "") for tag in _TAG.findall(text))


def _modules(software: Software, begin: str) -> Iterator[str]:
    for path, data in software.items():
        if path.startswith(begin) and path.endswith(".py"):
            yield data.decode(errors="replace")


def _help(before: Software, after: Software) -> str | None:
    had, has = (_naming(one) for one in (before, after))
    return f"{had - has} fewer lines name help in a crisis" if has < had else None


def _naming(software: Software) -> int:
    return sum(len(guards(text)) for text in _modules(software, _SCREENS))


READS: Final[Mapping[str, Read]] = {"parses": _parses, "record": _record, "help": _help}


def _unreadable(good: Software) -> Software:
    return Software({**good, "ledger/unreadable.py": b"def (\n"})


def _forgetful(good: Software) -> Software:
    return _without(good, _TYPES, _TYPE)


def _retagged(good: Software) -> Software:
    return _without(good, "ledger/core/hashing.py", _TAG)


def _without(good: Software, path: str, pattern: re.Pattern[str]) -> Software:
    """Return software in which the first thing of a kind that is on record is called otherwise."""
    text = good.get(path, b"").decode(errors="replace")
    found = pattern.search(text)
    if found is None:
        return good
    return Software({**good, path: (text[: found.start(1)] + text[found.end(1) :]).encode()})


def _hushed(good: Software) -> Software:
    files = dict(good)
    for path in good:
        if path.startswith(_SCREENS) and (lines := guards(good[path].decode(errors="replace"))):
            text = good[path].decode(errors="replace")
            files[path] = text.replace(min(lines), "", 1).encode()
            break
    return Software(files)


BAD: Final[Mapping[str, tuple[str, Callable[[Software], Software]]]] = {
    "unreadable": ("parses", _unreadable),
    "forgetful": ("record", _forgetful),
    "retagged": ("record", _retagged),
    "hushed": ("help", _hushed),
}
"""Known-bad changes by name: the gate that must find each, and how it is made."""
