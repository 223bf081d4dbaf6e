"""Nodes mirror each other's ledgers, as users run them: real processes, no relay."""

import json
import sys
from pathlib import Path

import pytest

from tests.ports import free_port

from .world import SETTINGS, Home, until

SECONDS = 60
STEERED = Path(__file__).parents[1] / "local" / "steered.py"


class Agent:
    """A home with an address of its own, and what others must know of it."""

    def __init__(self, root, name):
        self.home = Home(root / name)
        self.port = free_port()
        self.mesh = ""
        self.home.configure(self.settings())
        self.home.path.chmod(0o700)
        self.home.run("init", "--name", name, "--kit", str(root / f"{name}-kit.txt")).good()
        shown = self.home.run("--json", "soul", "show").good().json
        self.npub, self.ledger = shown["npub"], shown["ledger"]

    def settings(self):
        return SETTINGS.replace("port = 0", f"port = {self.port}") + self.mesh

    def knows(self, *, members=(), mirrors=(), peers=(), watchers=(), leaves=()):
        self.mesh = "[mesh]\n" + "".join(
            f"{key} = {json.dumps([getattr(one, of) for one in found])}\n"
            for key, of, found in (
                ("members", "npub", members), ("watchers", "npub", watchers),
                ("mirror", "ledger", mirrors), ("mirror_leaves", "ledger", leaves),
            )
        )  # fmt: skip
        for one in peers:
            self.mesh += f'[[mesh.peers]]\nurl = "{one.url}"\nnpub = "{one.npub}"\n'
        self.home.configure(self.settings())

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    def mirror(self, other):
        """The folder of a mirror, as a home that commands read."""
        found = Home(self.home.root / f"mirror-{other.ledger[:8]}")
        if not found.root.exists():
            found.root.mkdir()
            found.path.symlink_to(self.home.path / "mirrors" / other.ledger)
        return found


@pytest.fixture
def agents(tmp_path):
    made = []

    def make(name):
        made.append(Agent(tmp_path, name))
        return made[-1]

    yield make
    for agent in made:
        agent.home.end()


def row(node, other):
    [found] = [
        one for one in node.request("GET", "/v1/mirrors").json if one["ledger"] == other.ledger
    ]
    return found


def catches_up(node, other, size):
    until(lambda: row(node, other)["size"] >= size, SECONDS, f"{size} events are mirrored")


def fault(node, other, asked):
    """What is wrong with one source of a mirror; nothing, where it was not asked yet."""
    of = {one["url"]: one["fault"] for one in row(node, other)["sources"]}
    return of.get(asked.url) or ""


def test_a_life_goes_on_from_its_mirror(agents, tmp_path):
    """A appends, redacts and hands over; B is killed meanwhile; A is lost; C is made of B's copy."""
    ada, bob = agents("Ada"), agents("Bob")
    ada.knows(members=[bob])
    bob.knows(mirrors=[ada], peers=[ada])
    with ada.home.running() as a:
        for number in range(6):
            a.say(f"the roof leaks, she said {number} times")
        secret = a.say("the safe opens with swordfish")["message"]["position"]
        b = bob.home.start()
        catches_up(b, ada, a.request("GET", "/v1/head").json["size"])
        copy = bob.mirror(ada)
        assert "swordfish" in copy.run("show", str(secret)).good().out
        assert copy.run("--json", "search", "swordfish").good().json
        a.say("one more, while the mirror is being killed")
        b.kill9()
        ada.home.run("redact", str(secret), "--yes", "--reason", "private").good()
        size = a.request("GET", "/v1/head").json["size"]
        b = bob.home.start()
        catches_up(b, ada, size)
        assert "swordfish" not in copy.run("show", str(secret)).good().out
        assert copy.run("--json", "search", "swordfish").json == []
        left = [
            path
            for path in (bob.home.path / "mirrors").rglob("*")
            if path.is_file() and b"swordfish" in path.read_bytes()
        ]
        assert left == []
    ada.home.run(
        "handoff", "--kit", str(tmp_path / "Ada-kit.txt"), "--new-kit", str(tmp_path / "new.txt")
    ).good()
    with ada.home.running() as a:
        a.say("signed with new keys")
        head = a.request("GET", "/v1/head").json
        catches_up(b, ada, head["size"])
    # Ada's machine is gone
    shown = bob.home.run("mesh", "mirrors").good().out
    assert f"{ada.ledger}  {head['size']} events, all there were" in shown
    doctor = {one["name"]: one for one in bob.home.run("--json", "doctor").json}
    assert doctor["mirrors"]["ok"] in (True, None)
    b.stop()
    checked = copy.run("--json", "verify").good().json
    assert checked["verdict"] == "UNBROKEN-PENDING"
    copy.run("prove", "3", "-o", str(tmp_path / "three.proof")).good()
    soul = bob.home.path / "mirrors" / ada.ledger / "SOUL.md"
    assert soul.read_bytes() == (ada.home.path / "SOUL.md").read_bytes()
    bob.home.run("verify", str(tmp_path / "three.proof"), "--soul", str(soul)).good()
    copy.run("log", "--last", "3").good()
    copy.run("export", "-o", str(tmp_path / "ada.bundle")).good()
    bob.home.run("verify", str(tmp_path / "ada.bundle")).good()
    again = Home(tmp_path / "again")
    made = again.run("--json", "import", str(tmp_path / "ada.bundle")).good().json
    assert made["events"] >= head["size"]
    assert "signed with new keys" in again.run("log", "--type", "message").good().out


def test_a_mirror_is_copied_from_a_mirror_and_by_nobody_else(agents):
    ada, bob, cid, eve = (agents(name) for name in ("Ada", "Bob", "Cid", "Eve"))
    ada.knows(members=[bob], watchers=[cid])
    bob.knows(mirrors=[ada], peers=[ada], members=[cid])
    cid.knows(mirrors=[ada], peers=[ada, bob])
    eve.knows(mirrors=[ada], peers=[ada, bob])
    with bob.home.running() as b:
        with ada.home.running() as a:
            a.say("words for the fleet")
            size = a.request("GET", "/v1/head").json["size"]
            catches_up(b, ada, size)
        with cid.home.running() as c:
            catches_up(c, ada, size)
            until(lambda: fault(c, ada, ada).startswith("unreachable"), SECONDS, "Ada is gone")
            assert fault(c, ada, bob) == ""
        with eve.home.running() as e:
            until(lambda: fault(e, ada, bob).startswith("refused: 403"), SECONDS, "she is refused")
            assert row(e, ada)["events"] == 0
        assert bob.home.logged.count("it may not read head") == 1, "however often she asks"
        assert b.request("GET", f"/v1/mesh/logs/{ada.ledger}/head", token="").status == 401
        assert b.request("GET", "/v1/mirrors", token="").status == 401


@pytest.mark.parametrize("minutes", [59, -59])
def test_a_clock_that_is_most_of_an_hour_off_keeps_nobody_from_a_copy(agents, tmp_path, minutes):
    """Bob's clock: he copies Ada and tells of heads, and her old copy hears that he has more."""
    ada, bob = agents("Ada"), agents("Bob")
    ada.knows(members=[bob], peers=[bob])
    bob.knows(mirrors=[ada], peers=[ada], members=[ada])
    clock = tmp_path / "clock"
    clock.write_text(str(minutes * 60_000))
    old = ada.home.copy(tmp_path / "old")
    b = bob.home.start(wrapper=(sys.executable, str(STEERED), str(clock), "60"))
    with ada.home.running() as a:
        a.say("words for the fleet")
        catches_up(b, ada, a.request("GET", "/v1/head").json["size"])
        assert fault(b, ada, ada) == ""

        def told():
            """A head that the other has by its mirror already is not one that it heard of."""
            a.say("and more")
            return a.status()["gossip"]["heard"] or b.status()["gossip"]["heard"]

        until(told, SECONDS, "a head is told")
    old.run("run").refused(f"recover --from-mirror {bob.url}")
    old.run("recover", "--from-mirror", bob.url).good()
    assert "words for the fleet" in old.run("log", "--type", "message").good().out
    assert "dated" not in (bob.home.path / "logs/node.log").read_text()
    old.end()


def test_a_mirror_is_read_and_never_written(agents):
    ada, bob = agents("Ada"), agents("Bob")
    ada.knows(members=[bob])
    bob.knows(mirrors=[ada], peers=[ada])
    with ada.home.running() as a, bob.home.running() as b:
        a.say("words")
        catches_up(b, ada, 5)
    copy = bob.mirror(ada)
    before = copy.path.joinpath("ledger.db").read_bytes()
    copy.run("run").refused("mirror")
    copy.run("recover", "--kit", str(ada.home.root.parent / "Ada-kit.txt"), "--yes").refused()
    assert copy.path.joinpath("ledger.db").read_bytes() == before
    copy.run("verify").good()
