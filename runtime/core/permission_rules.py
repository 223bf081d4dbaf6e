"""Permission rules: `Tool` or `Tool(specifier)`, where they stand, and how they are read.

A rule's text never changes meaning with the list it stands in, except that deny and ask read it
wide and allow reads it narrow (`permission_kinds`). Reading a rule refuses what its author cannot
mean: a tool that does not exist, a specifier that the tool's calls do not have, a wildcard where
none works.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from runtime.core.errors import RuleRefused
from runtime.core.limits import RULE_CHARS_MAX
from runtime.core.permission_globs import REST, Glob
from runtime.core.permission_kinds import (
    CommandPattern,
    HostPattern,
    NamePattern,
    PathPattern,
    Pattern,
)
from runtime.core.shell_words import UNKNOWN


class Effect(StrEnum):
    """What is decided, from mildest to strictest."""

    ALLOW = "allow"
    ASK = "ask"
    DENY = "deny"


class Scope(StrEnum):
    """Where a rule comes from. None ranks above another: the strictest effect wins."""

    BUILT_IN = "built-in"
    NODE = "node"
    PROJECT = "project"
    USER = "user"


class Kind(StrEnum):
    """What a tool's rules may say in brackets."""

    SHELL = "shell"
    PATH = "path"
    HOST = "host"
    NAME = "name"
    PLAIN = "plain"


@dataclass(frozen=True, slots=True, kw_only=True)
class Tool:
    """What the rules must know of a tool. `unnamed`: its effect where no rule names the call."""

    kind: Kind
    unnamed: Effect = Effect.ASK


BASH: Final = "Bash"
FILE_READ: Final = "FileRead"
FILE_EDIT: Final = "FileEdit"
WEB_FETCH: Final = "WebFetch"

TOOLS: Final[Mapping[str, Tool]] = {
    BASH: Tool(kind=Kind.SHELL),
    FILE_READ: Tool(kind=Kind.PATH),
    FILE_EDIT: Tool(kind=Kind.PATH),
    WEB_FETCH: Tool(kind=Kind.HOST),
    "Skill": Tool(kind=Kind.NAME),
    "Tool": Tool(kind=Kind.NAME),
    "Ledger": Tool(kind=Kind.PLAIN, unnamed=Effect.ALLOW),
    "Memory": Tool(kind=Kind.PLAIN, unnamed=Effect.ALLOW),
    "Todo": Tool(kind=Kind.PLAIN, unnamed=Effect.ALLOW),
    "Architecture": Tool(kind=Kind.PLAIN, unnamed=Effect.ALLOW),
    "Patch": Tool(kind=Kind.PLAIN),
}
"""The tools of a node, beside those of MCP servers; Tool is one that was registered over HTTP, by
its name. FileRead is every look at files (read, list,
search), FileEdit every change of one (write, edit, delete, move), so that no rule misses a tool."""

_OTHERS: Final = {
    "Read": FILE_READ, "Glob": FILE_READ, "Grep": FILE_READ, "LS": FILE_READ,
    "FileSearch": FILE_READ, "Edit": FILE_EDIT, "Write": FILE_EDIT, "MultiEdit": FILE_EDIT,
    "FileWrite": FILE_EDIT, "NotebookEdit": FILE_EDIT, "Shell": BASH, "Fetch": WEB_FETCH,
    "WebSearch": WEB_FETCH,
}  # fmt: skip
"""Names that other agents use, for the hint."""
_RULE: Final = re.compile(r"(?P<tool>[A-Za-z0-9_*.-]+)(?:\((?P<inside>.*)\))?", re.DOTALL)
_MCP: Final = re.compile(r"mcp__(?P<server>[A-Za-z0-9.-]+(?:_[A-Za-z0-9.-]+)*)(?:__(?P<tool>.+))?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One rule. `line` counts from 1; 0: not known, or no file."""

    effect: Effect
    text: str
    scope: Scope
    file: str
    line: int
    tools: Glob
    pattern: Pattern | None

    @property
    def wide(self) -> bool:
        """Whether it is read in the larger of two senses."""
        return self.effect is not Effect.ALLOW

    @property
    def place(self) -> str:
        """Where it stands, for a person."""
        return f"{self.file}:{self.line}" if self.line else self.file

    def to_value(self) -> dict[str, str | int]:
        """Return the rule as an event or a script takes it."""
        return {
            "effect": self.effect.value, "text": self.text, "scope": self.scope.value,
            "file": self.file, "line": self.line,
        }  # fmt: skip

    def names(self, tool: str) -> bool:
        """Whether it is about this tool."""
        return self.tools.matches(tool)


def parse_rule(
    text: str,
    *,
    effect: Effect,
    scope: Scope,
    file: str,
    line: int,
    tools: Mapping[str, Tool] = TOOLS,
) -> Rule:
    """Read a rule. Raises RuleRefused with a hint."""
    if len(text) > RULE_CHARS_MAX:
        raise RuleRefused(f"a rule of {len(text)} characters, at most {RULE_CHARS_MAX}")
    if not text.isprintable() or UNKNOWN in text or REST in text:
        raise RuleRefused("a rule with signs that cannot be seen")
    found = _RULE.fullmatch(text)
    if found is None:
        raise RuleRefused(
            f"{text!r} is not a rule", hint="write Tool or Tool(...), as in Bash(git status:*)"
        )
    tool, inside = found["tool"], found["inside"]
    kind = _kind(tool, effect, tools)
    pattern = None if inside is None else _pattern(tool, kind, inside)
    if isinstance(pattern, CommandPattern) and pattern.specimen == (REST,):
        pattern = None  # Bash(*) is Bash
    name = f"{tool}__*" if _server_only(tool) else tool
    return Rule(
        effect=effect, text=text, scope=scope, file=file, line=line, tools=Glob.parse(name),
        pattern=pattern,
    )  # fmt: skip


def _server_only(tool: str) -> bool:
    found = _MCP.fullmatch(tool)
    return found is not None and found["tool"] is None


def _kind(tool: str, effect: Effect, tools: Mapping[str, Tool]) -> Kind | None:
    """Return what the tool's brackets hold. Raises RuleRefused for a tool that is none."""
    if tool in tools:
        return tools[tool].kind
    if tool.startswith("mcp_"):
        if _MCP.fullmatch(tool) is None:
            if effect is not Effect.ALLOW and "*" in tool:
                return Kind.PLAIN
            raise RuleRefused(
                f"{tool} names no tool of one MCP server",
                hint="write mcp__server__tool, mcp__server__get_* or mcp__server",
            )
        return Kind.PLAIN
    if "*" in tool:
        if effect is Effect.ALLOW:
            raise RuleRefused(
                "an allow names its tool: a * would allow tools that do not exist yet",
                hint="write one rule for each tool, or mcp__server__* for one MCP server",
            )
        if tool == "*" or any(Glob.parse(tool).matches(name) for name in tools):
            return Kind.PLAIN
    meant = _OTHERS.get(tool) or next((n for n in tools if n.lower() == tool.lower()), None)
    hint = f"write {meant}" if meant else f"the tools are {', '.join(tools)} and mcp__server__tool"
    raise RuleRefused(f"there is no tool {tool}", hint=hint)


def _pattern(tool: str, kind: Kind | None, inside: str) -> Pattern | None:
    if not inside.strip():
        raise RuleRefused(
            "nothing stands in the brackets", hint=f"{tool} alone is every call of it"
        )
    if inside == "*" and kind is not Kind.PLAIN:
        return None
    match kind:
        case Kind.SHELL:
            return CommandPattern.parse(inside)
        case Kind.PATH:
            return PathPattern.parse(inside)
        case Kind.HOST:
            return HostPattern.parse(inside)
        case Kind.NAME:
            return NamePattern.parse(inside)
        case _:
            raise RuleRefused(
                f"calls of {tool} have nothing that brackets could name", hint=f"write {tool}"
            )
