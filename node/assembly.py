"""Putting a node together: every part made once, wired here and nowhere else."""

import random
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Final

import aiohttp

from attest.bitcoind import Bitcoind
from attest.state import FileState
from genesis import trees
from genesis.core.birth import Genesis
from genesis.core.errors import InvalidSoul, TreeError
from genesis.core.keys import AgentKeys
from genesis.soul import check_soul, read_soul
from ledger.core import hashing, types
from ledger.core.errors import TimmyError
from ledger.core.keys import Signer
from ledger.core.state import State
from ledger.log import Log
from ledger.release import Release
from ledger.snapshot import SnapshotFile
from ledger.tail import check_tail
from ledger.upcasting import UpcastLog
from ledger.views import Views
from mesh.core import nip19
from mesh.core.nip01 import NostrSigner
from mesh.core.nip11 import RelayInfo
from mesh.core.policy import WritePolicy
from mesh.publisher import Publisher
from mesh.relay import Relay
from mesh.sqlite import SqliteEventStore
from mesh.sqlite_outbox import SqliteOutbox
from node.anchoring import Anchoring, make_anchoring
from node.broadcast import Broadcast
from node.config import Config, public_key
from node.folding import Attester, fold
from node.home import Home
from node.open import epoch_of, genesis_of, now_ms, open_log
from node.patching import Patching
from runtime import sandbox
from runtime.connection import ConnectionLimits, Identity
from runtime.core.agenda import INTERPRETED
from runtime.core.session import SessionLimits
from runtime.gateway import Gateway
from runtime.host import AgentHost, HostLimits
from runtime.journal import Journal
from runtime.models import Chain, ChatEndpoint, Link, Responder, read_key
from runtime.recall import Recall
from runtime.service import Service

MIB = 1024 * 1024
_RECALLED: Final = frozenset({types.MESSAGE_RECEIVED.name, types.MEMORY_NOTED.name})
"""What people said and what was noted; the agent's own answers would only echo."""
_RECALL_LOOK: Final = 4
"""Hits looked at for each one wanted: an answer often repeats the words of its question."""


@dataclass(slots=True, kw_only=True)
class Parts:
    """A node's parts. `Node` in node.supervisor gives them a life."""

    home: Home
    config: Config
    log: Log
    genesis: Genesis
    views: Views
    release: Release
    journal: Journal
    attester: Attester
    gateway: Gateway
    host: AgentHost
    chain: Chain
    relay: Relay | None
    publisher: Publisher
    broadcast: Broadcast
    anchoring: Anchoring
    patching: Patching
    engine: sandbox.Engine
    started_ms: int
    tree: bytes
    """Digest of the architecture tree the agent process runs from."""
    unreleased: int
    """Events the ledger held beyond its last released head when it was opened."""

    @property
    def npub(self) -> str:
        """The agent's Nostr identity."""
        return nip19.npub(self.genesis.keys["nostr"].hex())


async def choose_engine(config: Config) -> sandbox.Engine:
    """Find how the agent process is confined here; refuse what was asked for and does not work."""
    wanted = config.agent.sandbox
    if wanted == "none":
        return sandbox.Engine.NONE
    found = await sandbox.detect()
    if wanted == "bubblewrap" and found is not sandbox.Engine.BUBBLEWRAP:
        raise TimmyError(
            "agent.sandbox is bubblewrap, and bubblewrap does not work here",
            hint="install it (apt install bubblewrap), or set agent.sandbox to auto",
        )
    return found


def open_ledger(home: Home) -> tuple[Log, Genesis]:
    """Open the ledger as its one writer, and check that SOUL.md is the one it began with."""
    log = open_log(home, write=True)
    try:
        genesis = genesis_of(log)
        check_soul(_own_soul(home), genesis)
    except BaseException:
        log.close()
        raise
    return log, genesis


def _own_soul(home: Home) -> bytes:
    try:
        return read_soul(home.soul).data
    except InvalidSoul as error:
        raise InvalidSoul(
            str(error), hint="restore the SOUL.md this agent was born with from a backup"
        ) from error


def take_up(
    home: Home, log: Log, genesis: Genesis, signer: Signer
) -> tuple[Release, SnapshotFile, State]:
    """Compare the ledger with its guard, then fold it: everything that can refuse a start.

    Raises GuardError if the ledger was rolled back, StoreDamaged if events that no head covers
    yet break a rule of the log, and what `node.folding.fold` does.
    """
    release = Release.open(log, home.state, signer, epoch=epoch_of(log, genesis))
    check_tail(log, release.newest.size)
    snapshots = SnapshotFile(home.snapshot)
    return release, snapshots, fold(log, release.newest.checkpoint, snapshots)


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """What is open before the parts are made, and closed after them."""

    home: Home
    config: Config
    log: Log
    genesis: Genesis
    keys: AgentKeys
    engine: sandbox.Engine
    session: aiohttp.ClientSession
    bitcoin: Bitcoind | None
    anchors: FileState


def assemble(opened: Opened) -> Parts:
    """Make every part. Raises GuardError and releases nothing if the ledger was rolled back."""
    home, config, log, genesis = opened.home, opened.config, opened.log, opened.genesis
    if genesis.network != config.attest.network and config.attest.backend != "none":
        raise TimmyError(
            f"attest.network is {config.attest.network}, this agent was born on {genesis.network}"
        )
    started_ms = now_ms()
    release, snapshots, state = take_up(home, log, genesis, opened.keys.log)
    views = Views(home.views, log)
    views.catch_up()
    signer = NostrSigner(opened.keys.nostr.secret)
    outbox = SqliteOutbox(home.path / "outbox.db")
    publisher = Publisher(config.publish.relays, outbox, jitter=random.random)
    relay = _relay(home, config, genesis, signer) if config.relay.enabled else None
    journal = Journal(UpcastLog(log, needed=INTERPRETED), state)
    gateway = Gateway(journal)
    chain, service = _mind(opened, journal, views, started_ms)
    return Parts(
        home=home,
        config=config,
        log=log,
        genesis=genesis,
        views=views,
        release=release,
        journal=journal,
        attester=Attester(log=log, journal=journal, snapshots=snapshots),
        gateway=gateway,
        host=_host(opened, journal, gateway, service),
        chain=chain,
        relay=relay,
        publisher=publisher,
        broadcast=Broadcast(
            log=log,
            release=release,
            signer=signer,
            relay=relay,
            publisher=publisher,
            section=config.publish,
            interval_ms=config.node.checkpoint_interval_ms,
        ),
        anchoring=_anchoring(opened, release),
        patching=Patching(
            home=home,
            log=log,
            release=release,
            signer=opened.keys.log,
            engine=opened.engine,
        ),
        engine=opened.engine,
        started_ms=started_ms,
        tree=trees.current(home.path) or genesis.architecture,
        unreleased=log.size - release.newest.size,
    )


def _mind(opened: Opened, journal: Journal, views: Views, started_ms: int) -> tuple[Chain, Service]:
    """Wire the model chain and the services that the agent process may ask."""

    async def search(query: str, limit: int) -> list[int]:
        views.catch_up()
        hits = views.search(query, limit=_RECALL_LOOK * limit, any_word=True)
        found = (hit.position for hit in hits if opened.log.read(hit.position).type in _RECALLED)
        return list(islice(found, limit))

    def status() -> dict[str, Any]:
        return {
            "name": opened.genesis.name,
            "events": opened.log.size,
            "models": chain.names,
            "uptime_s": (now_ms() - started_ms) // 1000,
        }

    recall = Recall(journal, search)
    endpoints = _endpoints(opened.config, opened.session)
    chain = Chain([*endpoints, Responder(recall, status)])
    digest_key = hashing.digest(hashing.STEP_KEY, opened.keys.log.secret)
    service = Service(journal, chain=chain, recall=recall, status=status, digest_key=digest_key)
    return chain, service


def _anchoring(opened: Opened, release: Release) -> Anchoring:
    return make_anchoring(
        opened.home,
        opened.config.attest,
        opened.log,
        release,
        opened.genesis,
        opened.keys,
        opened.bitcoin,
        opened.anchors,
    )


def _endpoints(config: Config, session: aiohttp.ClientSession) -> list[Link]:
    return [
        ChatEndpoint(
            name=model.name,
            base_url=model.base_url,
            model=model.model,
            timeout_s=model.timeout_s,
            session=session,
            key=read_key(
                env=model.key_env or None,
                file=Path(model.key_file).expanduser() if model.key_file else None,
            ),
        )
        for model in config.models
    ]


def _relay(home: Home, config: Config, genesis: Genesis, signer: NostrSigner) -> Relay:
    from importlib.metadata import version

    writers = {signer.pubkey, *(public_key(text) for text in config.relay.writers)}
    return Relay(
        SqliteEventStore(home.path / "relay.db"),
        WritePolicy(authors=frozenset(writers)),
        RelayInfo(name=genesis.name, pubkey=signer.pubkey, version=version("timmy-node")),
        lambda: now_ms() // 1000,
        connections_max=config.relay.connections_max,
    )


def _host(opened: Opened, journal: Journal, gateway: Gateway, service: Service) -> AgentHost:
    home, section = opened.home, opened.config.agent
    limits = sandbox.SandboxLimits(memory_bytes=section.memory_mb * MIB)

    async def spawn(tree: Path, channel: Any) -> sandbox.Child:
        return await sandbox.spawn(tree, channel, limits=limits, engine=opened.engine)

    turn = SessionLimits(turn_steps=section.steps_max, turn_s=section.turn_seconds_max)
    return AgentHost(
        journal=journal,
        gateway=gateway,
        service=service,
        spawn=spawn,
        tree=_adopted_tree(opened),
        identity=Identity(name=opened.genesis.name, soul=read_soul(home.soul).text),
        limits=HostLimits(connection=ConnectionLimits(session=turn)),
    )


def _adopted_tree(opened: Opened) -> Path:
    """Return the folder of the tree the agent thinks with, verified just now."""
    home = opened.home.path
    try:
        return trees.open_tree(home, trees.current(home) or opened.genesis.architecture)
    except TreeError as error:
        raise TreeError(
            str(error), hint=f"restore {home / trees.FOLDER} from a backup of this home"
        ) from error
