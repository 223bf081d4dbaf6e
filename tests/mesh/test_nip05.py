"""NIP-05: nostr-sdk reads our document, and our relay serves it."""

import json

import aiohttp
import nostr_sdk
import pytest

from mesh.core import nip05
from tests.mesh.peers import ALICE, serving

URL = "wss://agent.example/"


@pytest.mark.parametrize(
    ("name", "local"),
    [("Timmy", "timmy"), ("Anna Maria", "anna-maria"), ("żółw", "w"), ("🐢", ""), ("a.b_c-1", "a.b_c-1")],
)  # fmt: skip
def test_a_name_is_spelt_as_the_nip_wants_it(name, local):
    assert nip05.local_part(name) == local


@pytest.mark.parametrize("asked", ["timmy", "Timmy", "_"])
def test_nostr_sdk_finds_the_key_and_the_relays(asked):
    address = nostr_sdk.Nip05Address.parse(f"{asked.lower()}@agent.example")
    document = nip05.document("Timmy", ALICE.pubkey, (URL,), asked=asked).decode()
    key = nostr_sdk.PublicKey.parse(ALICE.pubkey)
    assert nostr_sdk.nip05_verify_from_json(key, address, document)
    profile = nostr_sdk.Nip05Profile.from_json(address, document)
    assert profile.public_key() == key
    assert [str(one).rstrip("/") for one in profile.relays()] == [URL.rstrip("/")]
    other = nostr_sdk.PublicKey.parse("11" * 32)
    assert not nostr_sdk.nip05_verify_from_json(other, address, document)


@pytest.mark.parametrize("asked", ["mallory", "", "timmy\x00", "t" * 10_000])
def test_another_name_is_nobodys(asked):
    assert json.loads(nip05.document("Timmy", ALICE.pubkey, (URL,), asked=asked)) == {"names": {}}


async def test_the_relay_serves_it_to_everybody():
    async with serving(urls=(URL,)) as (_, url), aiohttp.ClientSession() as http:
        address = url.replace("ws:", "http:").rstrip("/") + nip05.PATH
        async with http.get(address, params={"name": "test"}) as answer:
            assert answer.headers["Access-Control-Allow-Origin"] == "*"
            assert answer.status == 200
            found = await answer.json()
        assert found == {"names": {"test": ALICE.pubkey}, "relays": {ALICE.pubkey: [URL]}}
        async with http.get(address) as answer:
            assert (await answer.json())["names"] == {"_": ALICE.pubkey, "test": ALICE.pubkey}
