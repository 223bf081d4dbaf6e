"""The tools of a node, put together: which toolsets are on, where they work, by which rules.

The rules are read again whenever one of their files has changed. If one cannot be read, the rules
of before hold on, and nothing is allowed by them until it is mended.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from ledger.core.errors import TimmyError
from node.agent.layering import Layers
from node.agent.permitting import (
    PROJECT_FILE,
    Level,
    load_permissions,
    only_built_in,
    user_file,
    with_gates,
)
from node.agent.projects import project_hash
from node.agent.registering import TOOLSET, Registered
from node.children.records import Ward
from node.config import Config
from node.home import Home
from node.open import now_ms
from node.opened import Opened
from node.sections.base import ConfigError
from runtime.approvals import Approvals
from runtime.core.errors import CallRefused
from runtime.core.leaks import Leaks
from runtime.core.permission_rules import FILE_READ, WEB_FETCH, Effect
from runtime.core.privacy import Privacy
from runtime.core.tool import Tool, ToolSpec
from runtime.journal import Journal
from runtime.permitting import Gate
from runtime.recall import Recall
from runtime.sandbox import Engine
from runtime.toolbox import Toolbox
from runtime.tooling import Tooling
from runtime.tools import (
    editing,
    fetching,
    git,
    ledger,
    listing,
    memory,
    reading,
    searching,
    shell,
    skills,
    todo,
    writing,
)
from runtime.tools.confined import KEPT, Confined

_Built = list[tuple[ToolSpec, Tool]]


def work_folder(home: Home, config: Config) -> Path:
    """Return where tools work, resolved. Raises ConfigError for a folder that holds secrets."""
    named = config.tools.folder
    if not named:
        return home.work.resolve()
    path, hint = Path(named).expanduser(), "name a folder of its own, by its absolute path"
    if not path.is_absolute():
        raise ConfigError(f"tools.folder is not absolute: {named}", hint=hint)
    folder = path.resolve()
    for secret in (home.path.resolve(), home.state.resolve()):
        work = home.work.resolve()
        if secret.is_relative_to(folder) or (
            folder.is_relative_to(secret) and not folder.is_relative_to(work)
        ):
            raise ConfigError(f"tools.folder {named} holds secrets of this node", hint=hint)
    if not folder.is_dir():
        raise ConfigError(f"tools.folder {named} is not a folder", hint=hint)
    return folder


def project_of(opened: Opened) -> bytes | None:
    """Return the project that the node's tools work on, 16 bytes. Raises as `work_folder`.

    None without `tools.folder`: the agent's own folder is no project, and what it noted there still
    holds when the operator names one.
    """
    if not opened.config.tools.folder:
        return None
    return project_hash(work_folder(opened.home, opened.config))


@dataclass(slots=True)
class Rules:
    """The permission rules in force for work in `folder`."""

    home: Home
    folder: Path
    busy: Callable[[], bool] = lambda: False
    """Whether a program may be changing the project's file this moment: then none is read."""
    level: Level = lambda: None
    """How many gates a child passed, as of now; None for nobody's child."""
    _stamps: tuple[object, ...] = ()
    _gate: Gate | None = None
    _gated: tuple[Gate, int | None, Gate] | None = None
    """What the files gave, a level, and both together."""

    def __call__(self) -> Gate:
        """Return them as they are now."""
        gate, level = self._of_files(), self.level()
        if self._gated is None or self._gated[0] is not gate or self._gated[1] != level:
            self._gated = gate, level, Gate(with_gates(gate.policy, level))
        return self._gated[2]

    def _of_files(self) -> Gate:
        if self._gate is not None and self.busy():
            return self._gate
        stamps = tuple(map(_stamp, (self.home.config, user_file(), self.folder / PROJECT_FILE)))
        if stamps != self._stamps:
            self._stamps = stamps
            try:
                self._gate = Gate(load_permissions(self.home, self.folder, level=None).policy)
            except ConfigError as error:
                self._gate = self._without(str(error))
        assert self._gate is not None
        return self._gate

    def _without(self, fault: str) -> Gate:
        """The rules of before, or those that nobody takes away, with nothing allowed."""
        if self._gate is None:
            return Gate(only_built_in(self.home, self.folder, fault))
        return Gate(replace(self._gate.policy, faults=(fault,)))

    def allows(self, tool: str, argument: str, folder: str) -> bool:
        """Whether a call would be made without asking anybody."""
        try:
            ruling = self().rule_on(tool, argument, folder=Path(folder))
        except CallRefused:
            return False
        return ruling.decision.effect is Effect.ALLOW


def _stamp(path: Path) -> object:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


def make_tooling(
    opened: Opened,
    journal: Journal,
    recall: Recall,
    privacy: Privacy,
    head: ledger.Head,
    layers: Layers,
    leaks: Leaks,
    project: bytes | None,
) -> Tooling:
    """Make the toolbox and the door to it. Raises TimmyError if the working folder cannot be."""
    home, section = opened.home, opened.config.tools
    folder = work_folder(home, opened.config)
    _prepare(folder)
    confined = Confined(engine=opened.engine)
    ward = Ward(opened.log)
    rules = Rules(home, folder, confined.keeping.busy, lambda: ward.level)
    toolbox = Toolbox()
    ledgers = ledger.Ledger(recall=recall, privacy=privacy, head=head)
    built = [
        *_files(confined, rules), *_programs(confined, opened),
        *_records(ledgers, recall, privacy, layers.skills, project),
        (fetching.SPEC, fetching.WebFetch(lambda url: rules.allows(WEB_FETCH, url, str(folder)))),
    ]  # fmt: skip
    for spec, tool in built:
        if spec.toolset in section.toolsets:
            toolbox.register(spec, tool)
    return Tooling(
        journal=journal,
        toolbox=toolbox,
        rules=rules,
        folder=str(folder),
        approvals=Approvals(journal, deadline_s=section.approval_seconds, clock=now_ms),
        privacy=privacy,
        bounds=layers.bounds,
        leaks=leaks,
    )


def make_registered(opened: Opened, journal: Journal, toolbox: Toolbox) -> Registered:
    """Put the tools over HTTP that were registered before into the toolbox, too."""
    section = opened.config.tools
    registered = Registered(
        home=opened.home,
        journal=journal,
        toolbox=toolbox,
        session=opened.session,
        hosts=frozenset(section.http_hosts),
    )
    if TOOLSET in section.toolsets:
        registered.load()
    return registered


def _prepare(folder: Path) -> None:
    """Make the folder, and in it the one that no program may write to."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        (folder / KEPT).mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise TimmyError(
            f"{folder} cannot be made: {error.strerror}", hint="tools.folder in node.toml names it"
        ) from error


def _files(confined: Confined, rules: Rules) -> _Built:
    found: _Built = [
        (reading.SPEC, reading.ReadFile()),
        (writing.SPEC, writing.WriteFile()),
        (editing.SPEC, editing.EditFile()),
        (listing.SPEC, listing.ListFiles()),
    ]
    if confined.engine is not Engine.NONE:
        search = searching.SearchFiles(
            confined, lambda path, folder: rules.allows(FILE_READ, path, folder)
        )
        found.append((searching.SPEC, search))
    return found


def _programs(confined: Confined, opened: Opened) -> _Built:
    """Shell and git; without a way to confine them there are none."""
    if confined.engine is Engine.NONE:
        return []
    name = opened.lineage.genesis.name
    return [(shell.SPEC, shell.RunShell(confined)), *git.tools(confined, name)]


def _records(
    ledgers: ledger.Ledger,
    recall: Recall,
    privacy: Privacy,
    adopted: skills.Skills,
    project: bytes | None,
) -> _Built:
    return [
        (memory.REMEMBER, memory.RememberTool(project)),
        (memory.RECALL, memory.RecallTool(recall, privacy)),
        (todo.SET, todo.SetTodoTool()),
        (todo.GET, todo.GetTodoTool()),
        (ledger.EVENT, ledger.EventTool(ledgers)),
        (ledger.SEARCH, ledger.SearchTool(ledgers)),
        (ledger.WHY, ledger.WhyTool(ledgers)),
        (ledger.PROOF, ledger.ProofTool(ledgers)),
        (skills.LIST, skills.ListSkillsTool(adopted)),
        (skills.READ, skills.ReadSkillTool(adopted)),
    ]
