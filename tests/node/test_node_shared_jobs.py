"""Jobs that three real nodes share: who does a run, and what becomes of it when nodes die.

The nodes are processes on loopback whose clock is moved by a file. What a script did it says in a
file of the machine that all three share: one line a run, with its fence.
"""

import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from mesh.core.fleet.duty import order
from mesh.core.fleet.manifest import open_manifest
from runtime.core.jobs import run_id
from tests.node.world import SETTINGS, Home, until
from tests.ports import free_port

STEERED = Path(__file__).parents[1] / "local" / "steered.py"
WAIT = 90.0
LOOK_S = "0.3"
GRACE_S = 60
NAMES = ("ada", "bea", "cleo")
HOUR_MS = 3_600_000


class Trio:
    """Three members that vote and do jobs, and their clock."""

    def __init__(self, folder: Path, settings: str = SETTINGS) -> None:
        self.settings = settings
        self.clock, self.done = folder / "clock", folder / "done"
        self.clock.write_text("0")
        self.done.touch()
        self.homes = {name: Home(folder / name) for name in NAMES}
        self.nodes = {}
        self.keys = {}

    def start(self, *names):
        """Start these side by side: an interpreter takes a second to come up."""
        wrapper = (sys.executable, str(STEERED), str(self.clock), LOOK_S)
        with ThreadPoolExecutor(len(NAMES)) as pool:
            found = pool.map(lambda name: self.homes[name].start(wrapper=wrapper), names)
            self.nodes |= dict(zip(names, found, strict=True))

    def found(self) -> None:
        """Begin a fleet with the first, and take in the others, as voters."""
        for name, home in self.homes.items():
            home.configure(self.settings.replace("port = 0", f"port = {free_port()}"))
            home.run("init", "--name", name).good()
        first = self.homes["ada"]
        self.start("ada")
        first.run("mesh", "found").good()
        council = ("--when", "on fleet.agreed", "--yes", "--run", "true")
        first.run("jobs", "add", "council", *council).good()
        for name in NAMES[1:]:
            token = first.run("mesh", "invite", "--roles", "home,jobs,voter,witness").good().out
            files = self.homes[name].path / "fleet"
            files.mkdir(mode=0o700)
            (files / "token").write_text(token)
        self.start(*NAMES[1:])
        until(lambda: len(self.fleet("ada")["waiting"]) == 2, WAIT, "both ask")
        first.run("mesh", "admit").good()
        until(lambda: all(self.knows(name) for name in NAMES), WAIT, "all know all")
        newest = max((first.path / "fleet").glob("*.manifest"))
        members = open_manifest(newest.read_bytes()).manifest.members
        self.keys = {one.name: one.nostr for one in members}

    def fleet(self, name):
        return self.nodes[name].request("GET", "/v1/fleet").json

    def knows(self, name) -> bool:
        return len(self.fleet(name)["members"]) == len(NAMES)

    def end(self) -> None:
        for home in self.homes.values():
            home.end()

    # ---- time ------------------------------------------------------------------------------------

    @property
    def now_s(self) -> float:
        return time.time() + int(self.clock.read_text()) / 1000

    def move(self, seconds: float) -> None:
        text = str(int(self.clock.read_text()) + round(1000 * seconds))
        new = self.clock.with_suffix(".new")
        new.write_text(text)
        new.replace(self.clock)

    def next_minute(self) -> int:
        """Move on to where a new minute began, and return it."""
        self.move(60 - self.now_s % 60 + 0.1)
        return int(self.now_s) // 60 * 60

    def next_minute_after(self, since: int) -> int:
        """The same, not before a time."""
        self.move(max(0.0, since - self.now_s))
        return self.next_minute()

    def pass_until(self, ready) -> None:
        """Let time pass, a third of a grace at a time, until something is so."""

        def now() -> bool:
            if not ready():
                self.move(GRACE_S / 3)
                time.sleep(2 * float(LOOK_S))
            return bool(ready())

        until(now, WAIT, "time brings it")

    def at_turn_of(self, member: str, name: str) -> int:
        """Move on to the next run of a job whose first is this member; return its time."""
        [node, *_] = [one for one in self.nodes.values() if one.alive]
        job = bytes.fromhex(node.request("GET", f"/v1/jobs/{name}").json["id"])
        planned = (int(self.now_s) // 300 + 1) * 300
        while self.ranked(run_id(job, planned).hex())[0] != member:
            planned += 300
        self.move(planned - self.now_s + 0.1)
        return planned

    # ---- jobs ------------------------------------------------------------------------------------

    def share(
        self, name: str, mode: str, *more: str, when: str = "every 1m", first: str = "true"
    ) -> None:
        """Add a job at every member that runs; it says in `done` which run it did, and its fence."""
        words = "; ".join((first, f"echo {name} $TIMMY_RUN $TIMMY_FENCE >> {self.done}"))
        ids = set()
        for member in self.nodes:
            added = self.homes[member].run(
                "--json", "jobs", "add", name, "--when", when, "--mode", mode, *more,
                "--unconfined", "--yes", "--run", "sh", "-c", words,
            ).good()  # fmt: skip
            ids.add(added.json["id"])
        assert len(ids) == 1, "the same job has the same id at every member"

    def remove(self, name: str) -> None:
        for member in self.nodes:
            self.homes[member].run("jobs", "remove", name).good()

    def history(self, member, name):
        found = self.nodes[member].request("GET", f"/v1/jobs/{name}/history?last=1000")
        assert found.status == 200, found
        return found.json

    def outcomes(self, member, name, planned) -> list[str]:
        """What a member has on record of a run: begun, or why not."""
        found = []
        for row in self.history(member, name):
            said = row["payload"]
            if row["type"] == "job.started" and said["planned_s"] == planned:
                found.append("begun")
            if row["type"] == "job.skipped" and said["first_s"] <= planned <= said["last_s"]:
                found.append(said["reason"])
        return found

    def decided(self, name, planned, *members) -> dict[str, str]:
        """What came of a run at these members, once each has it on record."""
        until(
            lambda: all(self.outcomes(member, name, planned) for member in members),
            WAIT,
            f"{name} of {planned} is decided by {members}",
        )
        found = {member: self.outcomes(member, name, planned) for member in members}
        assert all(len(one) == 1 for one in found.values()), found
        return {member: one[0] for member, one in found.items()}

    def lines(self, name) -> list[list[str]]:
        found = [line.split() for line in self.done.read_text().splitlines()]
        return [line for line in found if line[0] == name]

    def ranked(self, run_hex) -> list[str]:
        names = {key: name for name, key in self.keys.items()}
        return [names[key] for key in order(bytes.fromhex(run_hex), self.keys.values())]

    def awaited(self, member, name, planned):
        """The record of a run that came due, once it is there."""

        def found():
            return [
                row["payload"]
                for row in self.history(member, name)
                if row["type"] == "job.awaited" and row["payload"]["planned_s"] == planned
            ]

        until(found, WAIT, f"{name} of {planned} is awaited by {member}")
        return found()[0]


@pytest.fixture(scope="module")
def trio(tmp_path_factory):
    made = Trio(tmp_path_factory.mktemp("trio"))
    try:
        made.found()
        yield made
    finally:
        made.end()


def test_a_run_of_the_fleet_is_done_once_and_everybody_knows_by_whom(trio):
    trio.share("tick", "quorum")
    for _ in range(3):
        planned = trio.next_minute()
        found = trio.decided("tick", planned, *NAMES)
        [holder] = [member for member, what in found.items() if what == "begun"]
        assert {what for what in found.values() if what != "begun"} == {f"done by {holder}"}
        first = trio.awaited("ada", "tick", planned)
        assert first["name"] == holder == trio.ranked(first["run"])[0]
    until(lambda: len(trio.lines("tick")) == 3, WAIT, "the scripts ran")
    runs = [run for _, run, _ in trio.lines("tick")]
    assert len(set(runs)) == 3
    for row in trio.history(holder, "tick"):
        if row["type"] == "job.started" and row["payload"]["planned_s"] == planned:
            assert [row["payload"]["run"], row["payload"]["fence"]] == trio.lines("tick")[-1][1:]
    shown = trio.homes["ada"].run("jobs", "show", "tick").good().out
    assert "quorum" in shown
    assert f"last done by     {holder}" in shown
    assert "quorum" in trio.homes["bea"].run("jobs", "list").good().out
    told = trio.homes["bea"].run("jobs", "history", "tick").good().out
    assert "quorum, first" in told
    trio.remove("tick")


def test_a_holder_that_is_killed_in_a_run_is_not_done_over(trio):
    trio.share("long", "quorum", first="sleep 300")
    planned = trio.next_minute()
    found = trio.decided("long", planned, *NAMES)
    [holder] = [member for member, what in found.items() if what == "begun"]
    others = [member for member in NAMES if member != holder]
    trio.nodes[holder].kill9()
    trio.move(2 * GRACE_S)
    nexts = int(trio.now_s) // 60 * 60
    trio.decided("long", nexts - 60, *others)
    assert [trio.outcomes(member, "long", planned) for member in others] == [
        [f"done by {holder}"]
    ] * 2
    trio.start(holder)
    ends = [
        row["payload"]["outcome"]
        for row in trio.history(holder, "long")
        if row["type"] == "job.finished"
    ]
    assert ends == ["interrupted"]
    trio.remove("long")


def test_members_go_one_after_the_other_and_come_back(trio):
    """One gone: the next does it. Two gone: nobody, by quorum. All gone: made up for, once."""
    for name, mode in (
        ("most", "quorum"),
        ("own", "owner"),
        ("pin", "pinned:cleo"),
    ):
        trio.share(name, mode, when="every 5m")
    night = (int(trio.now_s) + 12 * 3600) // 60 * 60
    at = time.strftime("%M %H * * *", time.gmtime(night))
    trio.share("late", "quorum", "--backfill", "latest", when=at)
    trio.nodes["cleo"].stop()
    one_is_gone(trio)
    trio.nodes["bea"].stop()
    two_are_gone(trio)
    trio.nodes["ada"].stop()
    trio.move(night + 3600 - trio.now_s)
    trio.start(*NAMES)
    trio.pass_until(lambda: all(trio.outcomes(name, "late", night) for name in NAMES))
    found = trio.decided("late", night, *NAMES)
    [holder] = [name for name, what in found.items() if what == "begun"]
    assert {what for what in found.values() if what != "begun"} == {f"done by {holder}"}
    until(lambda: len(trio.lines("late")) == 1, WAIT, "it is done once")
    agreed = trio.nodes["ada"].log("fleet.agreed")
    assert [row["payload"]["approvals"] for row in agreed] == [1]
    ends = [row for row in trio.history("ada", "council") if row["type"] == "job.finished"]
    assert ends, "a job that follows the agreement of the fleet ran"


def one_is_gone(trio):
    for name in ("most", "own"):
        planned = trio.at_turn_of("cleo", name)
        for member in ("ada", "bea"):
            trio.awaited(member, name, planned)
        assert trio.outcomes("ada", name, planned) == trio.outcomes("bea", name, planned) == []
        trio.move(GRACE_S)
        second = trio.ranked(trio.awaited("ada", name, planned)["run"])[1]
        found = trio.decided(name, planned, "ada", "bea")
        assert found.pop(second) == "begun"
        assert set(found.values()) == {f"done by {second}"}
        pinned = trio.decided("pin", planned, "ada", "bea")
        assert set(pinned.values()) == {"pinned to another: cleo"}
    until(lambda: not trio.lines("pin") and trio.lines("most"), WAIT, "most ran, and pin nowhere")


def two_are_gone(trio):
    count = len(trio.lines("most"))
    planned = trio.at_turn_of("bea", "most")
    trio.awaited("ada", "most", planned)
    trio.pass_until(lambda: trio.outcomes("ada", "most", planned))
    assert trio.outcomes("ada", "most", planned) == ["1 of 3 voters, 2 needed"]
    assert "1 of 3 voters" in trio.homes["ada"].run("jobs", "history", "most").good().out
    assert trio.outcomes("ada", "own", planned) == ["begun"], "an owner needs nobody's word"
    assert len(trio.lines("most")) == count


# ---- what is refused -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("when", "mode", "words"),
    [
        ("every 1m", "boss", "'boss' is no mode"),
        ("every 1m", "pinned", "pinned:MEMBER"),
        ("every 1m", "owner:ada", "owner, quorum or pinned:MEMBER"),
        ("every 1m", "pinned:nobody", "0 members are called 'nobody'"),
        ("in 2h", "quorum", "counts from now"),
        ("on patch.judged", "quorum", "follows nothing"),
    ],
)
def test_what_would_not_be_the_same_on_every_member_is_refused(trio, when, mode, words):
    run = ("--mode", mode, "--yes", "--run", "true")
    trio.homes["ada"].run("jobs", "add", "odd", "--when", when, *run).refused(words)


def test_a_word_of_no_member_is_refused_at_the_door(trio):
    for junk in (b"", b"junk", bytes(100_000)):
        trio.nodes["ada"].request("POST", "/fleet/bus", junk, token="").refused(422)


def test_a_node_alone_has_nobody_to_share_with(lived):
    with lived.running() as node:
        for mode in ("quorum", "owner", "pinned:me"):
            run = ("--mode", mode, "--yes", "--run", "true")
            lived.run("jobs", "add", "x", "--when", "every 1m", *run).refused(
                "of no fleet", "timmy mesh found"
            )
        node.request("POST", "/fleet/bus", b"junk", token="").refused(404)
    assert not list(lived.state.glob("*/grants.db"))


# ---- voters change -------------------------------------------------------------------------------


def test_a_run_is_decided_by_the_voters_of_its_time(trio):
    """The last test of this fleet: cleo is taken out of it."""
    trio.share("turn", "quorum")
    councils = followed(trio)
    trio.homes["ada"].run("mesh", "remove", "cleo", "--lead", "0").good()
    late = digest(trio)
    planned = trio.next_minute()
    trio.decided("turn", planned, *NAMES)  # by bea and cleo: ada has signed that others decide it
    trio.homes["bea"].run("mesh", "approve", late).refused("has granted", "--lead")
    trio.homes["ada"].run("mesh", "remove", "cleo", "--lead", "30").good()
    until(lambda: digest(trio) not in (None, late), WAIT, "bea heard of the other proposal")
    assert "its voters decide from" in trio.homes["bea"].run("mesh", "members").good().out
    trio.homes["bea"].run("mesh", "approve", digest(trio)).good()
    until(lambda: len(trio.fleet("ada")["members"]) == 2, WAIT, "ada heard of it")
    since = trio.fleet("ada")["since"]
    until(lambda: followed(trio) > councils, WAIT, "a job follows what two of three agreed on")
    newest = trio.nodes["ada"].log("fleet.agreed")[-1]["payload"]
    assert (newest["approvals"], newest["quorum"]) == (2, 2)
    assert "voters    until" in trio.homes["ada"].run("mesh", "members").good().out
    found = trio.decided("turn", trio.next_minute(), "ada", "bea")
    assert "begun" in found.values(), "nothing waits for the change"
    trio.nodes["bea"].kill9()
    for counted, minute in ((3, trio.next_minute), (2, lambda: trio.next_minute_after(since))):
        planned = minute()
        assert (planned >= since) == (counted == 2)
        trio.awaited("ada", "turn", planned)
        trio.move(16 * 60)  # beyond its window
        found = trio.decided("turn", planned, "ada")
        assert found["ada"].endswith(f" of {counted} voters, 2 needed")


def followed(trio):
    """How often a job ran that follows the agreement of the fleet."""
    return len([row for row in trio.history("ada", "council") if row["type"] == "job.finished"])


def digest(trio):
    """What is proposed, as bea knows it."""
    proposal = trio.fleet("bea")["proposal"]
    return None if proposal is None else proposal["digest"]
