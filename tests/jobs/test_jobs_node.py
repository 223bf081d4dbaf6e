"""`timmy jobs` as a user meets it: a real node, real time, and a kill in the middle."""

import pytest

from runtime.core.jobspec import Backfill
from tests.node.world import SETTINGS, Home, until

OWN = """
[node]
checkpoint_interval_ms = 200
[api]
port = 0
[jobs]
time_zone = "Europe/Berlin"
"""


@pytest.fixture(scope="module")
def seed(tmp_path_factory):
    home = Home(tmp_path_factory.mktemp("jobs") / "seed").configure(SETTINGS)
    home.run("init").good()
    return home


@pytest.fixture
def home(seed, tmp_path):
    home = seed.copy(tmp_path / "machine")
    yield home
    home.end()


def ended(home, name):
    rows = home.run("--json", "jobs", "history", name).good().json
    return [row["payload"]["outcome"] for row in rows if row["type"] == "job.finished"]


def test_a_script_runs_by_hand_and_in_time(home):
    (home.path / "scripts").mkdir()
    script = home.path / "scripts" / "hello.sh"
    script.write_text("#!/bin/sh\necho hello from $PWD, $1\n")
    script.chmod(0o755)
    with home.running() as node:
        added = home.run(
            "--json",
            "jobs",
            "add",
            "hello",
            "--when",
            "in 3s",
            "--yes",
            "--run",
            "/scripts/hello.sh",
            "--json",
        )
        assert added.good().json["state"] == "scheduled"
        until(lambda: ended(home, "hello") == ["done"], 60, "the job ran")
        row = home.run("--json", "jobs", "show", "hello").good().json
        assert (row["state"], row["runs"], row["words"]["argv"]) == (
            "over",
            1,
            ["/scripts/hello.sh", "--json"],
        )
        assert home.run("jobs", "run", "hello").good().out == "hello from /work, --json\n"
        finished = node.log("job.finished")[-1]
        assert finished["content"]["output"] == "hello from /work, --json\n"
        assert node.log("job.started")[0]["payload"]["trigger"] == "schedule"
        told = home.run("jobs", "history", "hello").good().out
        assert "done after" in told
        assert "hello" in home.run("jobs", "list").good().out
        home.run("jobs", "remove", "hello").good()
        home.run("jobs", "show", "hello").refused("there is no job")
        assert ended(home, row["id"]) == ["done", "done"]
        assert home.run("verify").good()


def test_a_job_follows_what_is_noted(home):
    with home.running() as node:
        home.run(
            "jobs", "add", "echo", "--yes", "--when", "on memory.noted", "--run", "echo", "heard"
        ).good()
        assert "on memory.noted" in home.run("jobs", "list").good().out
        home.run("memory", "add", "The roof was tiled in 1962.").good()
        until(lambda: ended(home, "echo") == ["done"], 60, "the job ran")
        [claim] = node.log("job.started")
        [noted] = node.log("memory.noted")
        assert claim["causes"][0]["position"] == noted["position"]


def test_a_failing_run_by_hand_says_so_with_its_exit_status(home):
    with home.running() as node:
        home.run(
            "jobs",
            "add",
            "bad",
            "--yes",
            "--when",
            "every 1d",
            "--run",
            "sh",
            "-c",
            "echo no >&2; exit 4",
        ).good()
        done = home.run("jobs", "run", "bad")
        assert (done.code, done.out) == (1, "no\n")
        assert node.status()["jobs"]["failing"] == 1
        shown = home.run("doctor").good().out
        assert "the last run of 1 went wrong" in shown


def test_an_agent_job_without_a_model_runs_its_degraded_form(home):
    with home.running() as node:
        home.run(
            "jobs", "add", "news", "--yes", "--when", "0 6 * * *", "--zone", "Europe/Berlin",
            "--say", "What is new in my letters?", "--otherwise", "echo", "nothing new",
        ).good()  # fmt: skip
        done = home.run("jobs", "run", "news").good()
        assert done.out == "nothing new\n"
        assert "degraded" in done.err
        [message] = node.log("message.received")
        assert message["payload"]["author"] == "scheduler/news"
        assert (
            home.run("--json", "jobs", "show", "news")
            .good()
            .json["next"]
            .endswith(("06:00+01:00", "06:00+02:00"))
        )


def test_a_killed_node_finds_its_run_and_ends_it_once(home):
    node = home.start()
    home.run("jobs", "add", "long", "--yes", "--when", "every 1d", "--run", "sleep", "300").good()
    home.run("jobs", "run", "long", "--no-wait").good()
    until(lambda: node.status()["jobs"]["running"] == 1, 60, "it runs")
    node.kill9()
    with home.running() as second:
        until(lambda: ended(home, "long") == ["interrupted"], 60, "it was ended")
        assert second.status()["jobs"]["running"] == 0
    with home.running():
        assert ended(home, "long") == ["interrupted"]
    home.run("replay").good()


def test_the_node_s_own_jobs_wait_for_their_time_and_follow_the_configuration(home):
    home.configure(OWN)
    with home.running() as node:
        rows = {row["name"]: row for row in home.run("--json", "jobs", "list").good().json}
        assert set(rows) == {"heartbeat", "report", "healer", "historian", "dreamer"}
        assert rows["heartbeat"]["next_s"] % 900 == 0
        assert "heartbeat" in home.run("jobs", "list").good().out
        home.run("jobs", "report").refused("no report yet")
        assert node.status()["alarms"] == []
        assert "timmy_alarms 0.0" in node.request("GET", "/metrics").body.decode()
    for text, why in (
        ('heartbeat = "0 0 30 2 *"', "never comes"),
        ('report = "in 5m"', "not a plan of times"),
        ('time_zone = "Mars"', "unknown time zone"),
        ("heartbeat = 900", "heartbeat"),
    ):
        home.configure(SETTINGS.split("[jobs]")[0] + f"[jobs]\n{text}\n")
        home.run("run").refused(why)


def test_a_job_is_changed_and_follows_a_folder(home, tmp_path):
    inbox = tmp_path / "inbox"
    inbox.mkdir()
    with home.running() as node:
        home.run(
            "jobs", "add", "mail", "--yes", "--when", "every 1d", "--limit", "60", "--run", "true"
        ).good()
        changed = (
            home.run("--json", "jobs", "change", "mail", "--when", f"on file {inbox}").good().json
        )
        assert (changed["state"], changed["when"]) == ("waiting", f"on file {inbox}")
        assert (changed["limit_s"], changed["confined"]) == (60, True), "what is not named stays"
        until(lambda: node.log("job.noticed"), 60, "the folder was looked at")
        (inbox / "letter").write_text("hello")
        until(lambda: ended(home, "mail") == ["done"], 60, "the letter woke the job")
        again = home.run(
            "--json", "jobs", "change", "mail", "--yes", "--repeatable", "--run", "echo", "hi"
        )
        assert again.good().json["repeatable"] is True
        assert home.run("jobs", "run", "mail").good().out == "hi\n"
        home.run("jobs", "change", "mail").refused("nothing is to change")
        home.run("jobs", "change", "mail", "--when", "0 0 30 2 *").refused("never comes")
        home.run("jobs", "change", "nobody", "--limit", "5").refused("there is no job")
        home.run("jobs", "change", "mail", "--say", "I will end my life tonight").refused("crisis")


def test_what_is_wrong_is_refused_when_it_is_asked_for(home):
    home.run("jobs", "add", "x", "--when", "every 1d", "--run", "true").refused(
        "no node is running"
    )
    with home.running() as node:
        before = node.asked_for()
        for argv, words in (
            (("x", "--when", "0 0 30 2 *", "--run", "true"), "never comes"),
            (("x", "--when", "0 0 30 2 *"), "never comes"),
            (("x", "--when", "every 1s", "--run", "true"), "expected 60"),
            (("x", "--when", "every 1d"), "without a command"),
            (("X Y", "--when", "every 1d", "--run", "true"), "is no name"),
            (("heartbeat", "--when", "every 1d", "--run", "true"), "node's own"),
            (("x", "--when", "every 1d", "--zone", "Mars", "--run", "true"), "time zone"),
            (("x", "--when", "every 1d", "--backfill", "all", "--overlap", "skip", "--run", "true"), "overlap wait"),
            (("x", "--when", "every 1d", "--limit", "0", "--run", "true"), "limit of 0"),
            (("x", "--when", "every 1d", "--say", "I will end my life tonight"), "crisis screen"),
        ):  # fmt: skip
            home.run("jobs", "add", *argv).refused(words)
        for action in ("show", "pause", "resume", "remove", "run", "history"):
            home.run("jobs", action, "nobody").refused("there is no job")
        for body, words in (
            ({}, "name"),
            ({"name": "x", "when": "every 1d", "argv": [1]}, "list of texts"),
            ({"name": "x", "when": "every 1d", "argv": "true"}, "type list"),
            ({"name": "x", "when": "every 1d", "kind": "heartbeat"}, "unknown field"),
            ({"name": "x", "when": "every 1d", "argv": ["true"], "parent": "zz"}, "not hex"),
        ):
            node.request("POST", "/v1/jobs", body).refused(400, words)
        node.request(
            "POST",
            "/v1/jobs",
            {"name": "x", "when": "every 1d", "argv": ["true"], "backfill": "most"},
        ).refused(422, ", ".join(Backfill))
        node.request("POST", "/v1/jobs/x", {"action": "explode"}).refused(400, "pause")
        node.request("GET", "/v1/jobs", token="").refused(401)
        assert node.asked_for() == before
