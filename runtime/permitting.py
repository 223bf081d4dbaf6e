"""Asks the permission rules about a tool call, with paths as this machine resolves them.

The one place where a decision meets the disk: `runtime.core.permissions` compares paths, and here
they are resolved. A tool acts on `Ruling.call`, never on the words it was called with:
`call.path.resolved` is the very path that was decided, and `call.line.source` the very line. Who
may change a folder between the decision and the act can still lead it elsewhere; tools open files
with O_NOFOLLOW, and shells run in the sandbox, for that reason.
"""

import os
from dataclasses import dataclass
from pathlib import Path

from runtime.core.errors import CallRefused
from runtime.core.permission_rules import Kind, Rule
from runtime.core.permissions import (
    Call,
    Decision,
    FetchCall,
    FileCall,
    Named,
    OtherCall,
    Policy,
    ShellCall,
    decide,
    hidden,
    kind_of,
)
from runtime.core.shell import read


@dataclass(frozen=True, slots=True, kw_only=True)
class Ruling:
    """What was decided, and the call it was decided about, to be acted on as it stands."""

    decision: Decision
    call: Call

    @property
    def why(self) -> str:
        """Why it is asked about, and where each path of it leads that leads elsewhere."""
        match self.call:
            case FileCall(path=path):
                paths = [path]
            case ShellCall(paths=known):
                paths = [*known.values()]
            case _:
                paths = []
        leads = {one.named: one.resolved for one in paths if one.named != one.resolved}
        told = (f"{named} leads to {resolved}" for named, resolved in leads.items())
        return "; ".join((self.decision.why, *told))


@dataclass(frozen=True, slots=True)
class Gate:
    """The rules of one project, asked by the tool host."""

    policy: Policy

    def rule_on(self, tool: str, argument: str, *, folder: Path) -> Ruling:
        """Decide whether `tool` may be called.

        `argument` is what the rules of this tool can name: the line of Bash, the path of FileRead
        and FileEdit, the address of WebFetch, the name of a Skill; for other tools it is not
        looked at. `folder` is where the call happens. Raises CallRefused for an argument that is
        none.
        """
        match kind_of(self.policy, tool):
            case Kind.SHELL:
                line = read(argument)
                paths = {path: _named(path, folder) for path in line.paths}
                known = {path: named for path, named in paths.items() if named is not None}
                call: Call = ShellCall(line=line, paths=known)
            case Kind.PATH:
                named = _named(argument, folder)
                if named is None:
                    raise CallRefused(
                        f"{argument[:80]!r} is not the path of a file", hint="name one file"
                    )
                call = FileCall(tool=tool, path=named)
            case Kind.HOST:
                call = FetchCall(url=argument)
            case Kind.NAME:
                call = OtherCall(tool=tool, name=argument)
            case Kind.PLAIN:
                call = OtherCall(tool=tool)
        return Ruling(decision=decide(self.policy, call), call=call)

    def hidden(self, tool: str) -> Rule | None:
        """Return the rule that denies a tool altogether: the model is not told of such a tool."""
        return hidden(self.policy, tool)


def _named(path: str, folder: Path) -> Named | None:
    if not path or "\0" in path:
        return None
    full = os.path.join(folder.absolute(), path)  # noqa: PTH118 - the core takes texts, not Paths
    try:
        return Named(
            named="/" + os.path.normpath(full).lstrip("/"),
            resolved=os.path.realpath(full),
        )
    except (CallRefused, ValueError, OSError):  # too long, or no text that a file could have
        return None
