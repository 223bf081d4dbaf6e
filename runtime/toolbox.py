"""The tools of a node: put in and taken out while it runs, described, called within their bounds.

`version` grows with every change, so whoever keeps a copy (an MCP server's clients, a screen) can
tell that it is old. A call that is under way when its tool is removed comes to its end. Names are
unique: the second of one name is refused, never put in the first one's place.

What a call may do is decided before (`runtime.tooling`); here its time, its result's size and what
runs beside it are bounded, and whatever it raises becomes a result that says so.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from runtime.core import limits
from runtime.core.errors import NoSuchTool, ToolFailed, ToolRefused, ToolTaken
from runtime.core.tool import (
    Arguments,
    Effect,
    Tool,
    ToolContext,
    ToolResult,
    ToolSpec,
    cut,
    failed,
)
from runtime.tool_locks import ToolLocks

_LOG: Final = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A tool with its spec. A call works with the entry it looked up, whatever comes meanwhile."""

    spec: ToolSpec
    tool: Tool


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """Which tools there are where not all are. `only` None: all of them but `without`."""

    only: frozenset[str] | None = None
    without: frozenset[str] = frozenset()

    @property
    def narrows(self) -> bool:
        """Whether it leaves any out."""
        return self.only is not None or bool(self.without)

    def has(self, name: str) -> bool:
        """Tell whether the tool of this name is among them."""
        return name not in self.without and (self.only is None or name in self.only)

    def check(self, known: Iterable[str]) -> None:
        """Raise NoSuchTool for a name that is none of the known ones: a slip would go unseen."""
        names = sorted(known)
        for name in sorted((self.only or frozenset()) | self.without):
            if name not in names:
                hint = f"there are {', '.join(names) or 'none'}"
                raise NoSuchTool(f"there is no tool {name[:64]!r}", hint=hint)


class Toolbox:
    """The registry. For one event loop."""

    def __init__(self) -> None:
        self._entries: dict[str, Entry] = {}
        self._watchers: list[Callable[[int], None]] = []
        self._locks = ToolLocks()
        self.version = 0
        """How often the set of tools changed."""

    def register(self, spec: ToolSpec, tool: Tool) -> None:
        """Put a tool in. Raises ToolTaken if its name is in use, ToolRefused without room."""
        if (known := self._entries.get(spec.name)) is not None:
            raise ToolTaken(
                f"there is a tool {spec.name} already, of the toolset {known.spec.toolset}",
                hint="remove it first, or choose another name",
            )
        if len(self._entries) >= limits.TOOLS_MAX:
            raise ToolRefused(f"{len(self._entries)} tools are here, at most {limits.TOOLS_MAX}")
        self._entries[spec.name] = Entry(spec=spec, tool=tool)
        self._changed()

    def remove(self, name: str) -> ToolSpec:
        """Take a tool out and return its spec. Raises NoSuchTool."""
        spec = self.entry(name).spec
        del self._entries[name]
        self._changed()
        return spec

    def entry(self, name: str) -> Entry:
        """Return a tool. Raises NoSuchTool."""
        found = self._entries.get(name)
        if found is None:
            raise NoSuchTool(f"there is no tool {name[:64]!r}", hint=f"there are {self._names()}")
        return found

    def describe(self, name: str) -> ToolSpec:
        """Return a tool's spec. Raises NoSuchTool."""
        return self.entry(name).spec

    def specs(self, names: Iterable[str] | None = None) -> tuple[ToolSpec, ...]:
        """Return the specs of all tools, or of those named that are here, by name."""
        wanted = self._entries.keys() if names is None else self._entries.keys() & set(names)
        return tuple(self._entries[name].spec for name in sorted(wanted))

    def narrowed(self, choice: Choice) -> "Toolbox":
        """Return the tools of now that are chosen, apart from this registry but for its locks."""
        other = Toolbox()
        other._locks = self._locks
        other._entries = {name: one for name, one in self._entries.items() if choice.has(name)}
        return other

    def watch(self, told: Callable[[int], None]) -> Callable[[], None]:
        """Have `told` called with each new version; return what ends that."""
        self._watchers.append(told)
        return lambda: self._watchers.remove(told)

    async def call(self, entry: Entry, arguments: Arguments, context: ToolContext) -> ToolResult:
        """Call a tool that was looked up, within its bounds. Never raises but CancelledError.

        The time begins when the call's turn has come, not while it waits for others.
        """
        spec = entry.spec
        reads = spec.effect is Effect.READS
        lock = self._locks.read() if reads else self._locks.write(spec.resource(arguments))
        async with lock:
            try:
                async with asyncio.timeout(spec.limits.seconds) as limit:
                    result = await entry.tool.call(arguments, context)
            except ToolFailed as error:
                result = failed(str(error))
            except TimeoutError:
                if limit.expired():
                    result = failed(f"no result within {spec.limits.seconds:g} s: it was stopped")
                else:
                    result = failed("it waited too long for something")
            except Exception as error:  # noqa: BLE001 - its defect is not the node's end
                _LOG.exception("tool %s failed", spec.name)
                result = failed(f"the tool broke ({type(error).__name__})")
        return cut(result, spec.limits.result_bytes)

    def _names(self) -> str:
        return ", ".join(sorted(self._entries)) or "none"

    def _changed(self) -> None:
        self.version += 1
        for told in list(self._watchers):
            told(self.version)
