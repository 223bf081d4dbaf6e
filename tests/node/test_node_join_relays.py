"""Newcomers as processes that were given a relay, and no address: they find the whole fleet."""

import os

import pytest

from mesh.core.fleet.joining import Token
from tests.node.test_node_fleet import WAIT, fleet, me, there
from tests.node.world import SETTINGS, Node, until
from tests.nostr.relays import PYPI, absence, pypi_relay
from tests.ports import free_port

QUICK = f"{SETTINGS}\n[witness]\ninterval_s = 1\n"


def settings(number, more=""):
    """Of a node that names a privileged port as its address: who asks there asks nobody."""
    text = f'url = "http://127.0.0.1:{number}"' if number else ""
    return QUICK.replace("[api]", f"[api]\n{text}") + more


@pytest.fixture
def founding(born_seed, tmp_path):
    """Found a fleet of one node, with settings."""
    made = []

    def begin(text=QUICK):
        home = born_seed.copy(tmp_path / "founder").configure(text)
        made.append(home)
        node = home.start()
        home.run("mesh", "found").good()
        return node

    yield begin
    for home in made:
        home.end()


def relay_of(node):
    return f"ws://127.0.0.1:{node.port}"


def invited(founder, *relays, roles="home,jobs"):
    """A token that names relays, and nothing else."""
    named = [word for one in relays for word in ("--relay", one)]
    token = founder.home.run("mesh", "invite", *named, "--roles", roles).good().out.strip()
    found = Token.parse(token)
    assert (found.url, found.relays) == ("", relays)
    return token


def asking(place, name, token, text=QUICK):
    """A newcomer that has the token from its standard input."""
    home = place(name).configure(text)
    home.run("init", "--name", name).good()
    return started(home, token)


def started(home, token):
    node = Node.__new__(Node)
    node.home, node.port = home, 0
    node.said, node.complained = home.root / "run.out", home.root / "run.err"
    read, write = os.pipe()
    os.write(write, token.encode() + b"\n")
    os.close(write)
    with node.said.open("wb") as out, node.complained.open("wb") as err, os.fdopen(read) as given:
        node.process = home.popen("run", "--join", "-", stdin=given, stdout=out, stderr=err)
    home._nodes.append(node)
    node.wait_until_ready()
    return node


def admitted(founder, node, name):
    until(lambda: [one["name"] for one in fleet(founder)["waiting"]] == [name], WAIT, "it asks")
    founder.home.run("mesh", "admit", name).good()
    until(lambda: me(node) is not None, WAIT, "it is taken in")
    return node


def names(node):
    return {one["name"] for one in fleet(node)["members"]}


def test_a_newcomer_given_one_relay_finds_the_rest(founding, place):
    """One by the relay of who invites, as it comes; the next by that of another member."""
    founder = founding()
    more = '\n[relay]\ninbox = "public"\n'
    one = asking(place, "one", invited(founder, relay_of(founder)), settings(0, more))
    admitted(founder, one, "one")
    two = asking(place, "two", invited(founder, relay_of(one)))
    admitted(founder, two, "two")
    for node in (founder, one, two):
        until(lambda node=node: there(node, 3), WAIT, "all three are there")
    assert len({fleet(node)["digest"] for node in (founder, one, two)}) == 1
    assert not list((two.home.path / "fleet").glob("token"))


def test_somebody_else_s_relay_is_enough(founding, place, tmp_path):
    """No address of the manifest leads anywhere: all that a newcomer knows came by the relay."""
    if why := absence(PYPI):
        pytest.skip(why)
    (tmp_path / "relay").mkdir()
    with pypi_relay(tmp_path / "relay") as relay:
        founder = founding(settings(1))
        tokens = []
        for number, name in enumerate(("one", "two"), 2):
            tokens.append(invited(founder, relay.url))
            node = asking(place, name, tokens[-1], settings(number))
            admitted(founder, node, name)
        assert names(node) == names(founder)
        assert len(names(node)) == 3
        again = place("three").configure(settings(4))
        again.run("init", "--name", "three").good()
        told = unheard(started(again, tokens[0]))
        assert "the inviter refuses: this invitation is unknown, used or over" in told.out
        assert "timmy: hint: ask for another" in told.err
    kept = b"".join(file.read_bytes() for file in (tmp_path / "relay").glob("*.sqlite3*"))
    for one in map(Token.parse, tokens):
        assert one.inviter.hex().encode() in kept, "this relay keeps what it should not"
        for secret in (one.secret, one.fleet_id):
            assert secret not in kept
            assert secret.hex().encode() not in kept


def unheard(node):
    """What `timmy mesh members` says once a newcomer was not answered, or refused."""
    until(lambda: fleet(node)["unheard"], WAIT, "it says so")
    return node.home.run("mesh", "members").good()


def test_a_newcomer_without_an_answer_says_so_and_lives(founding, place):
    """The relay is gone when he asks; nor is it put into another token."""
    founder = founding()
    dead = f"ws://127.0.0.1:{free_port()}"
    refused = founder.home.run("mesh", "invite", "--relay", dead)
    refused.refused(f"{dead} does not answer", "timmy mesh relays")
    founder.home.run("mesh", "invite", "--relay", "http://x").refused("not the URL of a relay")
    token = invited(founder, relay_of(founder))
    address = relay_of(founder)
    founder.stop()
    one = asking(place, "one", token)
    told = unheard(one)
    assert "it waits to be taken in" in told.out
    assert f"nobody answered within 15 s; {address} is not reached" in told.out
    assert "timmy: hint: does the inviter's node run" in told.err
    assert one.status()["pid"] == one.process.pid
    home = place("other").configure()
    home.run("init").good()
    home.run("run", "--join", "-", stdin=b"timmy-join-nonsense").refused("cut short or mistyped")
    home.run("run", "--join", "-", stdin=b"").refused("a token begins with")
