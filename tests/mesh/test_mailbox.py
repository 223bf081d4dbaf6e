"""Sealed messages through a pool: what comes in once, what goes out, and to whom."""

import asyncio
import json
from contextlib import asynccontextmanager

import nostr_sdk
import pytest
from structlog.testing import capture_logs

from mesh.core import envelope, nip17, nip59
from mesh.core.envelope import Task
from mesh.core.nip01 import Event, NostrSigner, verify
from mesh.core.nip59 import Chance, Rumor
from mesh.pool.port import MemoryPool, QueueFull
from mesh.sealed.handled import MemoryHandled
from mesh.sealed.mailbox import Letter, Mailbox, NoInbox
from tests.mesh.peers import ALICE, BOB, NOW, make, serving
from tests.mesh.pools import pooling

EVE = NostrSigner(bytes([3]) * 32)
OURS = ("ws://127.0.0.1:1",)
HERS = ("ws://127.0.0.1:2", "ws://127.0.0.1:3")


class Watched(MemoryPool):
    """The memory pool, which also remembers where each event was sent."""

    def __init__(self):
        super().__init__()
        self.sent = []
        self.asked = 0

    async def publish(self, event, *, to=None, item="", droppable=False):
        self.sent.append((event, to))
        return await super().publish(event, to=to, item=item, droppable=droppable)

    async def fetch(self, filters, *, at=None):
        self.asked += 1
        return await super().fetch(filters, at=at)


class Post:
    """Alice's mailbox, with what came."""

    def __init__(self, pool=None, seen=None, clock=None):
        self.pool = pool or Watched()
        self.seen = seen or MemoryHandled()
        self.seconds = NOW
        self.box = Mailbox(
            self.pool, ALICE, self.seen, relays=OURS, clock=clock or (lambda: self.seconds)
        )
        self.letters: list[Letter] = []
        self.came = asyncio.Condition()

    async def take(self, letter):
        async with self.came:
            self.letters.append(letter)
            self.came.notify_all()

    @asynccontextmanager
    async def open(self):
        async with asyncio.TaskGroup() as group:
            running = group.create_task(self.box.run(self.take))
            try:
                async with asyncio.timeout(60):
                    yield self
            finally:
                running.cancel()
        await self.box.close()

    async def until(self, count):
        async with self.came:
            await self.came.wait_for(lambda: len(self.letters) >= count)

    async def dealt_with(self, count):
        while len(self.seen.known()) < count:
            await asyncio.sleep(0.005)


def sealed(text, *, author=BOB, to=ALICE, name=b"", **more):
    rumor = nip17.write(author.pubkey, [to.pubkey], text, now=NOW)
    return nip59.wrap(
        rumor, author, to.pubkey, Chance.derived(bytes(32), name + text.encode()), now=NOW, **more
    )


async def test_letters_come_whatever_their_date_and_once_dealt_with_never_again():
    seen, pool = MemoryHandled(), Watched()
    async with Post(pool, seen).open() as post:
        for text in ("one", "two"):
            await pool.publish(sealed(text))
        await post.dealt_with(2)
        assert [letter.text for letter in post.letters] == ["one", "two"]
        assert {letter.author for letter in post.letters} == {BOB.pubkey}
    await pool.publish(sealed("while nobody looked"))
    async with Post(pool, seen).open() as post:
        await post.dealt_with(3)
        assert [letter.text for letter in post.letters] == ["while nobody looked"]


async def test_what_was_not_dealt_with_comes_again():
    pool, post = Watched(), Post()
    post.pool = pool
    await pool.publish(sealed("hello"))
    box = Mailbox(pool, ALICE, post.seen, relays=OURS, clock=lambda: NOW)

    async def fail(_letter):
        raise OSError

    with pytest.raises(OSError):
        await box.run(fail)
    assert post.seen.known() == []
    await box.close()
    async with Post(pool, post.seen).open() as again:
        await again.until(1)


async def test_the_same_words_in_another_wrap_have_the_same_name():
    async with Post().open() as post:
        await post.pool.publish(sealed("hello"))
        await post.pool.publish(sealed("hello", name=b"again"))
        await post.dealt_with(2)
        assert len({letter.id for letter in post.letters}) == 1


async def test_live_calls_and_old_messages_are_read():
    payload = nostr_sdk.nip04_encrypt(
        nostr_sdk.Keys.parse(BOB.secret.hex()).secret_key(),
        nostr_sdk.PublicKey.parse(ALICE.pubkey), "old",
    )  # fmt: skip
    old = make(BOB, kind=4, tags=(("p", ALICE.pubkey),), content=payload)
    async with Post().open() as post:
        await post.pool.publish(old)
        await post.pool.publish(sealed("live", live=True))
        await post.until(2)
        assert [(one.text, one.author) for one in post.letters] == [
            ("old", BOB.pubkey),
            ("live", BOB.pubkey),
        ]
        assert post.letters[0].id == old.id
        await post.dealt_with(1)
        assert post.seen.known() == [(old.created_at, old.id)]


def task(author=BOB, to=ALICE):
    payload = Task(id="11" * 16, sent_at=NOW, text="look", to=to.pubkey)
    return envelope.sign(payload, conversation_id="22" * 16, signer=author, aux=bytes(32))


async def test_an_envelope_is_its_nodes_whoever_brings_it():
    async with Post().open() as post:
        for bearer in (BOB, EVE):
            rumor = envelope.carry(task(), bearer.pubkey, now=NOW)
            await post.pool.publish(
                nip59.wrap(
                    rumor, bearer, ALICE.pubkey, Chance.derived(bytes(32), bearer.public), now=NOW
                )
            )
        await post.until(2)
        assert [(one.author, one.envelope) for one in post.letters] == [(BOB.pubkey, task())] * 2
        assert len({one.id for one in post.letters}) == 1


async def test_what_cannot_be_opened_is_counted_and_does_not_stop_the_rest():
    strange = [
        make(EVE, kind=1059, tags=(("p", ALICE.pubkey),), content="nonsense"),
        make(EVE, kind=4, tags=(("p", ALICE.pubkey),), content="nonsense"),
        sealed("to another", to=EVE),
        nip59.wrap(
            envelope.carry(task(to=EVE), BOB.pubkey, now=NOW), BOB, ALICE.pubkey,
            Chance.derived(bytes(32), b"e"), now=NOW,
        ),
        nip59.wrap(
            Rumor(pubkey=BOB.pubkey, created_at=NOW, kind=7, content="+"), BOB, ALICE.pubkey,
            Chance.derived(bytes(32), b"r"), now=NOW,
        ),
    ]  # fmt: skip
    more = make(EVE, kind=1059, tags=(("p", ALICE.pubkey),), content="more nonsense")
    with capture_logs() as logs:
        async with Post().open() as post:
            for event in (*strange, more):
                await post.pool.publish(event)
            await post.pool.publish(sealed("good"))
            await post.until(1)
            await post.dealt_with(6)
            assert [one.text for one in post.letters] == ["good"]
            assert (post.box.opened, post.box.refused) == (1, 4)
    whys = [line["why"] for line in logs]
    assert {(line["event"], line["log_level"]) for line in logs} == {
        ("a sealed message is refused", "warning")
    }
    assert len(whys) == 2, "one of each kind of error"
    assert whys[0].startswith("payload of 8 characters")
    assert whys[1] == f"an envelope for {EVE.pubkey}"
    assert "look at" not in str(logs)


async def test_a_message_goes_to_her_relays_and_to_ours_only():
    post = Post()
    rumor = nip17.write(ALICE.pubkey, [BOB.pubkey], "hi", now=NOW)
    with pytest.raises(NoInbox, match="names no relays"):
        await post.box.send(rumor)
    assert post.pool.sent == []
    await post.pool.publish(nip17.mint_inbox(BOB, HERS, now=NOW))
    post.seconds += 61
    assert await post.box.send(rumor) == (*HERS, *OURS)
    [to_her, to_us] = post.pool.sent[1:]
    assert [to for _, to in (to_her, to_us)] == [HERS, OURS]
    assert nip17.read(nip59.open_wrap(to_her[0], BOB)).text == "hi"
    assert nip17.read(nip59.open_wrap(to_us[0], ALICE)).room == {ALICE.pubkey, BOB.pubkey}
    assert post.box.open(to_us[0]) is None  # our own copy is no letter to us


async def test_no_word_of_a_wrap_that_is_no_envelope_comes_into_the_log():
    """Of a decoder's complaint what it quotes is left out: it is what was sealed."""
    said = Rumor(
        pubkey=BOB.pubkey, created_at=NOW, kind=envelope.CARRIER_KIND,
        content='{"the key is under the mat":1}',
    )  # fmt: skip
    wrap = nip59.wrap(said, BOB, ALICE.pubkey, Chance.derived(bytes(32), b"m"), now=NOW)
    with capture_logs() as logs:
        async with Post().open() as post:
            await post.pool.publish(wrap)
            await post.dealt_with(1)
            assert post.box.refused == 1
    assert [line["why"] for line in logs] == ["not an envelope"]
    assert "mat" not in str(logs)


@pytest.mark.parametrize(
    "bad", ["wss://u:p@x.example", "wss://x.example/#a", "wss://a..b", "wss://x y"]
)
async def test_a_bad_relay_in_one_list_costs_only_itself(bad):
    """The real pool, which refuses a whole list for one such address."""
    async with serving() as (relay, url), pooling(url) as pool:
        ours, hers = url.rstrip("/"), HERS[0]
        await relay.publish(nip17.mint_inbox(BOB, [bad, ours, hers], now=NOW))
        await relay.publish(nip17.mint_inbox(EVE, [hers], now=NOW))
        box = Mailbox(pool, ALICE, MemoryHandled(), relays=(ours,), clock=lambda: NOW)
        rumor = nip17.write(ALICE.pubkey, [BOB.pubkey, EVE.pubkey], "hi", now=NOW)
        assert await box.send(rumor) == (ours, hers)
        await box.close()


async def test_sending_again_sends_the_same_events():
    found = []
    for _ in range(2):
        post = Post()
        await post.pool.publish(nip17.mint_inbox(BOB, HERS, now=NOW))
        post.seconds = NOW + 5 * len(found)
        await post.box.send(nip17.write(ALICE.pubkey, [BOB.pubkey], "hi", now=NOW))
        found.append(post.pool.sent[1:])
    assert found[0] == found[1]
    assert len({event.pubkey for event, _ in found[0]}) == 2  # a key for each wrap


async def test_lists_of_relays_are_believed_for_a_while_and_the_newest_counts():
    post = Post()
    await post.pool.publish(nip17.mint_inbox(BOB, HERS[:1], now=NOW - 5))
    await post.pool.publish(nip17.mint_inbox(BOB, HERS[1:], now=NOW))
    assert await post.box.inbox_of(BOB.pubkey) == HERS[1:]
    asked = post.pool.asked
    await post.pool.publish(nip17.mint_inbox(BOB, HERS, now=NOW + 1))
    assert await post.box.inbox_of(BOB.pubkey) == HERS[1:]
    assert post.pool.asked == asked
    post.seconds += 601
    assert await post.box.inbox_of(BOB.pubkey) == HERS


async def test_we_say_where_we_read():
    post = Post()
    await post.box.announce()
    assert [to for _, to in post.pool.sent] == [OURS, None]
    event = post.pool.sent[0][0]
    assert (event.kind, nip17.inbox_relays(event)) == (10050, OURS)
    assert verify(Event.from_object(json.loads(event.to_json()))).pubkey == ALICE.pubkey


async def test_a_full_queue_is_no_reason_to_end():
    class Full(Watched):
        async def publish(self, event, **more):
            raise QueueFull("no room")

    await Post(Full()).box.announce()
