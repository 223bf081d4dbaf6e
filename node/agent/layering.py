"""What is in force of skills and thresholds: what was adopted, under the operator's newer edits.

`genesis.core.adopting.layers` has the rule; here is what lies where. The operator's own files are
`<home>/skills/` and the thresholds in node.toml; what was adopted is the version that the ledger
names. Both are taken up at once: skills when they are read, thresholds by the next turn.
"""

import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

import structlog

from genesis.adopting import versions
from genesis.core import thresholds
from genesis.core.adopting.layers import Version
from genesis.core.errors import InvalidTree, TreeError
from genesis.core.thresholds import BOUNDS, Thresholds, parse_thresholds
from node.config import Config
from node.home import Home
from runtime.core.adoptions import Adoptions
from runtime.core.bounds import TurnBounds
from runtime.core.errors import ToolFailed
from runtime.journal import Journal
from runtime.tools.skills import Skills, checked

_SKILLS: Final = "skills/"
_KIB: Final = 1024

_log = structlog.get_logger(__name__)


@dataclass(slots=True, kw_only=True)
class Layers:
    """Those of one node. `config` is node.toml as the operator wrote it."""

    home: Home
    config: Config
    journal: Journal
    version: Version | None = None
    """The adopted one as of the last `refresh`; skills are read in threads, the state is not."""

    def refresh(self) -> "Layers":
        """Take up the version that the ledger names now. Raises TreeError."""
        now = Adoptions(self.journal.state.entries).in_force
        return self.take(None if now is None else now.version)

    def take(self, named: bytes | None) -> "Layers":
        """Take up the version of this digest, or none. Raises TreeError."""
        if named is None:
            self.version = None
        elif self.version is None or self.version.digest != named:
            self.version = open_version(self.home, named)
        return self

    @property
    def skills(self) -> "LayeredSkills":
        """Skills as the agent reads them."""
        return LayeredSkills(os.fspath(self.home.skills), self)

    def own(self) -> dict[str, bytes]:
        """Return the operator's own files, by their paths in an architecture."""
        mine = Skills(os.fspath(self.home.skills))
        files = {skill_path(name): mine.text(name).encode() for name, _ in mine.all()}
        return {**files, thresholds.PATH: thresholds_of(self.config).render()}

    def held(self) -> dict[str, bytes]:
        """Return the files that are in force."""
        skills = self.skills
        files = {skill_path(name): skills.text(name).encode() for name, _ in skills.all()}
        return {**files, thresholds.PATH: self.thresholds().render()}

    def thresholds(self) -> Thresholds:
        """Return the thresholds in force."""
        mine, version = thresholds_of(self.config), self.version
        held = None if version is None else version.holds(thresholds.PATH, mine.render())
        return mine if held is None else parse_thresholds(held)

    def bounds(self) -> TurnBounds:
        """Return what a turn may use that begins now: by the ledger, whoever was told of it.

        Not for a thread. Of a version that does not open, which is rolled back, that of before.
        """
        with suppress(TreeError):
            self.refresh()
        values = self.thresholds().values
        agent, tools = values["agent"], values["tools"]
        return TurnBounds(
            steps=agent["steps_max"],
            seconds=agent["turn_seconds_max"],
            replies=agent["iterations_max"],
            tool_seconds=tools["turn_seconds"],
            result_bytes=tools["result_kb"] * _KIB,
        )


def newest(layers: Layers) -> Layers:
    """Take up the newest version that opens, to start with: the others are rolled back, then."""
    for one in reversed(Adoptions(layers.journal.state.entries).stack):
        try:
            return layers.take(one.version)
        except TreeError as error:
            _log.warning("an adopted version does not open", why=str(error))
    return layers


def open_version(home: Home, digest: bytes) -> Version:
    """Return a stored version that this software can use.

    Raises TreeError, also for thresholds that an older version of it allowed, and it does not.
    """
    version = versions.load_version(home.path, digest)
    try:
        if (held := version.files.get(thresholds.PATH)) is not None:
            parse_thresholds(held)
    except InvalidTree as error:
        raise TreeError(
            f"version {digest.hex()} is not for this software: {error}",
            hint="run the timmy that adopted it, and adopt other thresholds there",
        ) from error
    return version


@dataclass(frozen=True, slots=True)
class LayeredSkills(Skills):
    """The operator's folder of skills, under the adopted ones that he did not change since."""

    layers: Layers

    def names(self) -> list[str]:
        """See `Skills`."""
        version = self.layers.version
        adopted = () if version is None else version.files
        return sorted({*Skills.names(self), *_names(adopted)})

    def text(self, name: str) -> str:
        """See `Skills`."""
        version = self.layers.version
        if version is None:
            return Skills.text(self, name)
        try:
            mine = Skills.text(self, name).encode()
        except (OSError, ToolFailed):
            mine = None
        held = version.holds(skill_path(name), mine)
        if held is None:
            raise ToolFailed(f"there is no skill {name[:64]!r}")
        return checked(name, held.decode())


def skill_path(name: str) -> str:
    """Return the path of a skill in an architecture."""
    return f"{_SKILLS}{name}/SKILL.md"


def _names(paths: Any) -> Iterator[str]:
    return (path.split("/")[1] for path in paths if path.startswith(_SKILLS))


def thresholds_of(config: Config) -> Thresholds:
    """Return the thresholds that a configuration sets."""
    return Thresholds(
        {
            table: {key: getattr(getattr(config, table), key) for key in keys}
            for table, keys in BOUNDS.items()
        }
    )
