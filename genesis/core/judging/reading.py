"""Consensus-critical: gates that are read and not run: what a patch does to files. Pure.

    sources   no file of the tree stands for a module of Python or of a library; no line that names
              help in a crisis is taken out of it
    skills    each skill that the patch makes or changes (`genesis.core.judging.skills`)
    skins     each skin: its version rises, and its voice commands nothing and hushes nothing up

Only what a patch changes is asked: what a parent has, its operator put there. A gate gives a
reason in a few words, or None. Known-bad changes, one or more for each gate, are in
`genesis.judging.mutants`.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Final, TypeAlias

from genesis.core.architecture import Architecture, PathClass
from genesis.core.errors import InvalidTree
from genesis.core.judging import skills
from genesis.core.judging.library import TAKEN
from genesis.core.judging.words import guards, weakens
from genesis.core.patch import AGENT_PREFIX
from runtime.core.crisis import pieces, screen_input
from runtime.core.errors import SkinRefused
from runtime.core.injection import findings
from runtime.core.skins import Skin, parse_skin

Read: TypeAlias = Callable[[Architecture, Architecture], str | None]


def _changed(before: Architecture, after: Architecture, kind: PathClass) -> Iterator[str]:
    for path, data in after.items():
        if after.class_of(path) is kind and before.get(path) != data:
            yield path


def _sources(before: Architecture, after: Architecture) -> str | None:
    names = [path.removeprefix(AGENT_PREFIX) for path in after if path.startswith(AGENT_PREFIX)]
    old = [path.removeprefix(AGENT_PREFIX) for path in before if path.startswith(AGENT_PREFIX)]
    for name in sorted(set(names) - set(old)):
        top = name.partition("/")[0].removesuffix(".py")
        if top in TAKEN:
            return f"a file of it stands for the module {top}"
    lost = _guards(before) - _guards(after)
    return "a line that names help in a crisis is taken out" if lost else None


def _guards(tree: Architecture) -> frozenset[str]:
    texts = (data.decode() for path, data in tree.items() if path.startswith(AGENT_PREFIX))
    return frozenset(line for text in texts for line in guards(text))


def _skills(before: Architecture, after: Architecture) -> str | None:
    old, new = _skill_texts(before), _skill_texts(after)
    for path in _changed(before, after, PathClass.SKILL):
        name = _folder(path)
        fault = (
            skills.form_fault(name, new[name])
            or skills.name_fault(name, new)
            or skills.trigger_fault(name, old, new)
        )
        if fault is not None:
            return f"skill {name}: {fault}"
    return None


def _skill_texts(files: Architecture) -> dict[str, str]:
    paths = (path for path in files if files.class_of(path) is PathClass.SKILL)
    return {_folder(path): files[path].decode() for path in paths}


def _folder(path: str) -> str:
    return path.split("/")[1]


def _skins(before: Architecture, after: Architecture) -> str | None:
    for path in _changed(before, after, PathClass.SKIN):
        skin = parse_skin(after[path].decode())
        fault = _changed_fault(skin, before.get(path))
        if fault is not None:
            return f"skin {skin.name}: {fault}"
    return None


def _changed_fault(skin: Skin, before: bytes | None) -> str | None:
    """A change of a skin is a higher version: what its author signed is another document."""
    if before is not None and skin.version <= _version(before):
        return f"version {skin.version} of it is there, or a later one"
    disguised = "it reads like commands in disguise" if findings(words_of(skin)) else None
    return skin_fault(skin) or disguised


def skin_fault(skin: Skin) -> str | None:
    """Return what nobody can accept of a skin that he has read, in a few words, or None."""
    words = words_of(skin)
    if weakens(words):
        return "it asks not to name help"
    if any(screen_input(piece).crisis for piece in pieces(words)):
        return "the crisis screen stops its voice"
    return None


def words_of(skin: Skin) -> str:
    """Return all that a skin says, its voice first."""
    return f"{skin.voice}\n{skin.greeting}\n{skin.label}"


def _version(data: bytes) -> int:
    try:
        return parse_skin(data.decode()).version
    except (SkinRefused, UnicodeDecodeError) as error:  # no architecture holds such a file
        raise InvalidTree(f"a skin cannot be read: {error}") from error


READS: Final[Mapping[str, Read]] = {
    "sources": _sources,
    "skills": _skills,
    "skins": _skins,
}
