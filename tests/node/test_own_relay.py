"""Who may write to a node's own relay: its fleet, as the newest manifest has it."""

from dataclasses import replace

from mesh.core.fleet.manifest import VOTER, WITNESS, sign_manifest
from mesh.core.relay.policy import WritePolicy
from node.fleet.members import signed_first
from node.fleet.own_relay import admit_members
from node.fleet.proposals import next_manifest
from tests.mesh.peers import ALICE, make, serving
from tests.mesh.test_manifest import OPERATOR, member, signer
from tests.mesh.wire import as_object, client
from tests.node.test_join_relays import URL, part

OWN = frozenset({signer("founder").public.hex(), ALICE.pubkey})
ONE = member("one", VOTER, WITNESS)


def keys(*members):
    return OWN | {one.nostr.hex() for one in members}


async def changed(node, *, add=(), remove=(), approving=()):
    gone = {one.ledger for one in remove}
    made = next_manifest(node.fleet.manifest, add=list(add), remove=gone)
    signed = sign_manifest(made, OPERATOR).approved(*map(signer, approving))
    await node.take(signed.encode(), approve=True)


async def test_members_may_write_from_a_manifest_to_the_next(tmp_path):
    """What else the policy says stays; where this node is of the fleet no more, they may not."""
    policy = WritePolicy(authors=OWN, strangers_work_bits=9, callees=frozenset({"x"}))
    async with serving(policy=policy) as (relay, _), part(tmp_path, "founder") as founder:
        node = founder.node
        admit_members(relay, node, OWN)
        assert relay.policy == policy
        await node.take(signed_first(node.draft(URL), OPERATOR).encode(), approve=True)
        assert relay.policy == policy
        await changed(node, add=[ONE, member("two")])
        assert relay.policy == replace(policy, authors=keys(ONE, member("two")))
        await changed(node, remove=[member("two")])
        assert relay.policy.authors == keys(ONE)
        async with serving(policy=policy) as (again, _):  # as after a start
            admit_members(again, node, OWN)
            assert again.policy.authors == keys(ONE)
            await changed(node, remove=[node.own], approving=["one"])
            assert again.policy == policy


async def test_a_member_that_is_removed_may_not_on_its_open_connection_either(tmp_path):
    policy = WritePolicy(authors=OWN)
    key = signer("one")
    async with serving(policy=policy) as (relay, url), part(tmp_path, "founder") as founder:
        node = founder.node
        admit_members(relay, node, OWN)
        await node.take(signed_first(node.draft(URL), OPERATOR).encode(), approve=True)
        async with client(url) as wire:

            async def said(content):
                author = type(ALICE)(key.secret)
                await wire.send("EVENT", as_object(make(author, content=content)))
                _, _, taken, why = (await wire.until("OK"))[-1]
                return taken or why.partition(":")[0]

            assert await said("before") == "blocked"
            await changed(node, add=[ONE])
            assert await said("as a member") is True
            await changed(node, remove=[ONE], approving=["one"])
            assert await said("after") == "blocked"
