"""What node.toml says of MCP servers, made into servers to keep: environment, folders, keys, reach.

A server that goes out of this machine (a url elsewhere, a program with the network or outside the
sandbox) must have a privacy class: the arguments of its calls are words of conversations.
"""

import os
from pathlib import Path
from typing import Final

from ledger.core.errors import TimmyError
from node.agent.models import is_here
from node.agent.tools import work_folder
from node.config import Config, key_file
from node.home import Home
from node.opened import Opened
from node.sections.base import ConfigError
from node.sections.mcp import McpSection
from runtime.core.chat import REACHES, Reach
from runtime.core.mcp_tools import TOOLSET, Offerer
from runtime.mcp_process import Program
from runtime.mcp_servers import McpServers, Server
from runtime.model_keys import read_key
from runtime.sandbox import Mount
from runtime.toolbox import Toolbox

_BEARER: Final = "authorization"


def check_mcp(home: Home, config: Config) -> None:
    """Refuse, before anything long begins, what cannot be meant. Raises TimmyError."""
    for section in config.mcp:
        if bool(section.command) == bool(section.url):
            raise ConfigError(
                f"mcp: {section.name} has {'both' if section.url else 'neither'}",
                hint="a command that is started here, or a url: one of them",
            )
        key_file(home, section)
        _reach(section)
        for named in (*section.folders, *section.writable):
            _folder(home, config, section, named)


def server_of(home: Home, config: Config, section: McpSection) -> Server:
    """Return the server of one [[mcp]]. Raises TimmyError, AgentError."""
    offerer = Offerer(
        name=section.name,
        reach=_reach(section),
        seconds=section.timeout_s,
        tools=tuple(section.tools),
        trust_hints=section.trust_hints,
    )
    if section.url:
        return Server(offerer=offerer, url=section.url, headers=_headers(home, section))
    program = Program(
        argv=section.command,
        env=_env(section),
        confined=section.confined,
        network=section.network,
        shown=tuple(_folder(home, config, section, named) for named in section.folders),
        writable=tuple(_folder(home, config, section, named) for named in section.writable),
    )
    return Server(offerer=offerer, program=program)


def make_mcp(opened: Opened, toolbox: Toolbox) -> McpServers:
    """Return the keeper of all that are on. Raises TimmyError, AgentError."""
    config = opened.config
    wanted = [one for one in config.mcp if one.enabled and TOOLSET in config.tools.toolsets]
    servers = [server_of(opened.home, config, section) for section in wanted]
    return McpServers(servers, toolbox, opened.engine)


def _reach(section: McpSection) -> Reach:
    if section.privacy:
        return REACHES[section.privacy]
    inside = is_here(section.url) if section.url else section.confined and not section.network
    if inside:
        return Reach.LOCAL
    raise ConfigError(
        f"mcp: {section.name} can tell others what it is told, and has no privacy class",
        hint='say privacy = "public", "trusted", or "local" (it stays on your own hardware)',
    )


def _folder(home: Home, config: Config, section: McpSection, named: str) -> Mount:
    """A folder or file that a server is shown, and where its name leads now.

    Raises ConfigError for one with secrets in it, and for one that the agent could put a link in
    the place of: what lies below the folder that its tools work in.
    """
    path, what = Path(named).expanduser(), f"mcp: {named} of {section.name}"
    if not path.is_absolute():
        raise ConfigError(f"{what} is not absolute", hint="name it by its absolute path")
    mount, work = Mount.of(path), home.work.resolve()
    found = mount.real
    for secret in (home.path.resolve(), home.state.resolve()):
        inside = found.is_relative_to(secret) and not found.is_relative_to(work)
        if inside or secret.is_relative_to(found):
            raise ConfigError(f"{what} holds secrets of this node", hint="name a smaller folder")
    for changing in (work, work_folder(home, config)):
        if any(_lies_in(one, changing) for one in (found, path, *path.parents)):
            raise ConfigError(
                f"{what} lies in {changing}, where the agent could put a link in its place",
                hint="name that folder itself, or one outside of it",
            )
    return mount


def _lies_in(path: Path, folder: Path) -> bool:
    """Whether an entry of `folder`, or of what is in it, has this name."""
    return path.parent != path and path.parent.resolve().is_relative_to(folder)


def _env(section: McpSection) -> dict[str, str]:
    missing = [name for name in section.env if name not in os.environ]
    if missing:
        raise TimmyError(
            f"mcp: environment variable {missing[0]} is not set",
            hint=f"the server {section.name} is to be given it: [[mcp]] env",
        )
    return {name: os.environ[name] for name in section.env}


def _headers(home: Home, section: McpSection) -> dict[str, str]:
    key = read_key(env=section.key_env or None, file=key_file(home, section))
    if key is None:
        return {}
    bearer = section.header.lower() == _BEARER
    return {section.header: f"Bearer {key}" if bearer else key}
