"""The relay pool as node.toml has it, and what the node says of it."""

import random

from mesh.core.nip01 import NostrSigner, UnsignedEvent, VerifiedEvent
from mesh.core.pool.minting import Reminter
from mesh.core.pool.routes import RELAY_LIST_KIND, may_follow, relay_list_tags, relay_url
from mesh.pool.book import RelayBook
from mesh.pool.port import Pool
from mesh.pool.relays import PoolSettings, RelayPool
from mesh.pool.sqlite_outbox import SqliteOutbox
from mesh.sealed.mailbox import keys_of_wraps
from mesh.souls import without_file
from node.config import PublishSection
from node.home import Home
from node.open import now_ms


def own_list(section: PublishSection, signer: NostrSigner, *, now: int) -> VerifiedEvent | None:
    """Return our own relay list (NIP-65, kind 10002): where we write and where we read.

    Only addresses that a stranger could follow, and those of `follow_hosts`: others would tell of
    our network and lead nowhere. None if there is none.
    """
    write, read = (
        [url for url in map(relay_url, urls) if may_follow(url, section.follow_hosts)]
        for urls in (section.relays, (*section.relays, *section.read))
    )
    tags = relay_list_tags(read, write)
    if not tags:
        return None
    unsigned = UnsignedEvent(pubkey=signer.pubkey, created_at=now, kind=RELAY_LIST_KIND, tags=tags)
    return signer.sign(unsigned)


async def announce(pool: Pool, section: PublishSection, signer: NostrSigner) -> None:
    """Say where we write and read, so that who follows lists finds what is ours."""
    event = own_list(section, signer, now=now_ms() // 1000)
    if event is not None:
        await pool.publish(event, item="relays", droppable=True)


def make_pool(home: Home, section: PublishSection, signer: NostrSigner) -> RelayPool:
    """Make the pool; it dials nobody before it runs, and nobody at all if no relay is named."""
    settings = PoolSettings(
        write=section.relays,
        read=section.read,
        follow=section.follow,
        hosts=section.follow_hosts,
        authenticate=section.authenticate,
        check_seconds=section.check_s,
    )
    return RelayPool(
        settings,
        SqliteOutbox(home.outbox),
        RelayBook(home.path / "relays.db"),
        jitter=random.random,
        clock=lambda: now_ms() // 1000,
        signer=signer,
        remint=Reminter(signer=signer, once=keys_of_wraps(signer), shrink=(without_file,)),
    )
