"""Three nodes that follow each other's adoptions: processes on one machine, one operator."""

import shutil

from genesis.keys import keystore
from node.home import Home as Places
from tests.adoption.world import propose, stage, status
from tests.e2e.fleet import Member, all_there, asks, joining, own
from tests.node.test_node_verdicts import surely
from tests.node.world import SETTINGS, Home, until
from tests.ports import free_port

NAMES = ("ann", "bea", "cid")
TOML = """
[relay]
enabled = false
[mesh]
mirror = ["fleet"]
lease_seconds = 3
[adoption]
follow = "stages"
share_percent = 100
window_s = 1
turns = 1
"""
SECONDS = 300.0
"""A guard against a hang: a judge that found the machine too busy tries again by itself."""
ROLES = "gateway,home,voter,witness"


class Fleet:
    """ann begins it and proposes; bea and cid know her operator for theirs."""

    def __init__(self, root):
        self.members = []
        for name in NAMES:
            home, port = Home(root / name), free_port()
            home.configure(SETTINGS.replace("port = 0", f"port = {port}") + TOML)
            self.members.append(Member(name, home, port))

    def found(self):
        ann, *others = self.members
        for member in self.members:
            member.home.run("init", "--name", member.name).good()
        place = Places(path=ann.home.path, state=ann.home.state)
        operator = keystore.unlock_operator(place.operator, ann.home.passphrase).public
        for member in others:
            with member.home.config.open("a") as file:
                file.write(f'[gateways.nostr]\noperator = "{operator.hex()}"\n')
        ann.node = ann.home.start()
        ann.home.run("mesh", "found", "--url", f"http://127.0.0.1:{ann.port}").good()
        for member in others:
            token = ann.home.run("mesh", "invite", "--roles", ROLES).good().out.strip()
            member.node = joining(member.home, token)
            until(lambda one=member: asks(ann, one), SECONDS, "it asks to be taken in")
        ann.home.run("mesh", "admit", *(one.name for one in others)).good()
        for member in others:
            until(lambda one=member: own(one) is not None, SECONDS, "it is taken in")
        for member in self.members:
            member.ledger = bytes.fromhex(own(member)["ledger"])
            until(lambda one=member: all_there(one), SECONDS, "all three are there")

    def adopted(self, name, *changes):
        """Have the first propose, judge, approve, adopt and settle it; return its proposal."""
        ann = self.members[0]
        at = propose(ann.home, name, *changes)
        surely(ann.home, "judge", str(at))
        for member in self.members[1:]:  # of this machine in this boot, as hers: tried once
            shutil.copy(ann.home.path / "sandbox.json", member.home.path / "sandbox.json")
        ann.home.run("patch", "approve", str(at)).good()
        plan = ("--share", "100", "--window", "1s", "--turns", "1")
        ann.home.run("patch", "apply", str(at), *plan).good()
        self.settles(ann)
        return at

    def settles(self, member):
        """Talk to a member until what it tries is settled."""
        for wanted in ("node", None):
            member.node.say("good day")
            until(lambda at=wanted: stage(member.node) == at, SECONDS, f"its trial is at {wanted}")
        assert [row["type"] for row in status(member.node)["steps"]][-1] == "patch.settled"

    def named(self, ledger):
        return next(one for one in self.members if one.ledger.hex() == ledger)

    def followers(self):
        """The two others in the order in which they follow, as the first one sees it."""
        ann = self.members[0]
        until(lambda: rollout(ann), SECONDS, "the fleet's stages are told")
        _, [first], [second] = rollout(ann)["stages"]
        return self.named(first["ledger"]), self.named(second["ledger"])

    def end(self):
        for member in self.members:
            member.home.end()


def rollout(member):
    """What a member says of the newest adoption of its fleet, if it knows of one."""
    rows = status(member.node)["fleet"]["rollouts"]
    return rows[-1] if rows else None


def fates(member):
    """Who is how far, by name, as a member sees it."""
    row = rollout(member)
    return {one["name"]: one["fate"] for step in row["stages"] for one in step} if row else {}


def staged(member):
    return [row for row in member.log("patch.staged") if row["type"] == "patch.staged"]
