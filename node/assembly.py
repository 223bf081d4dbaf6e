"""Putting a node together: every part made once, wired here and nowhere else."""

from dataclasses import dataclass
from pathlib import Path

from genesis.core.errors import InvalidSoul
from genesis.soul import read_soul
from ledger.core.errors import TimmyError
from ledger.core.genesis import Genesis, check_soul
from ledger.core.keys import Signer
from ledger.core.lineage import Lineage
from ledger.core.state import State
from ledger.log import Log
from ledger.release import Release
from ledger.snapshot import SnapshotFile
from ledger.views import NEAR, Views
from mesh.core import nip19
from mesh.core.nip01 import NostrSigner
from mesh.fleet.bus import Bus
from mesh.pool.relays import RelayPool
from mesh.relay.server import Relay
from node.agent.adopting import Adopting
from node.agent.adoption import make_adopting, make_layered, make_patching
from node.agent.approval import PatchApproval, make_approval
from node.agent.constitution import Constitution
from node.agent.hooks import Hooks, read_hooks
from node.agent.layering import Layers
from node.agent.mind import Mind, make_mind
from node.agent.models import check_models
from node.agent.patching import Patching
from node.agent.remembering import Remembering, make_remembering
from node.agent.scheduling import Scheduling, make_scheduling
from node.anchors.aggregating import Aggregating, make_aggregating
from node.anchors.anchoring import Anchoring, make_anchoring
from node.anchors.handing_in import HandingIn, make_handing_in
from node.anchors.stamping import Stamping, make_stamping
from node.api.door import addresses_in
from node.config import Config
from node.fleet.bus import make_bus, make_live
from node.fleet.duties import FleetDuty, make_duty
from node.fleet.gossiping import Gossiping, make_gossiping
from node.fleet.hearing import Hearing, make_hearing
from node.fleet.homing import Homing
from node.fleet.inviting import make_inviting
from node.fleet.looking_back import LookingBack
from node.fleet.members import FleetNode, make_fleet
from node.fleet.mirroring import Mirroring, make_mirroring
from node.fleet.offers import Offers, approval_of
from node.fleet.own_relay import make_relay
from node.fleet.routing import Routing
from node.fleet.routing_wiring import make_homing, make_routing
from node.fleet.stages import Stages, check_stages
from node.fleet.taking import Taking, make_taking
from node.fleet.telling import Telling
from node.fleet.witnessed import Witnessed, make_witnessed
from node.fleet.witnessing import Witnessing, make_witnessing
from node.home import Home
from node.identity.souls import Souls
from node.keeping.folding import REDUCERS, Attester, Progress, fold
from node.keeping.healing import Healer
from node.keeping.watch import Watch
from node.machine import read_machine
from node.mcp.config import check_mcp, make_mcp
from node.nostr.broadcast import Broadcast
from node.nostr.relays import make_pool
from node.nostr.wiring import Post, check_nostr, make_nostr
from node.open import lineage_of, now_ms, open_log
from node.opened import Opened
from node.proxy.proxying import Proxying, make_proxying
from runtime.core.jobspec import Kind
from runtime.gateway import Gateway
from runtime.job_door import JobDoor
from runtime.journal import Journal
from runtime.local import LocalServer
from runtime.mcp_servers import McpServers
from runtime.sandbox import Probe

MIB = 1024 * 1024


@dataclass(slots=True, kw_only=True)
class Parts:
    """A node's parts. `Node` in node.supervisor gives them a life."""

    home: Home
    config: Config
    log: Log
    lineage: Lineage
    nostr: bytes
    """The x-only key it publishes with: that of genesis, unless it was lost."""
    views: Views
    release: Release
    journal: Journal
    attester: Attester
    gateway: Gateway
    mind: Mind
    mcp: McpServers
    relay: Relay | None
    pool: RelayPool
    bus: Bus
    duty: FleetDuty
    taking: Taking
    broadcast: Broadcast
    fleet: FleetNode
    telling: Telling
    routing: Routing
    homing: Homing
    witnessing: Witnessing
    hearing: Hearing
    gossiping: Gossiping
    witnessed: Witnessed
    mirroring: Mirroring
    anchoring: Anchoring
    aggregating: Aggregating | None
    handing_in: HandingIn | None
    stamping: Stamping
    patching: Patching
    stages: Stages
    approval: PatchApproval
    souls: Souls
    watch: Watch
    scheduling: Scheduling
    proxying: Proxying | None
    hooks: Hooks
    post: Post
    local: LocalServer | None
    remembering: Remembering
    sandbox: Probe
    started_ms: int
    unreleased: int
    """Events the ledger held beyond its last released head when it was opened."""

    @property
    def adopting(self) -> Adopting:
        """Adoptions of this node."""
        return self.stages.adopting

    def known_addresses(self) -> frozenset[str]:
        """Where members of the fleet and peers are, as far as they are named by address."""
        known = self.fleet.fleet
        members = () if known is None else known.manifest.members
        peers = (one.url for one in self.config.mesh.peers)
        return addresses_in((*(url for one in members for url in one.urls), *peers))

    @property
    def constitution(self) -> Constitution:
        """Changes of this software; what is known of them is in the ledger."""
        return Constitution(
            home=self.home, log=self.log, journal=self.journal, patching=self.patching,
            approval=self.approval,
        )  # fmt: skip

    @property
    def genesis(self) -> Genesis:
        """What the agent was born with."""
        return self.lineage.genesis

    @property
    def npub(self) -> str:
        """The agent's Nostr identity."""
        return nip19.npub(self.nostr.hex())


def open_ledger(home: Home) -> tuple[Log, Lineage]:
    """Open the ledger as its one writer, and check that SOUL.md is the one it began with."""
    log = open_log(home, write=True)
    try:
        lineage = lineage_of(log)
        check_soul(_own_soul(home), lineage.genesis)
    except BaseException:
        log.close()
        raise
    return log, lineage


def _own_soul(home: Home) -> bytes:
    try:
        return read_soul(home.soul).data
    except InvalidSoul as error:
        raise InvalidSoul(
            str(error), hint="restore the SOUL.md this agent was born with from a backup"
        ) from error


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """A ledger that may go on: its guard agrees, and its events were folded."""

    release: Release
    snapshots: SnapshotFile
    state: State


@dataclass(frozen=True, slots=True, kw_only=True)
class Earlier:
    """The snapshot file of a home, and the state it had, if the ledger attests it."""

    snapshots: SnapshotFile
    state: State | None


def read_snapshot(home: Home, log: Log) -> Earlier:
    """Read what an earlier run left. It needs no key: a start does it while it waits for one."""
    snapshots = SnapshotFile(home.snapshot)
    return Earlier(snapshots=snapshots, state=snapshots.load(log, REDUCERS))


def take_up(
    home: Home,
    log: Log,
    lineage: Lineage,
    signer: Signer,
    *,
    earlier: Earlier | None = None,
    progress: Progress = lambda *_: None,
) -> Taken:
    """Compare the ledger with its guard, then fold it: everything that can refuse a start.

    Raises GuardError if the ledger was rolled back, StoreDamaged if events that no head covers
    yet break a rule of the log, and what `node.keeping.folding.fold` does.
    """
    release = Release.open(log, home.state, signer, epoch=lineage.epoch, key_at=lineage.key_at)
    earlier = earlier or read_snapshot(home, log)
    state = fold(log, release.newest.checkpoint, earlier.state, progress=progress)
    return Taken(release=release, snapshots=earlier.snapshots, state=state)


def check_config(home: Home, config: Config, genesis: Genesis) -> None:
    """Refuse, before anything long begins, what does not fit home and agent. Raises TimmyError."""
    check_models(home, config)
    read_hooks(home, config)
    check_mcp(home, config)
    make_bus(home, config.mesh.bus)
    check_nostr(config)
    check_stages(config)
    if genesis.network != config.attest.network and config.attest.backend != "none":
        raise TimmyError(
            f"attest.network is {config.attest.network}, this agent was born on {genesis.network}"
        )


def assemble(opened: Opened, taken: Taken) -> Parts:
    """Make every part."""
    opened, journal, layers = make_layered(opened, taken.state)
    home, config, log = opened.home, opened.config, opened.log
    release, views = taken.release, _views(home, log)
    pool = make_pool(home, config.publish, signer := NostrSigner(opened.keys.nostr.secret))
    relay = make_relay(opened, signer, fleet := make_fleet(opened))
    gateway = Gateway(journal)
    mind = make_mind(opened, journal, gateway, views, lambda: _head(release), layers)
    remembering = make_remembering(opened, journal, mind.chain)
    anchoring = _anchoring(opened, release)
    approval = make_approval(opened, journal, lambda: fleet.fleet)
    post = make_nostr(opened, pool, relay, journal, gateway, mind.tooling, release, approval, fleet)
    witnessing = _witnessing(opened, signer, relay, pool, fleet)
    mirroring = make_mirroring(opened, release, signer, witnessing, lambda: fleet.fleet)
    witnessed = _witnessed(opened, release, pool, fleet, mirroring)
    broadcast = _broadcast(opened, release, signer, relay, pool, witnessed)
    bus, duty = _duty(opened, fleet)
    routing = make_routing(opened, journal, fleet, mirroring, signer, duty, mind.service.drafts)
    gateway.route, mind.service.claims = routing.elsewhere, routing.majority
    hearing = make_hearing(witnessing, witnessed, mirroring, config.witness, pool, relay)
    patching = make_patching(opened, release, journal, mind.tooling.toolbox, layers)
    return Parts(
        home=home,
        config=config,
        log=log,
        lineage=opened.lineage,
        nostr=opened.keys.nostr.public,
        views=views,
        release=release,
        journal=journal,
        attester=Attester(log=log, journal=journal, snapshots=taken.snapshots),
        gateway=gateway,
        mind=mind,
        mcp=make_mcp(opened, mind.tooling.toolbox),
        relay=relay,
        pool=pool,
        bus=bus,
        duty=duty,
        taking=make_taking(bus, duty, fleet, post, journal.turns),
        broadcast=broadcast,
        witnessing=witnessing,
        fleet=fleet,
        telling=Telling(node=fleet, inviting=make_inviting(fleet, pool, signer, relay)),
        routing=routing,
        homing=make_homing(routing, gateway, mind.host, journal, broadcast, release),
        witnessed=witnessed,
        mirroring=mirroring,
        hearing=hearing,
        gossiping=make_gossiping(release, witnessed, mirroring, hearing, duty),
        anchoring=anchoring,
        aggregating=make_aggregating(anchoring, config.aggregate, opened.lineage),
        handing_in=make_handing_in(anchoring, config.aggregate, opened.session, opened.anchors),
        stamping=_stamping(opened, release),
        souls=_souls(opened, witnessed, signer, relay, pool),
        patching=patching,
        stages=_stages(opened, journal, patching, approval, mirroring, mind, layers),
        approval=approval,
        watch=Watch(home, config.node, log.append, now_ms),
        proxying=make_proxying(opened, journal),
        hooks=read_hooks(home, config),
        post=post,
        local=opened.local.server if opened.local else None,
        scheduling=_scheduling(opened, views, journal, gateway, mind, remembering, post, duty),
        remembering=remembering,
        sandbox=opened.sandbox,
        started_ms=opened.started_ms,
        unreleased=log.size - release.newest.size,
    )


def _stages(
    opened: Opened,
    journal: Journal,
    patching: Patching,
    approval: PatchApproval,
    mirroring: Mirroring,
    mind: Mind,
    layers: Layers,
) -> Stages:
    """Adoptions of this node, and its part in those of its fleet."""
    offers = Offers(
        log=opened.log,
        approval=approval,
        fleet=mirroring.fleet,
        mirrors=mirroring.copies,
    )
    section = opened.config.adoption
    allowed = approval_of(offers, section.follow)
    adopting = make_adopting(opened, journal, patching, allowed, mind.host, layers)
    return Stages(section=section, patching=patching, adopting=adopting, offers=offers)


def _views(home: Home, log: Log) -> Views:
    views = Views(home.views, log, at_most=NEAR)
    views.catch_up()
    return views


def _stamping(opened: Opened, release: Release) -> Stamping:
    section, log, anchors = opened.config.attest, opened.log, opened.anchors
    return make_stamping(section, log, release, opened.calendars, opened.bitcoin, anchors)


def _duty(opened: Opened, fleet: FleetNode) -> tuple[Bus, FleetDuty]:
    """The bus of node.toml, and the part in shared jobs, whose live words go by it or directly."""
    bus, signer = make_bus(opened.home, opened.config.mesh.bus), opened.keys.nostr
    live = make_live(bus, signer, opened.session, fleet)
    return bus, make_duty(opened.home, live, signer, fleet)


def _witnessed(
    opened: Opened, release: Release, pool: RelayPool, fleet: FleetNode, mirroring: Mirroring
) -> Witnessed:
    config, log, lineage = opened.config, opened.log, opened.lineage
    looking_back = LookingBack(
        pool=pool, relays=tuple(config.publish.relays), peers=mirroring.sources, log=log,
        pubkey=mirroring.signer.pubkey, head_kind=config.publish.head_kind, lineage=lineage,
    )  # fmt: skip
    return make_witnessed(
        opened.home, config.witness, log, release, lineage, opened.session, fleet, looking_back
    )


def _broadcast(
    opened: Opened,
    release: Release,
    signer: NostrSigner,
    relay: Relay | None,
    pool: RelayPool,
    witnessed: Witnessed,
) -> Broadcast:
    return Broadcast(
        log=opened.log,
        release=release,
        signer=signer,
        relay=relay,
        pool=pool,
        section=opened.config.publish,
        interval_ms=opened.config.node.checkpoint_interval_ms,
        witnessed=witnessed,
    )


def _souls(
    opened: Opened,
    witnessed: Witnessed,
    signer: NostrSigner,
    relay: Relay | None,
    pool: RelayPool,
) -> Souls:
    return Souls(
        home=opened.home,
        log=opened.log,
        witnessed=witnessed,
        lineage=opened.lineage,
        signer=opened.keys.log,
        nostr=signer,
        relay=relay,
        pool=pool,
        kind=opened.config.publish.head_kind,
    )


def _witnessing(
    opened: Opened, signer: NostrSigner, relay: Relay | None, pool: RelayPool, fleet: FleetNode
) -> Witnessing:
    secret = opened.keys.nostr.secret
    section, log = opened.config.witness, opened.log
    return make_witnessing(opened.home, section, log, signer, secret, relay, pool, fleet)


def _head(release: Release) -> tuple[int, bytes]:
    """Size and root of the newest released head."""
    return release.newest.size, release.newest.root


def _scheduling(
    opened: Opened,
    views: Views,
    journal: Journal,
    gateway: Gateway,
    mind: Mind,
    remembering: Remembering,
    post: Post,
    duty: FleetDuty,
) -> Scheduling:
    scheduling = make_scheduling(
        opened.home,
        opened.config.jobs,
        journal,
        gateway,
        mind.service,
        mind.host,
        opened.engine,
        opened.lineage.genesis.name,
        remembering.runs | {Kind.HEALER: _healer(opened, views, journal, mind)},
        JobDoor(rules=mind.tooling.rules, folder=Path(mind.tooling.folder)),
        post.sights.sight,
        duty,
    )
    if opened.local is not None:
        scheduling.others.append(opened.local.server.alarms)
    return scheduling


def _healer(opened: Opened, views: Views, journal: Journal, mind: Mind) -> Healer:
    return Healer(
        home=opened.home,
        views=views,
        host=mind.host,
        journal=journal,
        machine=lambda: read_machine(opened.home.path),
        clock=now_ms,
    )


def _anchoring(opened: Opened, release: Release) -> Anchoring:
    return make_anchoring(
        opened.home,
        opened.config.attest,
        opened.log,
        release,
        opened.lineage,
        opened.keys,
        opened.past,
        opened.bitcoin,
        opened.anchors,
    )
