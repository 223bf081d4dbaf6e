"""Permission rules of three scopes, read from their files into one policy.

node     `[permissions]` of the home's node.toml: for this agent, whatever it works on
project  `<project>/.timmy/permissions.toml`: comes with the project
user     `permissions.toml` in the user's configuration folder: for everything this user runs

A project's file is written by whoever wrote the project. Its deny and ask rules hold; its allow
rules hold only where node.toml or the user's file names the project's folder under `trust`.

Beside them stand rules that nobody can take away: the agent's home and state (keys, token, ledger)
are no files of its tools, the folder `work` in the home apart, and none of the files above can be
edited by them. So the agent cannot grant itself anything. An agent that has a parent goes by what
its gates leave closed, too (`genesis.core.children.profile`).
"""

import json
import os
import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Final, TypeVar

import msgspec

from genesis.core.children.orders import GATES
from genesis.core.children.profile import RULES
from node.children.records import Ward
from node.config import PermissionsSection, by_path, load
from node.home import Home
from node.open import open_log
from node.sections.base import ConfigError
from runtime.core.errors import RuleRefused
from runtime.core.limits import RULES_MAX
from runtime.core.permission_lint import Finding, Weight, lint
from runtime.core.permission_rules import Effect, Rule, Scope, parse_rule
from runtime.core.permissions import Policy

PROJECT_FILE: Final = ".timmy/permissions.toml"
FILE_BYTES_MAX: Final = 256 * 1024
"""A thousand rules of a line each are a quarter of it."""
_HINT: Final = "allow, ask and deny are lists of rules: docs/PERMISSIONS.md"


class _ProjectFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The keys of a project's file."""

    allow: Annotated[list[str], msgspec.Meta(max_length=RULES_MAX)] = []
    ask: Annotated[list[str], msgspec.Meta(max_length=RULES_MAX)] = []
    deny: Annotated[list[str], msgspec.Meta(max_length=RULES_MAX)] = []


class _UserFile(_ProjectFile, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The keys of the user's file: also the projects whose allow rules hold."""

    trust: Annotated[list[str], msgspec.Meta(max_length=RULES_MAX)] = []


_File = TypeVar("_File", bound=_ProjectFile)


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """The policy in force, and what is wrong with the files it was read from."""

    policy: Policy
    findings: tuple[Finding, ...]
    files: tuple[Path, ...]
    trusted: bool


@dataclass(slots=True, kw_only=True)
class _Gathered:
    rules: list[Rule] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    files: list[Path] = field(default_factory=list)


def user_file() -> Path:
    """Where the user's own rules are, by the XDG rule."""
    base = os.environ.get("XDG_CONFIG_HOME") or "~/.config"
    return Path(base).expanduser().absolute() / "timmy" / "permissions.toml"


Level = Callable[[], int | None]
"""How many gates a child passed; None for an agent that has no parent."""


def load_permissions(home: Home, project: Path | None, *, level: int | None) -> Loaded:
    """Read all rules for work on `project`. Raises ConfigError for a file that cannot be used.

    `level`: how many gates the agent passed, of `level_of`; None for nobody's child.

    A rule that cannot be read is a finding and a fault of the policy, which then allows nothing.
    """
    root = None if project is None else project.resolve()
    work = home.work.resolve()
    inside = root is not None and root.is_relative_to(home.path.resolve())
    if root is not None and inside and not root.is_relative_to(work):
        raise ConfigError(
            f"the project {root} lies in the agent's home",
            hint=f"no tool touches the home but {work}: choose another folder",
        )
    gathered = _Gathered(rules=list(_built_in(home, root)))
    config = load(home.config).permissions
    _take(gathered, config, Scope.NODE, home.config)
    own = _read(user_file(), _UserFile)
    _take(gathered, own, Scope.USER, user_file())
    trusted = root is not None and _trusts([*config.trust, *own.trust], root)
    if root is not None:
        _take(
            gathered, _read(root / PROJECT_FILE, _ProjectFile), Scope.PROJECT, root / PROJECT_FILE
        )
    faults = tuple(f"{one.place}: {one.why}" for one in gathered.findings)
    rules = [r for r in gathered.rules if trusted or not _of_project(r)]
    policy = Policy(
        rules=tuple(rules), faults=faults, project=None if root is None else str(root),
        home=str(Path.home().resolve()), spared=_spared(home),
    )  # fmt: skip
    dropped = [_untrusted(r, root) for r in gathered.rules if _of_project(r) and not trusted]
    findings = (*gathered.findings, *dropped, *lint(policy))
    return Loaded(  # gates stand behind lint: what is closed for a while is no mistake
        policy=with_gates(policy, level), findings=findings,
        files=tuple(gathered.files), trusted=trusted,
    )  # fmt: skip


def level_of(home: Home) -> int | None:
    """Read from a home's ledger how many gates its agent passed; None for nobody's child."""
    if not home.ledger.exists():
        return None
    with open_log(home) as log:
        return Ward(log).level


def with_gates(policy: Policy, level: int | None) -> Policy:
    """Return the policy with what the gates of a child leave closed."""
    return replace(policy, rules=(*policy.rules, *_gates(level)))


def _gates(level: int | None) -> Iterator[Rule]:
    """Yield what the gates that a child did not pass leave closed."""
    if level is None:
        return
    gate = GATES[level - 1] if level else "none"
    for effect, text in RULES[level]:
        yield parse_rule(
            text, effect=Effect(effect), scope=Scope.BUILT_IN,
            file=f"gates passed: {gate} (timmy lineage show)", line=0,
        )  # fmt: skip


def only_built_in(home: Home, project: Path, fault: str) -> Policy:
    """Return the policy where no file of rules can be read: what nobody takes away, no more."""
    root = project.resolve()
    return Policy(
        rules=tuple(_built_in(home, root)), faults=(fault,), project=str(root),
        home=str(Path.home().resolve()), spared=_spared(home),
    )  # fmt: skip


def _of_project(rule: Rule) -> bool:
    return rule.scope is Scope.PROJECT and rule.effect is Effect.ALLOW


def _untrusted(rule: Rule, root: Path | None) -> Finding:
    return Finding(
        weight=Weight.ERROR, text=f"{rule.effect.value} {rule.text}", place=rule.place,
        why="an allow of a project that you did not say you trust",
        hint=f"if you trust who wrote it: trust = [{json.dumps(str(root))}] in {user_file()}",
    )  # fmt: skip


def _trusts(named: list[str], root: Path) -> bool:
    return any(Path(one).expanduser().resolve() == root for one in named)


def _built_in(home: Home, root: Path | None) -> Iterator[Rule]:
    """Yield what protects the agent from itself."""
    secret = [home.path, home.state]
    settled = [user_file().parent, *([] if root is None else [root / ".timmy"])]
    for tool, folders in (("FileRead", secret), ("FileEdit", [*secret, *settled])):
        for folder in folders:
            for path in dict.fromkeys((folder, folder.resolve())):
                yield parse_rule(
                    _all_below(tool, path), effect=Effect.DENY, scope=Scope.BUILT_IN,
                    file="built in", line=0,
                )  # fmt: skip


def _all_below(tool: str, folder: Path) -> str:
    name = re.sub(r"([\\*?\[\]{}!])", r"\\\1", str(folder))
    return f"{tool}(/{name}/**)"


def _spared(home: Home) -> dict[str, str]:
    """The rules that protect the home do not hold for the folder in it that tools work in."""
    work = str(home.work.resolve())
    homes = dict.fromkeys((home.path, home.path.resolve()))
    return {_all_below(tool, path): work for tool in ("FileRead", "FileEdit") for path in homes}


def _read(path: Path, kind: type[_File]) -> _File:
    """Read one file of rules; a missing one has none. Raises ConfigError."""
    try:
        with path.open("rb") as file:
            data = file.read(FILE_BYTES_MAX + 1)
    except FileNotFoundError:
        return kind()
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}", hint=_HINT) from error
    if len(data) > FILE_BYTES_MAX:
        raise ConfigError(f"{path} has more than {FILE_BYTES_MAX} bytes", hint=_HINT)
    try:
        return msgspec.convert(tomllib.loads(data.decode()), kind)
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not UTF-8 at byte {error.start}", hint=_HINT) from error
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise ConfigError(f"{path} is not TOML: {error}", hint=_HINT) from error
    except msgspec.ValidationError as error:
        raise ConfigError(f"{path}: {by_path(str(error))}", hint=_HINT) from error


def _take(
    gathered: _Gathered, lists: _ProjectFile | PermissionsSection, scope: Scope, path: Path
) -> None:
    texts: Mapping[Effect, list[str]] = {
        Effect.DENY: lists.deny,
        Effect.ASK: lists.ask,
        Effect.ALLOW: lists.allow,
    }
    if not any(texts.values()):
        return
    where = _Lines(path)
    file = str(path) if path.exists() else "node.toml (default)"
    gathered.files.append(path)
    for effect, rules in texts.items():
        for text in rules:
            line = where.of(text)
            try:
                gathered.rules.append(
                    parse_rule(text, effect=effect, scope=scope, file=file, line=line)
                )
            except RuleRefused as error:
                gathered.findings.append(
                    Finding(
                        weight=Weight.ERROR, text=f"{effect.value} {text}",
                        place=f"{file}:{line}" if line else file, why=str(error),
                        hint=error.hint or _HINT,
                    )
                )  # fmt: skip


class _Lines:
    """Finds the line of a file that a text stands on, as TOML writes texts; each line once."""

    def __init__(self, path: Path) -> None:
        try:
            self._lines = path.read_text().splitlines()
        except OSError:
            self._lines = []
        self._taken: set[tuple[int, str]] = set()

    def of(self, text: str) -> int:
        """Return the line, counted from 1, or 0."""
        written = (json.dumps(text, ensure_ascii=False), f"'{text}'")
        for number, line in enumerate(self._lines, 1):
            code = line.lstrip()
            here = not code.startswith("#") and any(one in line for one in written)
            if here and (number, text) not in self._taken:
                self._taken.add((number, text))
                return number
        return 0
