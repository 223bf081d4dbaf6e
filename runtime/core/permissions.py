"""May this tool call be made? A pure function of the call and the rules of three scopes.

Order: deny, then ask, then allow; within an effect the first rule that covers the call is named.
So a deny wins over everything, whichever scope it stands in and however special an allow is. Deny
and ask are read wide, allow narrow (`permission_kinds`). What no rule names is asked, except tools
that say otherwise (`Tool.unnamed`) and looking at files within the project: an operator who is
asked about each look learns to say yes, and then the question is worth nothing.

A shell line is allowed if every command in it is, every file that it opens is, and nothing about
it is unknown. One part that is denied denies the line. An allow of `bash -c`, `timeout`, `sudo`
does not reach the command behind, unless the rule spells that out without a wildcard in front of
it.

Paths are compared as they were named and as they resolve (symbolic links, `..`): deny and ask hold
if either is covered, allow only if what it resolves to is. The caller resolves, and must act on
the very path that was decided. A word of a shell command that names a denied file is denied too;
that is a help, not a wall: what a program does with files is for the sandbox.

Rules that could not be read (`Policy.faults`) may have been a deny, so with any of them nothing is
allowed.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias
from urllib.parse import urlsplit

from runtime.core.errors import CallRefused, RuleRefused
from runtime.core.limits import PATH_CHARS_MAX, URL_CHARS_MAX
from runtime.core.permission_globs import folded
from runtime.core.permission_kinds import (
    DEFAULT_PORTS,
    CommandPattern,
    HostPattern,
    NamePattern,
    PathPattern,
    ascii_host,
)
from runtime.core.permission_rules import (
    BASH,
    FILE_EDIT,
    FILE_READ,
    TOOLS,
    WEB_FETCH,
    Effect,
    Kind,
    Rule,
    Scope,
    Tool,
)
from runtime.core.shell import Line, Simple, Stream, path_words
from runtime.core.shell_words import UNKNOWN

_ORDER: Final = (Effect.DENY, Effect.ASK, Effect.ALLOW)
_QUIET: Final = frozenset({"/dev/null", "/dev/stdout", "/dev/stderr", "/dev/stdin", "/dev/tty"})
_NUMERIC: Final = re.compile(r"(0x[0-9a-f]*|[0-9]+)(\.(0x[0-9a-f]*|[0-9]+))*", re.IGNORECASE)
_DOTTED: Final = re.compile(r"(0|[1-9]\d{0,2})(\.(0|[1-9]\d{0,2})){3}")
_SHOWN_CHARS: Final = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Named:
    """A path as it was named and as it resolves, both absolute and without `.`, `..`, `//`."""

    named: str
    resolved: str

    def __post_init__(self) -> None:
        for path in (self.named, self.resolved):
            parts = path.split("/")[1:]
            if len(path) > PATH_CHARS_MAX:
                raise CallRefused(f"a path of {len(path)} characters, at most {PATH_CHARS_MAX}")
            if not path.startswith("/") or "\0" in path or UNKNOWN in path:
                raise CallRefused(f"{path!r} is not an absolute path")
            if path != "/" and any(part in {"", ".", ".."} for part in parts):
                raise CallRefused(f"{path!r} is not resolved")

    @property
    def both(self) -> tuple[str, ...]:
        """Each once."""
        return tuple(dict.fromkeys((self.named, self.resolved)))


@dataclass(frozen=True, slots=True, kw_only=True)
class ShellCall:
    """Run a line. `paths`: what each of `line.paths` is, in the folder of the call."""

    line: Line
    paths: Mapping[str, Named]


@dataclass(frozen=True, slots=True, kw_only=True)
class FileCall:
    """Look at, or change, one file: `tool` is FileRead or FileEdit."""

    tool: str
    path: Named


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchCall:
    """Ask for an address."""

    url: str


@dataclass(frozen=True, slots=True, kw_only=True)
class OtherCall:
    """Call any other tool; `name` is what its rules may name, for tools that have that."""

    tool: str
    name: str = ""


Call: TypeAlias = ShellCall | FileCall | FetchCall | OtherCall


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """All rules in force. `project` and `home` are resolved absolute paths, or None."""

    rules: tuple[Rule, ...] = ()
    faults: tuple[str, ...] = ()
    project: str | None = None
    home: str | None = None
    tools: Mapping[str, Tool] = field(default_factory=lambda: TOOLS)
    spared: Mapping[str, str] = field(default_factory=dict)
    """Folders in which a built-in rule, by its text, does not hold: where tools work in a home."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What was decided about one call, or one part of it, by which rule, and why in words."""

    effect: Effect
    call: str
    why: str
    rule: Rule | None = None
    parts: tuple["Decision", ...] = ()

    def to_value(self) -> dict[str, Any]:
        """Return the decision as an event or a script takes it."""
        rule = None if self.rule is None else self.rule.to_value()
        parts = [part.to_value() for part in self.parts]
        return {
            "effect": self.effect.value, "call": self.call, "why": self.why, "rule": rule,
            "parts": parts,
        }  # fmt: skip


def decide(policy: Policy, call: Call) -> Decision:
    """Decide one call."""
    match call:
        case ShellCall():
            found = _shell(policy, call)
        case FileCall():
            found = _file(policy, call.tool, call.path, f"{call.tool} {call.path.named}")
        case FetchCall():
            found = _fetch(policy, call.url)
        case OtherCall():
            found = _other(policy, call)
    if found.effect is Effect.ALLOW and policy.faults:
        why = f"nothing is allowed while a rule cannot be read: {policy.faults[0]}"
        return Decision(effect=Effect.ASK, call=found.call, why=why, parts=found.parts)
    return found


def hidden(policy: Policy, tool: str) -> Rule | None:
    """Return the rule that denies every call of a tool: the model need not be told of it."""
    return next(
        (r for r in policy.rules if r.effect is Effect.DENY and not r.pattern and r.names(tool)),
        None,
    )


def below(root: str | None, path: str) -> tuple[str, ...] | None:
    """Return a path's names from a root on, or None if it does not lie there."""
    if root is None:
        return None
    names = tuple(part for part in path.split("/") if part)
    start = tuple(part for part in root.split("/") if part)
    return names[len(start) :] if names[: len(start)] == start else None


def root_of(policy: Policy, pattern: PathPattern) -> str | None:
    """Return the folder that a path rule begins at, if there is one here."""
    return {"/": "/", "~": policy.home, ".": policy.project}[pattern.root]


def covers_path(policy: Policy, rule: Rule, path: str) -> bool:
    """Whether a rule's brackets cover one absolute path."""
    if rule.pattern is None:
        return True
    if rule.scope is Scope.BUILT_IN and below(policy.spared.get(rule.text), path) is not None:
        return False
    assert isinstance(rule.pattern, PathPattern)
    root = root_of(policy, rule.pattern)
    names = below(root, path)
    if names is None and rule.wide and root is not None:
        names = below(folded(root), folded(path))  # the same folder, where case tells nothing
    return names is not None and rule.pattern.covers(names, wide=rule.wide)


# ---- one rule decides ----------------------------------------------------------------------------


def _by_rule(call: str, rule: Rule) -> Decision:
    verb = {"deny": "denied", "ask": "asked about", "allow": "allowed"}[rule.effect.value]
    why = f"{verb} by {rule.text} ({rule.scope.value}, {rule.place})"
    return Decision(effect=rule.effect, call=call, why=why, rule=rule)


def _first(rules: Iterable[Rule], effect: Effect) -> Rule | None:
    return next((rule for rule in rules if rule.effect is effect), None)


def _decided(call: str, covering: list[Rule], unnamed: Effect, why: str) -> Decision:
    for effect in _ORDER:
        rule = _first(covering, effect)
        if rule is not None:
            return _by_rule(call, rule)
    return Decision(effect=unnamed, call=call, why=why)


def _other(policy: Policy, call: OtherCall) -> Decision:
    covering = []
    for rule in policy.rules:
        named = not isinstance(rule.pattern, NamePattern) or rule.pattern.covers(
            call.name, wide=rule.wide
        )
        if rule.names(call.tool) and named:
            covering.append(rule)
    tool = policy.tools.get(call.tool)
    unnamed = Effect.ASK if tool is None else tool.unnamed
    why = "no rule names it, and it is one of the node's own records"
    if unnamed is Effect.ASK:
        why = "no rule names it"
    return _decided(f"{call.tool} {call.name}".strip(), covering, unnamed, why)


def _file(policy: Policy, tool: str, path: Named, call: str) -> Decision:
    covering = []
    for rule in policy.rules:
        if not rule.names(tool):
            continue
        paths = path.both if rule.wide else (path.resolved,)
        if any(covers_path(policy, rule, one) for one in paths):
            covering.append(rule)
    inside = below(policy.project, path.resolved) is not None
    if tool == FILE_READ and inside:
        why = "no rule names it, and looking at files of the project is allowed"
        return _decided(call, covering, Effect.ALLOW, why)
    return _decided(call, covering, Effect.ASK, "no rule names it")


# ---- addresses -----------------------------------------------------------------------------------


def _fetch(policy: Policy, url: str) -> Decision:
    call = f"{WEB_FETCH} {url[:_SHOWN_CHARS]}"
    try:
        subject, doubt = _address(url)
    except (RuleRefused, ValueError) as error:
        return Decision(effect=Effect.DENY, call=call, why=f"not an address: {error}")
    covering = []
    for rule in policy.rules:
        if not rule.names(WEB_FETCH):
            continue
        if rule.pattern is None or (
            isinstance(rule.pattern, HostPattern) and rule.pattern.covers(subject, wide=rule.wide)
        ):
            covering.append(rule)
    found = _decided(call, covering, Effect.ASK, f"no rule names {subject[0]}:{subject[1]}")
    if found.effect is Effect.ALLOW and doubt:
        return Decision(effect=Effect.ASK, call=call, why=doubt, rule=found.rule)
    return found


def _address(url: str) -> tuple[tuple[str, int, int], str]:
    """Return host, port, usual port, and why no rule may allow it. Raises for what is no address.

    What two readers of an address (RFC 3986, WHATWG) would take for different hosts is none.
    """
    if len(url) > URL_CHARS_MAX:
        raise CallRefusedText(f"{len(url)} characters, at most {URL_CHARS_MAX}")
    if re.search(r"[\x00-\x20\x7f-\xa0\\\u2028\u2029\u3000]", url) or not url.isprintable():
        raise CallRefusedText("it holds spaces, backslashes or signs that cannot be seen")
    parts = urlsplit(url)
    usual = DEFAULT_PORTS.get(parts.scheme)
    if usual is None:
        raise CallRefusedText(f"its scheme is {parts.scheme or 'missing'}, not http or https")
    if "%" in parts.netloc or not parts.hostname:
        raise CallRefusedText("its host is hidden behind percent signs, or missing")
    doubt = "it carries a user name, which hides where it leads" if "@" in parts.netloc else ""
    if ":" in parts.hostname:
        return (parts.hostname, parts.port or usual, usual), doubt or "its host is a bare number"
    host = ascii_host(parts.hostname)
    last = host.rpartition(".")[2]
    if _NUMERIC.fullmatch(last) and not _DOTTED.fullmatch(host):
        raise CallRefusedText("its host is a number written in an unusual way")
    return (host, usual if parts.port is None else parts.port, usual), doubt


class CallRefusedText(ValueError):
    """An address that is none; only its text is used."""


# ---- shell lines ---------------------------------------------------------------------------------


def _shell(policy: Policy, call: ShellCall) -> Decision:
    line = call.line
    shown = f"{BASH} {line.source[:_SHOWN_CHARS]}"
    parts = [_command(policy, call, simple) for simple in line.commands]
    parts += [_stream(policy, call, stream) for stream in line.streams]
    parts += [Decision(effect=Effect.ASK, call=shown, why=doubt) for doubt in line.doubts]
    if not parts:
        return Decision(effect=Effect.ASK, call=shown, why="it runs nothing")
    whole = hidden(policy, BASH)
    if whole is not None:
        return _by_rule(shown, whole)
    worst = next(p for effect in _ORDER for p in parts if p.effect is effect)
    many = len(parts) > 1 and worst.effect is not Effect.ALLOW
    why = f"{worst.call}: {worst.why}" if many and worst.call != shown else worst.why
    if len(parts) > 1 and worst.effect is Effect.ALLOW:
        why = f"each of its {len(parts)} parts is allowed"
    return Decision(
        effect=worst.effect, call=shown, why=why, rule=worst.rule, parts=tuple(parts)
    )  # fmt: skip


def _command(policy: Policy, call: ShellCall, simple: Simple) -> Decision:
    shown = f"{BASH} {simple.text[:_SHOWN_CHARS]}"
    covering = [rule for rule in policy.rules if _covers(rule, simple)]
    strict = _first(covering, Effect.DENY)
    if strict is not None:
        return _by_rule(shown, strict)
    named = _named_file(policy, call, simple)
    if named is not None and named.effect is Effect.DENY:
        return named
    strict = _first(covering, Effect.ASK)
    if strict is not None:
        return _by_rule(shown, strict)
    if named is not None:
        return named
    if simple.why:
        return Decision(effect=Effect.ASK, call=shown, why=simple.why)
    allowing = _first(covering, Effect.ALLOW) or _spelt_out(policy, call.line, simple)
    if allowing is not None:
        return _by_rule(shown, allowing)
    if simple.transparent:
        why = f"{simple.words[0]} only starts what follows, which is decided by itself"
        return Decision(effect=Effect.ALLOW, call=shown, why=why)
    return Decision(effect=Effect.ASK, call=shown, why="no rule names it")


def _covers(rule: Rule, simple: Simple) -> bool:
    if not rule.names(BASH):
        return False
    if rule.pattern is None:
        return True
    assert isinstance(rule.pattern, CommandPattern)
    return rule.pattern.covers(simple.words, wide=rule.wide)


def _spelt_out(policy: Policy, line: Line, simple: Simple) -> Rule | None:
    """Return an allow of the command that starts this one, if it names this one literally."""
    if simple.starter is None:
        return None
    starter = line.commands[simple.starter]
    for rule in policy.rules:
        spelt = isinstance(rule.pattern, CommandPattern) and rule.pattern.literal >= simple.literal
        if rule.effect is Effect.ALLOW and spelt and _covers(rule, starter):
            return rule
    return None


def _named_file(policy: Policy, call: ShellCall, simple: Simple) -> Decision | None:
    """Look for words that name a file which no tool may read, or not without asking, or change.

    The first is denied, the others asked about: whether a program will write, no word tells.
    """
    shown = f"{BASH} {simple.text[:_SHOWN_CHARS]}"
    for tool, effect, found in (
        (FILE_READ, Effect.DENY, Effect.DENY),
        (FILE_READ, Effect.ASK, Effect.ASK),
        (FILE_EDIT, Effect.DENY, Effect.ASK),
    ):
        for word in (part for whole in simple.words for part in path_words(whole)):
            path = call.paths.get(word)
            rule = None if path is None else _guarding(policy, tool, effect, path)
            if rule is not None:
                why = f"it names {word}, {_by_rule('', rule).why}"
                return Decision(effect=found, call=shown, why=why, rule=rule)
    return None


def _guarding(policy: Policy, tool: str, effect: Effect, path: Named) -> Rule | None:
    for rule in policy.rules:
        about = rule.effect is effect and rule.pattern is not None and rule.names(tool)
        if about and any(covers_path(policy, rule, one) for one in path.both):
            return rule
    return None


def _stream(policy: Policy, call: ShellCall, stream: Stream) -> Decision:
    shown = f"redirection {stream.text[:_SHOWN_CHARS]}"
    if stream.path in _QUIET:
        return Decision(effect=Effect.ALLOW, call=shown, why="it opens no file")
    path = None if stream.path is None else call.paths.get(stream.path)
    if path is None:
        return Decision(effect=Effect.ASK, call=shown, why="which file it opens is not known")
    if any(one.startswith("/dev/") and not one.startswith("/dev/shm/") for one in path.both):  # noqa: S108 - memory, and files in it
        return Decision(effect=Effect.ASK, call=shown, why="it opens a device, or the network")
    return _file(policy, FILE_EDIT if stream.writes else FILE_READ, path, shown)


def kind_of(policy: Policy, tool: str) -> Kind:
    """Return what calls of a tool look like; MCP tools and unknown ones are plain."""
    found = policy.tools.get(tool)
    return Kind.PLAIN if found is None else found.kind
