"""git_status, git_diff, git_log, git_commit: lines of git in the sandbox, decided as lines of Bash.

So `Bash(git status:*)` allows git_status and the same line in the shell alike. Hooks, pagers,
external programs for differences and the settings of the machine's users are off. Commits are in
the agent's name. Not covered: remotes (there is no network), submodules, worktrees elsewhere.
"""

import shlex
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Annotated, Final, TypeVar

import msgspec
from msgspec import Meta

from runtime.core.errors import CallRefused, ToolFailed
from runtime.core.permission_rules import BASH
from runtime.core.tool import Arguments, Effect, Permission, Tool, ToolContext, ToolResult, ToolSpec
from runtime.tools.arguments import parse, schema_of
from runtime.tools.confined import Confined
from runtime.tools.shell import line_of

_SECONDS: Final = 25.0
_COMMITS_MAX: Final = 200
_SETTINGS: Final = {
    "core.hooksPath": "/dev/null",
    "core.fsmonitor": "false",
    "core.pager": "cat",
    "commit.gpgSign": "false",
    "gc.auto": "0",
    "protocol.allow": "never",
}
_Path = Annotated[str, Meta(max_length=4096)]


class Status(msgspec.Struct, forbid_unknown_fields=True):
    """Arguments."""


class Diff(msgspec.Struct, forbid_unknown_fields=True):
    """Arguments."""

    paths: Annotated[list[_Path], Meta(description="none: all", max_length=64)] = []
    staged: Annotated[bool, Meta(description="what the next commit would take")] = False


class Log(msgspec.Struct, forbid_unknown_fields=True):
    """Arguments."""

    count: Annotated[int, Meta(description="how many commits", ge=1, le=_COMMITS_MAX)] = 20
    paths: Annotated[list[_Path], Meta(description="none: all", max_length=64)] = []


class Commit(msgspec.Struct, forbid_unknown_fields=True):
    """Arguments."""

    message: Annotated[str, Meta(min_length=1, max_length=2000)]
    paths: Annotated[list[_Path], Meta(description="files to commit", min_length=1, max_length=64)]


def _behind(paths: Iterable[str]) -> list[str]:
    given = list(paths)
    return ["--", *given] if given else []


def _status(_args: Status) -> str:
    return "git status --short --branch"


def _diff(args: Diff) -> str:
    staged = ["--staged"] if args.staged else []
    return shlex.join(
        ["git", "diff", "--no-ext-diff", "--no-textconv", *staged, *_behind(args.paths)]
    )


def _log(args: Log) -> str:
    form = "--format=%h %ad %an: %s"
    return shlex.join(
        ["git", "log", f"--max-count={args.count}", "--date=short", form, *_behind(args.paths)]
    )


def _commit(args: Commit) -> str:
    add = shlex.join(["git", "add", *_behind(args.paths)])
    commit = ["git", "commit", "--no-verify", "-m", args.message, *_behind(args.paths)]
    return f"{add} && {shlex.join(commit)}"


_T = TypeVar("_T", bound=msgspec.Struct)


def _line(kind: type[_T], of: Callable[[_T], str]) -> Callable[[Arguments], str]:
    """Return what the rules are asked about: the line, which is also what runs."""

    def specifier(arguments: Arguments) -> str:
        try:
            return of(parse(kind, arguments))
        except ToolFailed as error:
            raise CallRefused(str(error)) from error

    return specifier


def _spec(
    name: str,
    description: str,
    kind: type[_T],
    of: Callable[[_T], str],
    effect: Effect = Effect.READS,
) -> ToolSpec:
    return ToolSpec(
        name=name,
        description=description,
        schema=schema_of(kind),
        effect=effect,
        permission=Permission(tool=BASH, specifier=_line(kind, of)),
        toolset="git",
    )


SPECS: Final = (
    _spec("git_status", "Which files differ from the last commit.", Status, _status),
    _spec("git_diff", "What differs, line by line.", Diff, _diff),
    _spec("git_log", "The newest commits, one a line.", Log, _log),
    _spec(
        "git_commit", "Commit these files as they are now.", Commit, _commit, effect=Effect.WRITES
    ),
)


@dataclass(frozen=True, slots=True)
class Git:
    """Runs the line that was decided. `name` is the agent's, for its commits."""

    confined: Confined
    name: str
    write: bool

    async def call(self, _arguments: Arguments, context: ToolContext) -> ToolResult:
        """See `runtime.core.tool.Tool`."""
        argv = ["bash", "--norc", "--noprofile", "-c", line_of(context)]
        ran = await self.confined.run(
            argv, folder=context.folder, write=self.write, seconds=_SECONDS, given=self._given()
        )
        return ran.result()

    def _given(self) -> list[tuple[str, str]]:
        settings = [("GIT_CONFIG_COUNT", str(len(_SETTINGS)))]
        for number, (name, value) in enumerate(_SETTINGS.items()):
            settings += [(f"GIT_CONFIG_KEY_{number}", name), (f"GIT_CONFIG_VALUE_{number}", value)]
        who = f"{self.name}@agent.invalid".replace(" ", "-")
        return [
            ("GIT_CONFIG_GLOBAL", "/dev/null"), ("GIT_CONFIG_NOSYSTEM", "1"),
            ("GIT_TERMINAL_PROMPT", "0"), ("GIT_OPTIONAL_LOCKS", "0"),
            ("GIT_AUTHOR_NAME", self.name), ("GIT_AUTHOR_EMAIL", who),
            ("GIT_COMMITTER_NAME", self.name), ("GIT_COMMITTER_EMAIL", who),
            *settings,
        ]  # fmt: skip


def tools(confined: Confined, name: str) -> list[tuple[ToolSpec, Tool]]:
    """Return the tools; commits are in the name of `name`."""
    return [(spec, Git(confined, name, write=spec.effect is Effect.WRITES)) for spec in SPECS]
