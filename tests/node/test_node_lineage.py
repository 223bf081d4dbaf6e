"""A parent and a child, two real nodes: fathered, gated by real deeds, escalating, guided, reset."""

import hashlib
from pathlib import Path

import pytest

from tests.node.test_node_models import add, serving
from tests.node.test_node_patches import FRONT, SAID
from tests.node.test_node_tools import says
from tests.node.world import SETTINGS, Home, until

BEATING = SETTINGS.replace('heartbeat = ""', 'heartbeat = "* * * * *"')
RULES = """
[permissions]
allow = ["FileEdit(*.txt)", "Bash(touch:*)", "Bash(echo:*)"]
"""
SECONDS = 400.0
"""A guard against a hang: a heartbeat comes each minute, and a machine may be slow."""
EXAMPLES = Path(__file__).parents[2] / "examples"
DEEDS = [
    [("read_file", {"path": f"{n}.txt"}), ("write_file", {"path": f"{n}.txt", "text": "x\n"}),
     ("shell", {"line": f"touch {n}.made"})]
    for n in range(3)
]  # fmt: skip


def with_skill(home):
    skill = home.path / "skills" / "tiling"
    skill.mkdir(parents=True)
    (skill / "SKILL.md").write_text("---\nname: tiling\ndescription: roofs\n---\n\nStart low.\n")


def father(parent: Home, child: Home, *more: str):
    places = ("--into", str(child.path), "--state", str(child.state))
    return parent.run("--json", "lineage", "father", "--name", "Ada", *places, *more)


@pytest.fixture
def pair(born, place):
    """A parent whose node runs, and a child that was fathered and does not run yet."""
    with_skill(born)
    child = place("child").configure(BEATING + RULES)
    with born.running() as node:
        made = father(born, child, "--skill", "tiling", "--gate", "tools_runs=2").good().json
        yield born, node, child, made["child"]


def of(parent, child):
    return parent.run("--json", "lineage", "show", child).good().json


def gate_of(home):
    return home.run("--json", "lineage", "show").good().json["gate"]


def heard(parent, child):
    until(lambda: of(parent, child)["url"], SECONDS, "the parent knows where its child is")


# ---- the whole story ----------------------------------------------------------------------------


def test_a_child_is_born_gated_escalating_guided_and_reset(pair):
    parent, _, child, ledger = pair
    with serving() as (server, _):
        add(child, server).good()
        with child.running() as young:
            heard(parent, ledger)
            assert gate_of(child) == ""
            as_a_visitor(child, server)
            the_rite(parent, child, young, ledger)
            the_tools(parent, child, server, ledger)
            escalates(parent, child, young, ledger)
            is_guided_and_patched(parent, child, young, ledger)
            is_reset(parent, child, young, ledger)
    for home in (parent, child):
        assert home.run("--json", "verify").good().json["good"]
    child.run("replay").good()


def as_a_visitor(child, server):
    """It looks; what its own rules allow, its gates leave closed."""
    assert child.run("permissions", "why", "FileEdit", "a.txt", "--project", str(child.root)).code
    says(
        server,
        [("list_files", {"path": "."}), ("write_file", {"path": "a.txt", "text": "x"})],
        "no",
    )
    child.run("say", "write a.txt").good()
    results = [m["content"] for m in server.requests[-1]["messages"] if m["role"] == "tool"]
    assert "not allowed: denied by FileEdit" in results[1]
    assert not (child.path / "work" / "a.txt").exists()


def the_rite(parent, child, young, ledger):
    early = parent.run("--json", "lineage", "check", ledger).good().json
    assert (early["judgment"]["ready"], early["gate"]) == (None, "")
    child.run("soul", "attest").good()
    ready = parent.run("--json", "lineage", "check", ledger).good().json
    assert (ready["judgment"]["ready"], ready["did"]) == ("rite", None)
    granted = parent.run("--json", "lineage", "check", ledger, "--grant").good().json
    assert granted["did"] == "granted rite"
    until(lambda: gate_of(child) == "rite", SECONDS, "the child has the rite")
    asks = child.run(
        "--json", "permissions", "why", "Bash", "touch x", "--project", str(child.root)
    )
    assert asks.json["effect"] == "ask"
    [order] = young.log("parent.ordered")
    assert order["payload"]["facts"]["gate"] == "rite"


def the_tools(parent, child, server, ledger):
    """Its operator says yes to each call of an apprentice; then its own rules decide."""
    says(server, *[[deed] for deeds in DEEDS for deed in (deeds[1], deeds[0], deeds[2])], "done")
    said = child.popen("say", "--wait", "600", "make things")
    answered: set[int] = set()

    def allowed():
        for one in child.run("--json", "approvals", "list").good().json:
            if one["event"] not in answered:
                answered.add(one["event"])
                child.run("approvals", "allow", str(one["event"]))
        return said.poll() is not None

    until(allowed, SECONDS, "the child made its things")
    assert said.returncode == 0
    assert (child.path / "work" / "2.made").exists()
    found = parent.run("--json", "lineage", "check", ledger, "--grant").good().json
    assert found["did"] == "granted tools", found["judgment"]
    until(lambda: gate_of(child) == "tools", SECONDS, "the child has its tools")
    says(server, [("shell", {"line": "touch alone.made"})], "done")
    child.run("say", "alone").good()
    assert (child.path / "work" / "alone.made").exists(), "its own rules decide now"


def escalates(parent, child, young, ledger):
    """Three runs of a job that fail alike are an alarm, which the heartbeat tells its parent."""
    child.run("jobs", "add", "broken", "--when", "every 1d", "--yes", "--run", "/bin/false").good()
    for _ in range(3):
        child.run("jobs", "run", "broken")
    child.run("jobs", "pause", "broken").good()
    until(lambda: told_alarms(parent, ledger), SECONDS, "the parent heard of the alarm")
    [told] = told_alarms(parent, ledger)
    assert "in a row" in told["text"]


def told_alarms(parent, ledger):
    """Those of the job; a full disk of this machine would be another."""
    return [
        one for one in of(parent, ledger)["letters"]
        if one["kind"] == "told/alarm" and one["facts"]["subject"] == "job/broken"
    ]  # fmt: skip


def is_guided_and_patched(parent, child, young, ledger):
    parent.run("lineage", "guide", ledger, "Mind the north window.").good()
    until(lambda: said_to(young, "parent"), SECONDS, "the child's agent heard its parent")
    [message] = said_to(young, "parent")
    assert message["payload"]["author"] == "parent"
    diff = str(EXAMPLES / "remember-more.diff")
    parent.run("lineage", "patch", ledger, diff).refused("the proposal has no rationale")
    parent.run("lineage", "patch", ledger, diff, *SAID).good()
    until(lambda: young.log("patch.proposed"), SECONDS, "the child has a proposal")
    [proposed] = young.log("patch.proposed")
    assert proposed["payload"]["author"] == "parent"
    assert child.run("--json", "patch", "list").json[0]["state"] == "open"
    text = proposed["content"]["document"]
    assert 'title = "remember more"' in text
    assert all(f'{key} = "{FRONT[key]}"' in text for key in ("rationale", "evaluation", "expected"))


def said_to(young, conversation):
    return [
        one for one in young.log("message.received")
        if one["payload"]["conversation"] == conversation
    ]  # fmt: skip


def is_reset(parent, child, young, ledger):
    child.run("jobs", "resume", "broken").good()
    before = young.status()["events"]
    parent.run("lineage", "reset", ledger, "--reason", "begin again").refused("--yes")
    parent.run("lineage", "reset", ledger, "--reason", "begin again", "--yes").good()
    until(lambda: gate_of(child) == "rite", SECONDS, "the child is back at the rite")
    assert young.status()["events"] > before, "nothing is erased"
    [job] = [one for one in child.run("--json", "jobs", "list").json if one["name"] == "broken"]
    assert job["state"] == "paused"
    asks = child.run(
        "--json", "permissions", "why", "Bash", "touch x", "--project", str(child.root)
    )
    assert asks.json["effect"] == "ask"
    after = parent.run("--json", "lineage", "check", ledger).good().json
    assert (after["gate"], after["resets"], after["judgment"]["ready"]) == ("rite", 1, None)


# ---- what it is given, and what is due by the clock ----------------------------------------------


def test_a_child_has_a_soul_of_its_own_and_both_have_the_jobs_that_are_due(born, place):
    """What the clock brings is run by hand here; that a plan is kept, tests/jobs shows."""
    with_skill(born)
    born.configure(SETTINGS + '[lineage]\nreview = "3 18 * * *"\ngrant = true\n')
    child = place("child").configure(
        SETTINGS + '[lineage]\ncheck = "every 7m"\nreport = "5 6 * * *"\n'
    )
    (soul := born.root / "ADA.md").write_text("You are Ada. You mind the roofs of this village.\n")
    with born.running():
        made = father(born, child, "--soul", str(soul), "--skill", "tiling").good().json
        ledger = made["child"]
        has_what_it_was_given(born, child, ledger, soul.read_bytes())
        with child.running() as young:
            heard(born, ledger)
            it_says_that_it_lives_and_how_it_is(born, child, ledger)
            it_is_looked_at(born, child, young, ledger)


def has_what_it_was_given(parent, child, ledger, soul):
    words = (parent.path / "skills" / "tiling" / "SKILL.md").read_bytes()
    assert (child.path / "skills" / "tiling" / "SKILL.md").read_bytes() == words
    assert (child.path / "SOUL.md").read_bytes() == soul
    row = of(parent, ledger)
    assert row["skills"] == {"tiling": hashlib.sha256(words).hexdigest()}
    assert (row["soul"], row["inherited"]) == (hashlib.sha256(soul).hexdigest(), False)


def it_says_that_it_lives_and_how_it_is(parent, child, ledger):
    before = of(parent, ledger)["heard_ms"]
    child.run("jobs", "run", "parent-check").good()
    assert of(parent, ledger)["heard_ms"] > before
    child.run("jobs", "run", "parent-report").good()
    until(lambda: letters(parent, ledger, "told/report"), SECONDS, "the parent has the report")
    assert "## For the parent" in letters(parent, ledger, "told/report")[0]["text"]
    plans = {one["name"]: one["when"] for one in child.run("--json", "jobs", "list").good().json}
    assert plans == {"parent-check": "every 7m", "parent-report": "5 6 * * *"}


def letters(parent, ledger, kind):
    return [one for one in of(parent, ledger)["letters"] if one["kind"] == kind]


def it_is_looked_at(parent, child, young, ledger):
    """In the evening: a gate that is ready is granted, and the child's agent is told the rest."""
    child.run("soul", "attest").good()
    young.say("good morning")
    parent.run("jobs", "run", "children-review").good()
    [job] = parent.run("--json", "jobs", "list").good().json
    assert (job["name"], job["when"]) == ("children-review", "3 18 * * *")
    assert of(parent, ledger)["gate"] == "rite", "node.toml says that it grants by itself"
    [told] = letters(parent, ledger, "order/guide")
    assert told["text"].startswith("Your ledger was looked at: rite passed.\nIt granted rite.")
    assert "Before tools stand:" in told["text"]
    until(lambda: gate_of(child) == "rite", SECONDS, "the child has the rite")
    until(lambda: said_to(young, "parent"), SECONDS, "the child's agent heard its parent")
