"""Tools of an MCP server, made into tools of ours. Pure.

What a server tells of its tools is nobody's word: a name may be any text, a description may ask the
model for secrets, a schema may be a megabyte. So names become plain ones that permission rules can
hold (`mcp__server__tool`), descriptions are shown as the server's own words, without signs that
nobody can see and cut to a page, and what has no bounds is refused, each with a reason.

Whether a call changes anything a server only *hints* at (annotations.readOnlyHint): it is believed
where the operator's node.toml says so, else every call counts as writing.

Not covered: whether words ask for something they should not; no filter finds that. A server that
tells other words under the same name later: its tools are replaced, and a rule by name goes on.
"""

import hashlib
import json
import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, Final

from runtime.core import limits
from runtime.core.chat import Reach
from runtime.core.errors import ToolRefused
from runtime.core.tool import Arguments, Effect, Permission, ToolLimits, ToolSpec

TOOLSET: Final = "mcp"
SERVER_NAME: Final = r"[a-z][a-z0-9]*(?:[_-][a-z0-9]+)*"
"""No two underscores in a row: they part a permission rule's server from its tool."""
SERVER_CHARS_MAX: Final = 24
"""Of a name's 64 this leaves 33 for the tool's own."""
_NAME_CHARS_MAX: Final = 64
_NAME_READ_CHARS: Final = 4 * _NAME_CHARS_MAX
"""What is cleaned of a refused name: some signs go, and a name may be a megabyte."""
_UNSEEN: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
"""Controls, direction marks, private use: a person who reads a description must see all of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """A tool as its server tells of it."""

    name: str
    description: str
    schema: Mapping[str, Any]
    read_only: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Offerer:
    """What the operator says of a server's tools: which are taken, and how they may be used.

    `tools` are names and patterns with * and ?; none: every tool.
    """

    name: str
    reach: Reach
    seconds: float = 60.0
    tools: tuple[str, ...] = ()
    trust_hints: bool = False

    def wants(self, tool: str) -> bool:
        """Whether a tool of this name is taken."""
        return not self.tools or any(fnmatchcase(tool, pattern) for pattern in self.tools)


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """Specs by the name that the server has for each, and why others were not taken."""

    specs: Mapping[str, ToolSpec]
    refused: tuple[tuple[str, str], ...] = ()


def take(listed: Iterable[Listed], server: Offerer) -> Taken:
    """Make specs of what a server lists, as far as it is wanted and within bounds."""
    specs: dict[str, ToolSpec] = {}
    refused: list[tuple[str, str]] = []
    taken_bytes, looked = 0, 0
    for tool in listed:
        if not server.wants(tool.name):
            continue
        looked += 1
        if looked > limits.MCP_LOOKED_MAX:
            refused.append(("...", f"only {limits.MCP_LOOKED_MAX} tools of a server are looked at"))
            break
        try:
            _check_name(tool.name, specs)
            spec = _spec(tool, server)
            size = taken_bytes + _size(spec)
            _check_size(size)
        except ToolRefused as error:
            name = tool.name[:_NAME_READ_CHARS]
            refused.append((plain(name)[:_NAME_CHARS_MAX], str(error)))
        else:
            specs[tool.name], taken_bytes = spec, size
    return Taken(specs=specs, refused=_told(refused))


def _told(refused: list[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    """The first ones, and how many more there are."""
    most = limits.MCP_REFUSED_MAX
    more = len(refused) - most
    rest = [("...", f"{more} more were not taken")] if more > 0 else []
    return (*refused[:most], *rest)


def _check_name(name: str, specs: Mapping[str, ToolSpec]) -> None:
    if name in specs:
        raise ToolRefused("the server has two tools of this name")
    if len(specs) >= limits.MCP_TOOLS_MAX:
        raise ToolRefused(f"at most {limits.MCP_TOOLS_MAX} tools of one server")


def _check_size(size: int) -> None:
    if size > limits.MCP_TOOLS_BYTES_MAX:
        most = limits.MCP_TOOLS_BYTES_MAX
        raise ToolRefused(f"the tools of one server have at most {most} bytes together")


def _size(spec: ToolSpec) -> int:
    return len(spec.description.encode()) + len(json.dumps(spec.schema))


def tool_name(server: str, tool: str) -> str:
    """Return our name of a server's tool, for models and for permission rules.

    A name that had to be changed ends in eight digits of its digest: two never become one, and
    the same becomes the same every time.
    """
    prefix = f"mcp__{server}__"
    room = _NAME_CHARS_MAX - len(prefix)
    changed = re.sub(r"[^A-Za-z0-9_-]", "_", tool)
    if changed == tool and 1 <= len(tool) <= room:
        return prefix + tool
    mark = hashlib.blake2b(tool.encode(errors="replace"), digest_size=4).hexdigest()
    return f"{prefix}{changed[: room - len(mark) - 1]}_{mark}"


def plain(text: str) -> str:
    """Return a text without signs that cannot be seen; lines stay lines."""
    return "".join(c for c in text if c == "\n" or unicodedata.category(c) not in _UNSEEN)


def _spec(tool: Listed, server: Offerer) -> ToolSpec:
    name = tool_name(server.name, tool.name)
    reads = server.trust_hints and tool.read_only
    resource = f"mcp:{server.name}"

    def at(_arguments: Arguments) -> str:
        return resource

    return ToolSpec(
        name=name,
        description=_description(tool, server.name),
        schema=_seen(name, tool.schema),
        effect=Effect.READS if reads else Effect.WRITES,
        permission=Permission(tool=name),
        toolset=TOOLSET,
        resource=at,
        limits=ToolLimits(seconds=server.seconds),
        reach=server.reach,
    )


def _description(tool: Listed, server: str) -> str:
    most = limits.MCP_DESCRIPTION_CHARS_MAX
    read = tool.description[: 2 * most]  # cleaning looks at each sign, and it may be a megabyte
    words = plain(read).strip()
    if len(words) > most or len(read) < len(tool.description):
        words = words[:most].rstrip() + " [...]"
    told = f"It says of it: {words}" if words else "It says nothing of it."
    return f"A tool of the MCP server {server}. {told}"


def _seen(tool: str, schema: Mapping[str, Any]) -> dict[str, Any]:
    """The schema with its words cleaned. Raises ToolRefused for one that has no bounds."""
    _check_schema_size(tool, schema)
    kept = _clean(schema, 0)
    properties = kept.setdefault("properties", {})
    if not isinstance(properties, dict):
        raise ToolRefused("its schema's properties are no object")
    return dict(kept)


def _check_schema_size(tool: str, schema: Mapping[str, Any]) -> None:
    """Before each sign is looked at: the spec's own check comes after that."""
    try:
        size = len(json.dumps(schema))
    except (TypeError, ValueError, RecursionError):
        return  # no JSON, or too deep: found with its reason further on
    if size > limits.TOOL_SCHEMA_BYTES_MAX:
        most = limits.TOOL_SCHEMA_BYTES_MAX
        raise ToolRefused(f"{tool}: a schema of {size} bytes, at most {most}")


def _clean(value: Any, depth: int) -> Any:
    if depth > limits.MCP_SCHEMA_DEPTH_MAX:
        raise ToolRefused(f"a schema of more than {limits.MCP_SCHEMA_DEPTH_MAX} levels")
    if isinstance(value, str):
        return plain(value)
    if isinstance(value, Mapping):
        return {plain(str(key)): _clean(one, depth + 1) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_clean(one, depth + 1) for one in value]
    return value
