"""What a node has open before its parts are made, and closes after them."""

import socket
from dataclasses import dataclass

import aiohttp

from attest.bitcoind import Bitcoind
from attest.calendar import Calendars
from attest.state import FileState
from genesis.core.keys import AgentKeys
from ledger.core.lineage import Lineage
from ledger.log import Log
from node.config import Config
from node.home import Home
from runtime.local_link import LocalLink
from runtime.ollama import Found
from runtime.sandbox import Engine, Probe


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """What is open before the parts are made, and closed after them."""

    home: Home
    config: Config
    log: Log
    lineage: Lineage
    keys: AgentKeys
    past: dict[int, AgentKeys]
    sandbox: Probe
    session: aiohttp.ClientSession
    ollama: Found | None
    local: LocalLink | None
    bitcoin: Bitcoind | None
    anchors: FileState
    calendars: Calendars
    proxy: socket.socket | None
    """Where the recording proxy listens, if node.toml asks for one."""
    started_ms: int

    @property
    def engine(self) -> Engine:
        """How programs are confined here."""
        return self.sandbox.engine
