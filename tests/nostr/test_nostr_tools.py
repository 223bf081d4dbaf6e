"""Our relay and our sealed messages with npm nostr-tools, which web clients of Nostr are made of."""

import asyncio
import json
import time
from contextlib import asynccontextmanager

import pytest

from mesh.core import limits, nip17, nip44, nip59
from mesh.core.errors import TooLong
from mesh.core.nip01 import Event, verify
from mesh.core.nip59 import Chance
from mesh.core.relay.policy import WritePolicy
from mesh.relay.sqlite import SqliteEventStore
from mesh.relay.store import MemoryEventStore
from mesh.sealed.handled import MemoryHandled
from mesh.sealed.mailbox import Mailbox
from tests.mesh.peers import ALICE, BOB, CAROL, NOW, as_object, make, serving
from tests.mesh.pools import pooling
from tests.nostr.tools import Failed, absence, nostr_tools

if why := absence():
    pytest.skip(f"nostr-tools is not tried: {why}", allow_module_level=True)

OPEN = WritePolicy(authors=None)
INBOX = WritePolicy(authors=frozenset({ALICE.pubkey, BOB.pubkey}), inbox_work_bits=0)
SECRET = BOB.secret.hex()
TEXTS = ["a", "żółw 🐢", "\x00\x7f\u2028", "x" * 32, "y" * 33, "z" * limits.NIP44_WRITE_BYTES_MAX]


def now() -> int:
    """The real clock: nostr-tools signs and wraps by it."""
    return int(time.time())


NOTE = {"kind": 1, "created_at": NOW, "tags": [["t", "tea"]], "content": 'from the web\n\t"é"'}


@pytest.fixture
async def tools():
    async with nostr_tools() as found:
        yield found


async def test_it_publishes_reads_counts_and_listens(tools, tmp_path):
    store = SqliteEventStore(tmp_path / "relay.db")
    async with serving(store, policy=OPEN) as (_, url):
        event = await tools("sign", template=NOTE, secret=SECRET)
        assert verify(Event.from_json(json.dumps(event))).pubkey == BOB.pubkey
        assert await tools("publish", url=url, event=event) == ""
        said = await tools("publish", url=url, event=event)
        assert said.startswith("duplicate:")
        for wanted in ({"ids": [event["id"]]}, {"#t": ["tea"]}, {"authors": [BOB.pubkey]}):
            found = await tools("read", url=url, filter=wanted)
            assert (found["events"], found["reasons"]) == ([event], [])
        assert await tools("count", url=url, filters=[{"kinds": [1]}]) == 1
        late = await tools("sign", template=NOTE | {"content": "live"}, secret=SECRET)
        assert await tools("live", url=url, filter={"ids": [late["id"]]}, event=late) == late


async def test_our_events_are_good_for_it(tools):
    ours = make(content='\u2028 \\ " / é 🐢\r\n\t\b\f', tags=(("t", "ü"), ("d",)))
    assert await tools("verify", event=as_object(ours)) is True
    assert await tools("verify", event=as_object(ours) | {"content": "other"}) is False


async def test_what_we_refuse_it_tells_its_user(tools):
    async with serving(policy=WritePolicy(authors=frozenset({ALICE.pubkey}))) as (_, url):
        event = await tools("sign", template=NOTE, secret=SECRET)
        with pytest.raises(Failed, match=r"^blocked: this relay keeps events of its own fleet"):
            await tools("publish", url=url, event=event)


async def test_it_authenticates_when_it_is_asked(tools):
    """NIP-42, for reading gift wraps and for a protected event (NIP-70)."""
    wrap = make(CAROL, kind=1059, tags=(("p", BOB.pubkey),))
    store = MemoryEventStore()
    store.add([wrap], now=NOW)
    wanted = {"kinds": [1059], "#p": [BOB.pubkey]}
    async with serving(store, policy=INBOX, clock=now) as (_, url):
        found = await tools("read", url=url, filter=wanted)
        assert found["events"] == []
        assert found["reasons"][0].startswith("auth-required:")
        found = await tools("read", url=url, filter=wanted, secret=ALICE.secret.hex())
        assert found["events"] == []
        found = await tools("read", url=url, filter=wanted, secret=SECRET)
        assert found["events"] == [as_object(wrap)]
        protected = await tools("sign", template=NOTE | {"tags": [["-"]]}, secret=SECRET)
        with pytest.raises(Failed, match=r"^auth-required:"):
            await tools("publish", url=url, event=protected)
        assert await tools("publish", url=url, event=protected, secret=SECRET) == ""


async def test_it_reconciles_with_our_relay(tools):
    """NIP-77, by other people's code on the asking side, in both directions."""
    events = [make(at=NOW + at // 3, content=str(at)) for at in range(400)]
    theirs = [make(BOB, at=NOW + at, content=str(at)) for at in range(30)]
    store = MemoryEventStore()
    store.add(events, now=NOW)
    held = [[event.created_at, event.id] for event in [*events[40:], *theirs]]
    async with serving(store) as (_, url):
        found = await tools("reconcile", url=url, filter={"kinds": [1]}, held=held)
    assert set(found["have"]) == {event.id for event in theirs}
    assert set(found["need"]) == {event.id for event in events[:40]}


async def test_a_refused_reconciliation_looks_to_it_like_an_equal_set(tools):
    """A quirk of 2.25: NEG-ERR ends its sync without a reason. Nothing of ours can tell it."""
    async with serving() as (_, url):
        bad = {"kinds": ["no kind"]}
        found = await tools("reconcile", url=url, filter=bad, held=[[NOW, "ab" * 32]])
    assert found == {"have": [], "need": []}


async def test_payloads_are_the_same_both_ways(tools):
    """NIP-44: byte for byte, with one nonce, and opened by the other side."""
    nonce = bytes(range(32))
    key = nip44.conversation_key(ALICE.secret, BOB.pubkey)
    given = {"pubkey": ALICE.pubkey, "secret": SECRET}
    for text in TEXTS:
        ours = nip44.encrypt(key, text, nonce)
        assert await tools("encrypt", text=text, nonce=nonce.hex(), **given) == ours
        assert await tools("decrypt", payload=ours, **given) == text


async def test_long_payloads_of_it_are_read_and_never_written(tools):
    """Beyond 65,535 bytes the length takes six bytes, which nostr-sdk cannot read."""
    text = "é" * 40_000
    given = {"pubkey": ALICE.pubkey, "secret": SECRET}
    payload = await tools("encrypt", text=text, nonce="07" * 32, **given)
    key = nip44.conversation_key(ALICE.secret, BOB.pubkey)
    assert nip44.decrypt(key, payload) == text
    with pytest.raises(TooLong):
        nip44.encrypt(key, text, bytes(32))


async def test_wraps_open_both_ways(tools):
    """NIP-17 and 59, without a relay: sender, words and room are the same on both sides."""
    theirs = await tools("message", secret=SECRET, pubkey=ALICE.pubkey, text="żółw")
    read = nip17.read(nip59.open_wrap(verify(Event.from_json(json.dumps(theirs))), ALICE))
    assert (read.author, read.text) == (BOB.pubkey, "żółw")
    assert read.room == {ALICE.pubkey, BOB.pubkey}
    rumor = nip17.write(ALICE.pubkey, [BOB.pubkey], "and back 🐢", now=NOW)
    ours = nip59.wrap(rumor, ALICE, BOB.pubkey, Chance.derived(bytes(32), b"x"), now=NOW)
    opened = await tools("unwrap", wrap=as_object(ours), secret=SECRET)
    assert opened == json.loads(rumor.to_json())


@asynccontextmanager
async def mailbox(url):
    """Alice's mailbox on a real pool, and the letters that come."""
    letters: asyncio.Queue = asyncio.Queue()
    async with pooling(url, clock=now) as pool:
        box = Mailbox(pool, ALICE, MemoryHandled(), relays=(url,), clock=now)
        async with asyncio.TaskGroup() as group:
            running = group.create_task(box.run(letters.put))
            try:
                yield box, letters
            finally:
                running.cancel()
        await box.close()


async def test_a_conversation_through_our_relay(tools):
    """A person with a web client and an agent write to each other; the relay wants to know both."""
    async with serving(policy=INBOX, clock=now) as (_, url), mailbox(url) as (box, letters):
        inbox = {"kind": 10050, "created_at": now(), "tags": [["relay", url]], "content": ""}
        event = await tools("sign", template=inbox, secret=SECRET)
        assert await tools("publish", url=url, event=event) == ""
        wrap = await tools("message", secret=SECRET, pubkey=ALICE.pubkey, text="are you there?")
        assert await tools("publish", url=url, event=wrap, secret=SECRET) == ""
        async with asyncio.timeout(60):
            letter = await letters.get()
        assert (letter.author, letter.text) == (BOB.pubkey, "are you there?")
        rumor = nip17.write(ALICE.pubkey, [letter.author], "I am", now=now())
        await box.send(rumor)
        wanted = {"kinds": [1059], "#p": [BOB.pubkey]}
        found = {"events": []}
        async with asyncio.timeout(60):
            while not found["events"]:
                found = await tools("read", url=url, filter=wanted, secret=SECRET)
        opened = await tools("unwrap", wrap=found["events"][0], secret=SECRET)
        assert (opened["pubkey"], opened["content"]) == (ALICE.pubkey, "I am")
