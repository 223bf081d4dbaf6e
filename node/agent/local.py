"""[local] of node.toml, made into a server that is kept running and a link of the chain.

A file that is wrong does not keep the node from starting: a machine that comes up at night with a
damaged disk is to answer as far as it can. It is told loudly (log, status, `timmy models list`),
and `timmy models serve` and `bench` refuse it.
"""

from pathlib import Path
from typing import Final

import aiohttp

from node.config import Config
from node.home import Home
from node.sections.models import LocalSection
from runtime.core.chat import Link
from runtime.local import LocalServer
from runtime.local_link import LocalLink
from runtime.local_process import BrainSettings, threads_here
from runtime.sandbox import MIB, Engine
from runtime.weights import Digests

DIGESTS: Final = "weights.json"
"""In the home: digests of files that were read once."""


def settings_of(section: LocalSection, engine: Engine) -> BrainSettings:
    """Return how the model of a section is run."""
    return BrainSettings(
        context_tokens=section.context_tokens,
        threads=section.threads or threads_here(),
        memory_bytes=section.memory_mb * MIB,
        engine=engine,
    )


def make_local(
    home: Home, config: Config, session: aiohttp.ClientSession, engine: Engine
) -> LocalLink | None:
    """Return the link, its server not started yet; None if node.toml names no file."""
    section = config.local
    if not section.model:
        return None
    server = LocalServer(
        home.path / Path(section.model).expanduser(),
        sha256=section.sha256,
        port=section.port,
        settings=settings_of(section, engine),
        digests=Digests(home.path / DIGESTS),
        session=session,
    )
    return LocalLink(server=server, session=session, timeout_s=section.timeout_s)


def unready(link: Link) -> str | None:
    """Return why a model of this machine cannot be asked now; None for every other link."""
    return link.server.unable if isinstance(link, LocalLink) else None
