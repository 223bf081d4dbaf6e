"""The gateway to Nostr and the bridge, wired by `[gateways.nostr]` and `[bridge]` of node.toml."""

import asyncio
from collections.abc import Collection
from dataclasses import dataclass

from ledger.release import Release
from mesh.core.nip01 import NostrSigner
from mesh.pool.port import Pool
from mesh.pool.relays import RelayPool
from mesh.relay.server import Relay
from mesh.sealed.mailbox import Mailbox
from mesh.sealed.sqlite_handled import SqliteHandled
from mesh.sealed.wraps import Wraps
from node.agent.approval import PatchApproval
from node.config import Config, public_key
from node.fleet.members import FleetNode
from node.nostr import withdrawing
from node.nostr.answering import PatchWords
from node.nostr.bridge import Bridge
from node.nostr.gateway import NostrGateway
from node.nostr.roles import Role
from node.nostr.sights import NostrSights
from node.nostr.tasking import Tasking
from node.nostr.whereabouts import Find, Whereabouts
from node.open import now_ms
from node.opened import Opened
from node.sections.base import ConfigError
from node.sections.gateways import BridgeSection, NostrSection
from runtime.gateway import Gateway
from runtime.journal import Journal
from runtime.outbox import Outbox
from runtime.tooling import Tooling


def roles_of(section: NostrSection) -> dict[str, Role]:
    """Return what each key that node.toml names may do. Raises ConfigError."""
    named = [(section.operator, Role.OPERATOR)] if section.operator else []
    named += [(text, Role.PERSON) for text in section.people]
    named += [(text, Role.AGENT) for text in section.agents]
    roles: dict[str, Role] = {}
    for text, role in named:
        key = public_key(text, "gateways.nostr")
        if key in roles:
            raise ConfigError(
                f"gateways.nostr: {text!r} is {roles[key].value} and {role.value}",
                hint="name each key once, in operator, people or agents",
            )
        roles[key] = role
    return roles


def check_nostr(config: Config) -> None:
    """Refuse a gateway that could hear nobody, and keys that are none. Raises ConfigError."""
    peers_of(config.bridge)
    section = config.gateways.nostr
    roles = roles_of(section)
    if section.enabled and not roles:
        raise ConfigError(
            "gateways.nostr is enabled, and nobody may talk",
            hint='name yourself: gateways.nostr.operator = "npub1..."',
        )
    if section.enabled and not section.relays:
        raise ConfigError(
            "gateways.nostr is enabled, and has no relays",
            hint="one to four where the agent takes sealed messages: gateways.nostr.relays",
        )


def peers_of(section: BridgeSection) -> list[str]:
    """Return the keys of the peers, in hex, each once. Raises ConfigError."""
    return list(dict.fromkeys(public_key(text, "bridge.peers") for text in section.peers))


@dataclass(frozen=True, slots=True, kw_only=True)
class Post:
    """What of a node speaks with people, agents and authors by relays. `outbox`: any gateway's."""

    outbox: Outbox
    gateway: NostrGateway | None
    tasking: Tasking | None
    bridge: Bridge
    sights: NostrSights
    whereabouts: Whereabouts | None
    """None unless lists of others are followed: then nobody is asked where anybody is."""
    wraps: Wraps
    journal: Journal

    async def run(self) -> None:
        """Run all of it until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self.bridge.run())
            group.create_task(self.sights.run())
            group.create_task(withdrawing.run(self.wraps, self.journal))
            if self.gateway is not None:
                group.create_task(self.gateway.run())
            if self.whereabouts is not None:
                group.create_task(self.whereabouts.run())

    async def close(self) -> None:
        """Close what remembers."""
        if self.gateway is not None:
            await self.gateway.close()
        await self.wraps.close()


def make_nostr(
    opened: Opened,
    pool: RelayPool,
    relay: Relay | None,
    journal: Journal,
    gateway: Gateway,
    tooling: Tooling,
    release: Release,
    approval: PatchApproval,
    fleet: FleetNode,
) -> Post:
    """Make all of it; the gateway only if node.toml switches it on.

    Without peers and interval the bridge reports artifacts and no more.
    """
    section, name = opened.config.bridge, opened.lineage.genesis.name
    signer = NostrSigner(opened.keys.nostr.secret)

    def alive() -> str:
        """What relays know already, from the newest head's own publication."""
        head = release.newest
        return f"{name} is alive. Head {head.size}, {head.root.hex()[:16]}."

    bridge = Bridge(
        opened.log,
        signer,
        pool,
        peers=peers_of(section),
        heartbeat_s=section.heartbeat_s,
        words=alive,
    )
    wraps = withdrawing.make_wraps(
        opened.home, journal, None if relay is None else relay.withdraw, pool.withdraw
    )
    roles = roles_of(opened.config.gateways.nostr)
    sights = NostrSights(pool)
    whereabouts = make_whereabouts(opened.config, pool, roles, sights, fleet)
    find = sights.find = None if whereabouts is None else whereabouts.find
    mailbox, outbox = _mailbox(opened, pool, signer, wraps, find), Outbox(journal)
    tasking = None if mailbox is None else Tasking(mailbox, signer, opened.log, roles=roles)
    return Post(
        outbox=outbox,
        gateway=None
        if mailbox is None
        else NostrGateway(
            mailbox,
            signer,
            journal,
            gateway,
            outbox,
            tooling.approvals,
            roles=roles,
            tasking=tasking,
            patches=PatchWords(approval=approval, signer=signer),
        ),
        tasking=tasking,
        bridge=bridge,
        sights=sights,
        whereabouts=whereabouts,
        wraps=wraps,
        journal=journal,
    )


def make_whereabouts(
    config: Config, pool: RelayPool, roles: Collection[str], sights: NostrSights, fleet: FleetNode
) -> Whereabouts | None:
    """Make what knows where people are: who may talk, peers, members, whom jobs follow."""
    if not config.publish.follow:
        return None
    named = (*roles, *peers_of(config.bridge))

    def people() -> list[str]:
        members = fleet.fleet.manifest.members if fleet.fleet else ()
        others = [one.nostr.hex() for one in members if one.ledger != fleet.own.ledger]
        return [*named, *others, *sights.authors()]

    return Whereabouts(pool=pool, people=people, at=config.gateways.nostr.relays)


def _mailbox(
    opened: Opened, pool: Pool, signer: NostrSigner, wraps: Wraps, find: Find | None
) -> Mailbox | None:
    """Open the mailbox, if the gateway is on.

    A recovered log may have lost what was said after its kept head, so a new epoch opens everything
    that relays hold once more: what the log does not know is taken again.
    """
    section = opened.config.gateways.nostr
    if not section.enabled:
        return None
    return Mailbox(
        pool,
        signer,
        SqliteHandled(opened.home.path / f"sealed-{opened.lineage.epoch}.db"),
        relays=section.relays,
        clock=lambda: now_ms() // 1000,
        wraps=wraps,
        find=find,
    )
