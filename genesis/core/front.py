"""Consensus-critical: the front matter of a proposal, TOML between two lines of `+++`.

    title       one line: what changes
    rationale   why
    class       "routine" or "constitutional", as the touched paths are: said, and then checked
    evaluation  the task by which the change is to be judged
    expected    the effect that is expected, and how one would see it
    base        root of the architecture it was made against, in hex (may be absent)
    follows     position of the proposal that this one takes up again (may be absent)
    migration   of a constitutional one: path of the module that takes the new state back to the
                old one (may be absent; `genesis.core.constitution.migration_of`)
    [budget]    seconds, tokens, usd that its evaluation may take (may be absent); a judge obeys
                the seconds and takes nothing of the others, a fork's live model obeys all three

No other key, no other type, nothing that cannot be printed. TOML has no anchors, no aliases and no
tags, so nothing in it grows when it is read.
"""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from genesis.core import limits
from genesis.core.errors import InvalidPatch, Reason
from genesis.core.patch import PatchClass, path_fault
from ledger.core.limits import INT_MAX

MARK: Final = "+++"
_TEXTS: Final = ("rationale", "evaluation", "expected")
_KEYS: Final = {
    **dict.fromkeys(("title", "class", *_TEXTS), str),
    "base": str,
    "follows": int,
    "migration": str,
    "budget": dict,
}
_OPTIONAL: Final = frozenset({"base", "follows", "migration", "budget"})
_BUDGET: Final = {
    "seconds": limits.BUDGET_SECONDS_MAX,
    "tokens": limits.BUDGET_TOKENS_MAX,
    "usd": limits.BUDGET_USD_MAX,
}
_ROOT: Final = re.compile(r"[0-9a-f]{64}")
_AT_LINE: Final = re.compile(r"at line (\d+)")
_HIDDEN: Final = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b"
    "\u200e\u200f\u2028-\u202e\u2060-\u206f\u3164\ufe00-\ufe0e\ufeff\uffa0\ufff0-\ufffb"
    "\U000e0000-\U000e0fff]"
)
"""Controls, and signs that turn text around, end lines or take no room: a reader sees none of them.
U+200C, U+200D and U+FE0F stay, which scripts and pictures are written with."""


def hidden_in(text: str) -> int | None:
    """Return where the first sign stands that a reader would not see, or None."""
    found = _HIDDEN.search(text)
    return None if found is None else found.start()


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """What an evaluation may take; 0: nothing of it."""

    seconds: int = 600
    tokens: int = 0
    usd: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Front:
    """What a proposal says of itself. Made by `parse_front`, or to be rendered."""

    title: str
    rationale: str
    patch_class: PatchClass
    evaluation: str
    expected: str
    base: bytes | None = None
    follows: int | None = None
    migration: str = ""
    """Path of a module; empty: none is declared."""
    budget: Budget = field(default_factory=Budget)


def parse_front(text: str, *, first_line: int) -> Front:
    """Read what stands between the marks. Raises InvalidPatch, with the line in the document."""
    reading = _Reading(text, first_line)
    values = reading.values()
    for key in values:
        if key not in _KEYS:
            raise reading.error(f"unknown key {key[:40]!r}", key)
    for key, kind in _KEYS.items():
        if key not in values:
            if key in _OPTIONAL:
                continue
            raise reading.error(f"there is no {key}", "")
        if type(values[key]) is not kind:
            raise reading.error(f"{key} is not of type {kind.__name__}", key)
    for key in ("title", *_TEXTS):
        _check_text(reading, key, values[key])
    if values["class"] not in set(PatchClass):
        raise reading.error("class is neither routine nor constitutional", "class")
    base = values.get("base")
    if base is not None and not _ROOT.fullmatch(base):
        raise reading.error("base is not a root, 64 digits of hex", "base")
    follows = values.get("follows")
    if follows is not None and not 0 <= follows <= INT_MAX:
        raise reading.error("follows is not the position of an event", "follows")
    if "migration" in values:
        _check_migration(reading, values["migration"], PatchClass(values["class"]))
    return Front(
        title=values["title"],
        rationale=values["rationale"],
        patch_class=PatchClass(values["class"]),
        evaluation=values["evaluation"],
        expected=values["expected"],
        base=None if base is None else bytes.fromhex(base),
        follows=follows,
        migration=values.get("migration", ""),
        budget=_budget(reading, values.get("budget", {})),
    )


def _check_text(reading: "_Reading", key: str, text: str) -> None:
    most = limits.TITLE_CHARS_MAX if key == "title" else limits.FIELD_CHARS_MAX
    if not text.strip():
        raise reading.error(f"{key} is empty", key)
    if len(text) > most:
        raise reading.error(f"{key} of {len(text)} characters, at most {most}", key)
    if key == "title" and "\n" in text:
        raise reading.error("title is more than one line", key)
    if hidden_in(text) is not None:
        raise reading.error(f"{key} holds a sign that cannot be seen", key, Reason.HIDDEN)


def _check_migration(reading: "_Reading", path: str, patch_class: PatchClass) -> None:
    if patch_class is not PatchClass.CONSTITUTIONAL:
        raise reading.error("migration is of a constitutional change, this is routine", "migration")
    if fault := path_fault(path):
        raise reading.error(f"migration: {fault}", "migration")


def _budget(reading: "_Reading", values: Mapping[str, Any]) -> Budget:
    for key, value in values.items():
        if key not in _BUDGET:
            raise reading.error(f"unknown key 'budget.{key[:40]}'", key)
        if type(value) is not int or not 0 <= value <= _BUDGET[key]:
            raise reading.error(f"budget.{key} is not a number from 0 to {_BUDGET[key]}", key)
    return Budget(**values)


class _Reading:
    """The text of a front matter, and where in the document it stands."""

    def __init__(self, text: str, first_line: int) -> None:
        self._text = text
        self._first_line = first_line

    def values(self) -> dict[str, Any]:
        """Return it as TOML gives it."""
        size = len(self._text.encode())
        if size > limits.FRONT_BYTES_MAX:
            message = f"the front matter has {size} bytes, at most {limits.FRONT_BYTES_MAX}"
            raise self.error(message, "", Reason.SIZE)
        try:
            return tomllib.loads(self._text)
        except (ValueError, RecursionError) as error:
            found = _AT_LINE.search(str(error))
            line = self._first_line + int(found[1]) - 1 if found else self._first_line
            why = str(error).partition(" (at ")[0].lower()[:120]
            raise InvalidPatch(
                f"the front matter is not TOML: {why}",
                reason=Reason.FRONT, line=line,
            ) from error  # fmt: skip

    def error(self, message: str, key: str, reason: Reason = Reason.FRONT) -> InvalidPatch:
        """Return a refusal that points to a key; without one, to the first line."""
        found = re.search(rf"^\W*{re.escape(key)}\b", self._text, re.MULTILINE) if key else None
        start = found.end() if found else 0
        line = self._first_line + self._text.count("\n", 0, start)
        return InvalidPatch(message, reason=reason, line=line)


def render_front(front: Front) -> str:
    """Return it as a document begins with it, both marks included."""
    lines = [
        MARK,
        f"title = {_quoted(front.title)}",
        f'class = "{front.patch_class.value}"',
        *(f"{key} = {_quoted(getattr(front, key))}" for key in _TEXTS),
    ]
    if front.base is not None:
        lines.append(f'base = "{front.base.hex()}"')
    if front.follows is not None:
        lines.append(f"follows = {front.follows}")
    if front.migration:
        lines.append(f"migration = {_quoted(front.migration)}")
    budget = front.budget
    lines += ["", "[budget]", f"seconds = {budget.seconds}", f"tokens = {budget.tokens}"]
    return "\n".join([*lines, f"usd = {budget.usd}", MARK, ""])


def _quoted(text: str) -> str:
    """Return a basic string of TOML, which may span lines if it has to."""
    plain = text.replace("\\", "\\\\").replace('"', '\\"')
    if "\n" not in plain:
        return '"' + plain.replace("\t", "\\t") + '"'
    return f'"""\n{plain}"""'
