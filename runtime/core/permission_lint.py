"""Rules that can never decide anything, and why: the first complaint about permission lists.

An error is a rule that is dead: it could not be read, another one always wins before it, it stands
twice, it begins at a folder that is not there, or it names what is never allowed. A warning is a
rule that does more than it seems to: an allow of a program that runs any program.

"Always wins" is asked of single rules: two rules that only together hide a third are not found.
What is asked is exact otherwise (`permission_globs`, covering).
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from runtime.core.permission_globs import ANY, REST
from runtime.core.permission_kinds import (
    CommandPattern,
    HostPattern,
    NamePattern,
    PathPattern,
)
from runtime.core.permission_rules import BASH, Effect, Rule, Scope
from runtime.core.permissions import Policy, below, root_of
from runtime.core.shell_starters import OTHER_SHELLS, SHELLS, name_of
from runtime.core.shell_words import UNKNOWN

_RANK: Final = {Effect.DENY: 0, Effect.ASK: 1, Effect.ALLOW: 2}
_RUN_ANYTHING: Final = SHELLS | OTHER_SHELLS | frozenset(
    {
        "python", "python3", "perl", "ruby", "node", "awk", "gawk", "ssh", "make", "npx", "uvx",
        "docker", "sudo", "doas", "xargs", "find", "vim", "vi", "ed", "tar", "rsync", "gdb",
    }
)  # fmt: skip
"""Programs that start others named in their arguments or in files: an allow of all of one of them
is an allow of everything, unless a sandbox says otherwise."""


class Weight(StrEnum):
    """How bad a finding is."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that is wrong with one rule."""

    weight: Weight
    text: str
    place: str
    why: str
    hint: str = ""


def lint(policy: Policy) -> Iterator[Finding]:
    """Yield what is wrong with the rules of a policy that could be read, in their order."""
    for number, rule in enumerate(policy.rules):
        if rule.scope is Scope.BUILT_IN:
            continue
        why, hint = _dead(policy, rule, policy.rules[:number])
        if why:
            yield _finding(Weight.ERROR, rule, why, hint)
            continue
        why = _loose(rule)
        if why:
            yield _finding(Weight.WARNING, rule, why, "name the very commands that are meant")


def _finding(weight: Weight, rule: Rule, why: str, hint: str) -> Finding:
    return Finding(
        weight=weight, text=f"{rule.effect.value} {rule.text}", place=rule.place, why=why, hint=hint
    )


def _dead(policy: Policy, rule: Rule, earlier: Iterable[Rule]) -> tuple[str, str]:
    """Return why a rule can never fire and what to do about it, or two empty texts."""
    for other in earlier:
        same = other.effect is rule.effect and other.file == rule.file
        if same and _same(other, rule):
            return f"it stands there already, at {other.place}", "take one away"
    for other in policy.rules:
        if _RANK[other.effect] < _RANK[rule.effect] and hides(policy, other, rule):
            verb = "denies" if other.effect is Effect.DENY else "asks about"
            why = f"{other.text} ({other.scope.value}, {other.place}) {verb} all that it names"
            return why, "an allow is no exception to a deny or an ask: make that one narrower"
    if isinstance(rule.pattern, PathPattern) and root_of(policy, rule.pattern) is None:
        root = "the project" if rule.pattern.root == "." else "your home"
        return f"it begins at {root}, and there is none here", "write it from the root: //folder"
    if rule.effect is Effect.ALLOW and isinstance(rule.pattern, CommandPattern):
        why = rule.pattern.never_allows
        return why, "take it away" if why else ""
    return "", ""


def _same(one: Rule, other: Rule) -> bool:
    return (one.tools, one.pattern) == (other.tools, other.pattern)


def _loose(rule: Rule) -> str:
    if rule.effect is not Effect.ALLOW or not rule.names(BASH):
        return ""
    if rule.pattern is None:
        return "it allows every command whose words are known"
    pattern = rule.pattern
    assert isinstance(pattern, CommandPattern)
    first = pattern.words[0]
    if not first.plain:
        return "it allows commands of many names"
    name = name_of(first.specimen)
    if name in _RUN_ANYTHING and pattern.literal == 1 and len(pattern.words) > 1:
        return f"{name} runs whatever it is given"
    return ""


def hides(policy: Policy, one: Rule, other: Rule) -> bool:
    """Whether every call that `other` covers is covered by `one`."""
    if not one.tools.matches(other.tools.specimen):
        return False
    if one.pattern is None:
        return True
    match one.pattern, other.pattern:
        case CommandPattern() as pattern, CommandPattern() as inner:
            return pattern.covers(inner.specimen, wide=one.wide)
        case CommandPattern() as pattern, None:
            return pattern.covers((REST,), wide=one.wide)
        case PathPattern() as pattern, PathPattern() as inner:
            names = _from_root(policy, pattern, inner)
            return names is not None and pattern.covers(names, wide=one.wide)
        case PathPattern() as pattern, None:
            return pattern.root == "/" and pattern.names == (ANY,)
        case HostPattern() as pattern, HostPattern() as inner:
            return pattern.covers(inner.specimen, wide=one.wide)
        case NamePattern() as pattern, NamePattern() as inner:
            return pattern.covers(inner.specimen, wide=one.wide)
        case NamePattern() as pattern, None:
            return pattern.covers(UNKNOWN, wide=one.wide)
        case _:
            return False


def _from_root(policy: Policy, pattern: PathPattern, inner: PathPattern) -> tuple[str, ...] | None:
    """Return all that `inner` covers as names from the root of `pattern` on."""
    if pattern.root == inner.root:
        return inner.specimen
    root = root_of(policy, inner)
    if root is None:
        return None
    start = below("/", root)
    assert start is not None
    return below(root_of(policy, pattern), "/" + "/".join((*start, *inner.specimen)))
