"""Consensus-critical: skins, and the reducer of which conversation wears which.

A skin is how the agent speaks in a conversation and how a terminal shows it: a voice for the
prompt, a label, a greeting, a colour. It is a signed, versioned document: TOML inside a Nostr event
of its author (NIP-78, kind 30078, `d` = "timmy-skin/NAME"), which `node.agent.skins` verifies. What
it cannot change: the screens, permissions, tools and the agent's own rules, which stand before it
in every prompt.

Entries:

    skins                  [name, ...]
    skin/<name>            [version, position of skin.added, author: 32 bytes]
    worn                   name that conversations wear which chose none
    worn/<conversation>    name, or "" for none

Not covered: the words of a skin, which are content and may be erased; it is then worn no more.
"""

import re
import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

from ledger.core import types
from ledger.core.event import Event
from ledger.core.state import Change
from runtime.core.errors import SkinRefused

NOSTR_KIND: Final = 30_078
TAG_PREFIX: Final = "timmy-skin/"
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,31}")
COLOURS: Final = ("red", "green", "yellow", "blue", "magenta", "cyan", "white")
VOICE_CHARS_MAX: Final = 4_000
"""A thousand tokens, in every prompt of the conversation."""
_LABEL_CHARS_MAX: Final = 40
_GREETING_CHARS_MAX: Final = 300
_VERSION_MAX: Final = 2**31 - 1
_HINT: Final = "timmy skins --help shows one"
_FIELDS: Final = {
    "name": str,
    "version": int,
    "voice": str,
    "label": str,
    "greeting": str,
    "colour": str,
}
SKINS_MAX: Final = 64
"""More than a person tells apart."""

Entries: TypeAlias = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Skin:
    """What a document says. Making one raises SkinRefused for what is out of bounds."""

    name: str
    version: int
    voice: str = field(repr=False)
    label: str = ""
    greeting: str = ""
    colour: str = ""

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise SkinRefused(
                f"{self.name[:60]!r} is no name for a skin",
                hint="1 to 32 of a-z, 0-9 and dash, a letter or digit first",
            )
        if not 1 <= self.version <= _VERSION_MAX:
            raise SkinRefused(f"version {self.version}, expected 1 to {_VERSION_MAX}")
        if not self.voice.strip():
            raise SkinRefused("a skin without a voice", hint='voice = "how it speaks"')
        for what, words, chars_max, lines in (
            ("voice", self.voice, VOICE_CHARS_MAX, True),
            ("label", self.label, _LABEL_CHARS_MAX, False),
            ("greeting", self.greeting, _GREETING_CHARS_MAX, False),
        ):
            _check_words(what, words, chars_max, lines=lines)
        if self.colour and self.colour not in COLOURS:
            raise SkinRefused(f"{self.colour[:20]!r} is no colour", hint=", ".join(COLOURS))


def _check_words(what: str, words: str, chars_max: int, *, lines: bool) -> None:
    if len(words) > chars_max:
        raise SkinRefused(f"a {what} of {len(words)} characters, at most {chars_max}")
    plain = words.replace("\n", "").replace("\t", "") if lines else words
    if not plain.isprintable():
        raise SkinRefused(f"the {what} holds characters that cannot be printed")


def parse_skin(document: str) -> Skin:
    """Read a document. Raises SkinRefused, which says where."""
    try:
        value = tomllib.loads(document)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise SkinRefused(f"not TOML: {error}"[:200], hint=_HINT) from error
    for name, given in value.items():
        if _FIELDS.get(name) is not type(given):
            raise SkinRefused(f"{name[:40]!r} is no field of this type", hint=", ".join(_FIELDS))
    missing = {"name", "version", "voice"} - value.keys()
    if missing:
        raise SkinRefused(f"without {', '.join(sorted(missing))}", hint="name, version and voice")
    return Skin(**value)


@dataclass(frozen=True, slots=True, kw_only=True)
class Installed:
    """A skin of this ledger. `position`: the event with its words."""

    name: str
    version: int
    position: int
    author: bytes


def installed(entries: Entries) -> list[Installed]:
    """Return every skin, by name."""
    found = (_installed(entries, name) for name in entries.get("skins", ()))
    return [one for one in found if one is not None]


def worn(entries: Entries, conversation: str) -> Installed | None:
    """Return what a conversation wears."""
    name = entries.get(worn_key(conversation), entries.get("worn"))
    return _installed(entries, name) if name else None


def worn_key(conversation: str) -> str:
    """Entry of what a conversation chose."""
    return f"worn/{conversation}"


def _installed(entries: Entries, name: str) -> Installed | None:
    entry = entries.get(f"skin/{name}")
    if entry is None:
        return None
    version, position, author = entry
    return Installed(name=name, version=version, position=position, author=author)


def reduce_skins(entries: Entries, event: Event) -> Iterable[Change]:
    """See the module. Never raises for an event that `Event.open` accepted."""
    handler = _HANDLERS.get(event.type)
    return () if handler is None else handler(entries, event)


def _added(entries: Entries, event: Event) -> Iterable[Change]:
    match event.payload:
        case {"name": str(name), "version": int(version), "author": bytes(author)}:
            known = entries.get("skins", ())
            yield f"skin/{name}", [version, event.position, author]
            if name not in known:
                yield "skins", sorted([*known, name])


def _removed(entries: Entries, event: Event) -> Iterable[Change]:
    match event.payload:
        case {"name": str(name)} if f"skin/{name}" in entries:
            left = [other for other in entries["skins"] if other != name]
            yield f"skin/{name}", None
            yield "skins", left or None


def _chosen(_entries: Entries, event: Event) -> Iterable[Change]:
    match event.payload:
        case {"conversation": str(conversation), "name": str(name)}:
            yield worn_key(conversation), name
        case {"name": str(name)}:
            yield "worn", name or None


_Handler: TypeAlias = Callable[[Entries, Event], Iterable[Change]]
_HANDLERS: Final[Mapping[str, _Handler]] = {
    types.SKIN_ADDED.name: _added,
    types.SKIN_REMOVED.name: _removed,
    types.SKIN_CHOSEN.name: _chosen,
}
