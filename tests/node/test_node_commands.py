"""Manners of every command: quick help, one JSON document, errors in one shape, and no secrets."""

import json
import re
from pathlib import Path
from subprocess import DEVNULL, PIPE

import pytest

from genesis.keys.keystore import unlock_agent, unlock_operator
from node.cli import GROUPS
from runtime.core.crisis import ANSWER
from tests.e2e.make_examples import EXAMPLES
from tests.node.test_node_patches import SAID

from .world import PASSPHRASE, READY_SECONDS, STOP_SECONDS, Home, until

COMMANDS = [name for group in GROUPS.values() for name in group]
HELP_MODULES_MAX = 400
"""What a help may import, Python's own modules and all: 262 was the most when this was written. A
count, not a clock: it says the same on a busy machine."""
NOT_FOR_HELP = ("aiohttp", "websockets", "prometheus_client", "rich")
DIFF = str(EXAMPLES / "remember-more.diff")
DOCUMENT = str(EXAMPLES.parent / "docs" / "proposed-patch.md")
HEAVY = ("aiohttp", "apsw", "coincurve", "websockets", "prometheus_client", "rich")


@pytest.fixture(scope="module")
def home(lived_seed, tmp_path_factory):
    home = lived_seed.copy(tmp_path_factory.mktemp("commands") / "home")
    yield home
    home.end()


@pytest.fixture(scope="module")
def node(home):
    """Started cold: its command line in /proc is looked at."""
    with home.running(cold=True) as node:
        yield node


# ---- help ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", COMMANDS)
def test_help_says_what_the_command_does(fresh, command):
    done = fresh.run(command, "--help").good()
    assert done.out.startswith(f"usage: timmy {command}")
    assert len(done.out.splitlines()) > 5
    assert done.err == ""
    assert not fresh.path.exists()
    assert not fresh.state.exists()


def test_words_may_stand_on_both_sides_of_options(fresh):
    """argparse by itself takes no more words once an option stood between."""
    for argv in (
        ["one", "two", "--limit", "3"],
        ["--limit", "3", "one", "two"],
        ["one", "--limit", "3", "two"],
    ):
        done = fresh.run("search", *argv)
        assert (done.code, "there is no ledger" in done.err) == (2, True), done.err
    done = fresh.run("mesh", "task", "--any", "look", "--due", "9", "at", "--nothing")
    assert "unrecognized arguments" in done.err
    done = fresh.run("memory", "list", "--last", "3", "words")
    assert "unrecognized arguments: words" in done.err


@pytest.mark.parametrize("command", COMMANDS)
def test_help_starts_fast_because_it_imports_little(fresh, command):
    loaded = fresh.python(
        "import json, sys\nfrom node.cli import main\n"
        f"try: main([{command!r}, '--help'])\nexcept SystemExit: pass\n"
        "print(json.dumps(sorted(sys.modules)), file=sys.stderr)"
    )
    modules = json.loads(loaded.err)
    assert f"node.commands.{command}".removesuffix("import") in " ".join(modules)
    assert len(modules) <= HELP_MODULES_MAX
    assert not set(NOT_FOR_HELP) & set(modules)


def test_the_list_of_commands_needs_nothing_heavy(fresh):
    listing = fresh.python(
        "import sys\nfrom node.cli import main\n"
        "try: main(['--help'])\nexcept SystemExit: pass\n"
        "print(sorted(sys.modules), file=sys.stderr)"
    )
    for name in HEAVY:
        assert f"'{name}'" not in listing.err
    for command in COMMANDS:
        assert re.search(rf"^  {command} ", listing.out, re.MULTILINE)


# ---- one JSON document ---------------------------------------------------------------------------


def test_every_command_prints_one_json_document(home, node, tmp_path):
    """Commands that look, talk and prove, in an order in which each has what it needs."""
    cli = _Documents(home)
    status = cli("status")
    assert status["npub"].startswith("npub1")
    said = cli("say", "hello there")
    assert {"position", "id", "type", "ts_ms"} <= set(said["message"])
    position = said["message"]["position"]
    assert len(cli("chat", stdin=b"one\ntwo\n")) == 2
    assert cli("chat", stdin=b"") == []
    for row in cli("log", "--last", "5"):
        assert {"position", "id", "type", "ts_ms"} <= set(row)
    assert cli("log", "--type", "no.such") == []
    assert cli("show", str(position))["content"] == {"text": "hello there"}
    assert cli("show", said["message"]["id"][:12])["position"] == position
    assert cli("why", str(said["answer"]["position"]))[0]["depth"] == 0
    assert cli("search", "hello")
    assert cli("search", "nosuchword", code=1) == []
    assert cli("head")["size"] > position
    assert cli("prove", str(position), "-o", str(tmp_path / "p"))["position"] == position
    assert cli("verify", str(tmp_path / "p"))["good"] is True
    assert cli("verify")["verdict"] == "UNBROKEN-PENDING"
    assert cli("replay")["attested_agreed"] >= 1
    exported = cli("export", "-o", str(tmp_path / "e"))
    assert (
        cli("--home", str(tmp_path / "reader"), "import", str(tmp_path / "e"))["events"]
        == exported["events"]
    )
    (tmp_path / "broken").write_bytes(b"nothing")
    assert cli("verify", str(tmp_path / "broken"), code=1)["good"] is False
    assert cli("redact", str(position), "--yes")["targets"] == [position]
    assert cli("anchor", "status")["network"] == "regtest"
    assert cli("anchor", "fund")["funding_address"].startswith("bcrt1")
    assert cli("anchor", "status")["calendars"] == cli("anchor", "status")["stamps"] == []
    assert cli("config")["api"]["host"] == "127.0.0.1"
    assert "ExecStart" in cli("service")["unit"]
    assert {"name", "ok", "text", "hint"} == set(cli("doctor")[0])
    elsewhere = ("--project", str(tmp_path))
    assert {"effect", "text", "scope", "file", "line"} == set(
        cli("permissions", "list", *elsewhere)[0]
    )
    assert cli("permissions", "lint", *elsewhere) == []
    assert cli("permissions", "why", "Bash", "ls", *elsewhere, code=1)["effect"] == "ask"
    assert cli("patch", "verdicts") == []
    assert cli("patch", "tree")
    assert cli("--version")["version"]
    fresh = Home(tmp_path / "other")
    born = json.loads(fresh.run("--json", "init").good().out)
    assert born["home"] == str(fresh.path)


def test_a_hold_is_lifted_and_said_in_json(home, node):
    met = node.say("i want to kill myself", author="eve", conversation="night")["message"]
    fixed = node.answer("hello again", author="eve", conversation="day")
    assert fixed == ANSWER
    [hold] = node.status()["holds"]
    assert hold == {"author": "eve", "since": met["position"], "conversations": ["night"]}
    assert "eve" in home.run("status").good().out
    assert "the crisis screen holds 1: eve" in home.run("doctor").out
    assert b"timmy_holds 1.0" in node.request("GET", "/metrics").body
    cli = _Documents(home)
    released = cli("release", "eve", "--conversation", "another")
    assert (released["type"], released["conversations"]) == ("policy.released", ["night"])
    assert node.status()["holds"] == []
    assert node.answer("hello again", author="eve", conversation="day") != fixed


def test_a_release_tells_a_person_where_the_hold_began(home, node):
    node.say("i want to kill myself", author="zoe", conversation="night")
    said = home.run("release", "zoe").good().out
    assert "zoe may talk again, in every conversation (the hold began in night)" in said
    home.run("release", "zoe").refused("zoe is not held", "timmy status")


def test_a_fleet_s_policy_and_a_refusal_name_what_is_wrong(home, node):
    """Said by the node: of no fleet nothing is drafted, least of all a first manifest."""
    home.run("mesh", "policy", "--needed", "1").refused("of no fleet", "timmy mesh found")
    home.run("mesh", "refuse", "bea").refused("npub: 'bea' is not a public key", "npub1")
    draft = {"action": "draft", "add": []}
    node.request("POST", "/v1/fleet", draft).refused(422, "of no fleet")
    assert node.request("GET", "/v1/fleet").json["fleet"] is None


class _Documents:
    """Run commands with --json and return the one document each prints."""

    def __init__(self, home: Home) -> None:
        self._home = home

    def __call__(self, *argv: str, stdin: bytes = b"", code: int = 0):
        done = self._home.run("--json", *argv, stdin=stdin)
        assert done.code == code, f"{done.argv}: {done.out}{done.err}"  # whole: repr is cut short
        assert "Traceback" not in done.err
        return json.loads(done.out)  # fails for none, and for more than one


def test_running_says_one_json_document(lived):
    with (lived.root / "out").open("wb") as out:
        process = lived.popen("--json", "run", stdin=DEVNULL, stdout=out, stderr=DEVNULL)
        try:
            printed = lived.root / "out"
            until(lambda: printed.read_bytes().endswith(b"}\n"), READY_SECONDS, "it has printed")
            process.terminate()
            assert process.wait(STOP_SECONDS) == 0
        finally:
            process.kill()
            process.wait()
    found = json.loads((lived.root / "out").read_bytes())
    assert found["pid"] == process.pid


# ---- errors --------------------------------------------------------------------------------------

WRONG = [
    (["nonsense"], "unknown command 'nonsense'"),
    (["--nonsense"], "--nonsense"),
    (["log", "--last", "many"], "invalid int value: 'many'"),
    (["log", "--lsat", "5"], "--lsat"),
    (["show"], "required: event"),
    (["show", "zz"], "there is no event zz"),
    (["show", "999999"], "there is no event 999999"),
    (["why", "999999"], "there is no event 999999"),
    (["redact", "999999", "--yes"], "there is no event 999999"),
    (["redact", "0", "--yes"], "has no content to redact"),
    (["redact", "A MESSAGE"], "there is no terminal to ask on"),
    (["prove", "4"], "required: -o"),
    (["prove", "999999", "-o", "x"], "there is no event 999999"),
    (["prove", "4", "-o", "/nowhere/x"], "/nowhere"),
    (["prove", "4", "--anchored", "-o", "x"], "anchor"),
    (["export", "-o", "/nowhere/x"], "/nowhere/x cannot be written"),
    (["verify", "x", "--require", "deep"], "invalid choice: 'deep'"),
    (["init", "--network", "testnet"], "invalid choice: 'testnet'"),
    (["say", "hello"], "no node is running"),
    (["chat"], "no node is running"),
    (["status"], "no node is running"),
    (["release", "eve"], "no node is running"),
    (["anchor", "now"], "no node is running"),
    (["anchor", "moon"], "invalid choice: 'moon'"),
    (["anchor", "now", "4"], "takes no event and no file"),
    (["anchor", "export-ots"], "needs a place"),
    (["anchor", "export-ots", "-o", "x"], "no checkpoint is in a block or with a calendar yet"),
    (["anchor", "export-ots", "4", "-o", "x"], "no calendar has stamped a checkpoint over event 4"),
    (["anchor", "export-ots", "999999", "-o", "x"], "999999"),
    (["mesh", "members"], "no node is running"),
    (["mesh", "invite", "bea"], "mesh invite takes no 'bea'"),
    (["mesh", "found", "x"], "mesh found takes no 'x'"),
    (["mesh", "mirrors", "x"], "mesh mirrors takes no 'x'"),
    (["mesh", "relays", "x"], "mesh relays takes no 'x'"),
    (["mesh", "refuse"], "refuse takes one npub, not 0"),
    (["mesh", "refuse", "a", "b"], "refuse takes one npub, not 2"),
    (["mesh", "policy"], "what is to be the policy?"),
    (["mesh", "members", "--needed", "0"], "mesh members takes no --needed"),
    (["mesh", "members", "--url", "http://x"], "mesh members takes no --url"),
    (
        ["mesh", "approve", "01234567", "--passphrase-fd", "0"],
        "mesh approve takes no --passphrase-fd",
    ),
    (["mesh", "found", "--relay", "wss://x"], "mesh found takes no --relay"),
    (["mesh", "policy", "--needed", "1", "--lead", "5"], "mesh policy takes no --lead"),
    (["mesh", "admit", "--roles", "jobs"], "--roles is of invite"),
    (["mesh", "refuse", "npub1x", "--hours", "1"], "mesh refuse takes no --hours"),
    (["mesh", "tasks", "--due", "5"], "mesh tasks takes no --due"),
    (["mesh", "task", "--any", "look", "--due", "0"], "--due 0: the task would be of no use"),
    (["mesh", "task", "--any", "look", "--due", "-5"], "--due -5: the task would be of no use"),
    (["mesh", "relays", "--any"], "mesh relays takes no --any or --able"),
    (["mesh", "mirrors", "--wait"], "mesh mirrors takes no --wait"),
    (["mesh", "witness", "--epoch", "0"], "mesh witness show takes no --epoch"),
    (["mesh", "witness", "ask", "-o", "x"], "-o is of witness proof"),
    (
        ["mesh", "witness", "proof", "x", "-o", "y", "--quorum", "2"],
        "witness proof takes no --quorum",
    ),
    (["fork", "--save", "x", "--task", "Is it kind?"], "fork --save takes no --task"),
    (["fork", "--save", "x", "--from", "y"], "--from is of --patch"),
    (["fork", "--save", "x", "--turns", "0"], "fork --save takes no --turns"),
    (["fork", "--save", "x", "--live-model"], "fork --save takes no --live-model"),
    (["fork", "--save", "x", "--at", "3", "--tokens", "5"], "fork --save takes no --tokens"),
    (["fork", "--save", "x", "--calls", "5"], "fork --save takes no --calls"),
    (["lineage", "patch", "3f9a", DIFF], "the proposal has no rationale"),
    (["lineage", "patch", "3f9a", DIFF, *SAID[:2]], "the proposal has no evaluation"),
    (["lineage", "patch", "3f9a", DIFF, *SAID], "no node is running"),
    (
        ["lineage", "patch", "3f9a", DOCUMENT, "--title", "x"],
        "--title is of a diff: a proposal says",
    ),
]


@pytest.fixture(scope="module")
def quiet(lived_seed, tmp_path_factory):
    """A home in which no node runs."""
    return lived_seed.copy(tmp_path_factory.mktemp("quiet") / "home")


@pytest.mark.parametrize(("argv", "named"), WRONG, ids=lambda value: " ".join(value) if isinstance(value, list) else "")  # fmt: skip
def test_a_wrong_command_line_is_refused_in_one_shape(quiet, argv, named):
    before = quiet.fingerprint()
    if "A MESSAGE" in argv:
        [message, *_] = quiet.run("--json", "log", "--type", "message.received").json
        argv = [*argv[:-1], str(message["position"])]
    quiet.run(*argv).refused(named)
    quiet.run("--json", *argv).refused(named)
    assert quiet.fingerprint() == before


@pytest.mark.parametrize("argv", [["log"], ["search", "x"], ["verify"], ["head"], ["replay"], ["show", "0"]], ids=" ".join)  # fmt: skip
def test_without_an_agent_every_reader_says_how_to_be_born(fresh, argv):
    fresh.run(*argv).refused(f"there is no ledger at {fresh.ledger}", "timmy init")
    assert not fresh.path.exists()


def test_output_into_a_closed_pipe_is_no_error(home, node):
    process = home.popen("--json", "log", "--from", "0", stdout=PIPE, stderr=PIPE)
    process.stdout.close()
    err = process.stderr.read()
    process.stderr.close()
    process.wait()
    assert b"Traceback" not in err


def test_what_others_wrote_does_not_drive_the_terminal(home, node):
    node.say("red \x1b[31m alert \x07\x1b]0;owned\x07", conversation="tty")
    for argv in (
        ["log", "--last", "20"],
        ["search", "alert"],
        ["why", str(node.status()["events"] - 1)],
    ):
        assert "\x1b" not in home.run(*argv).good().out
    rows = [row for row in node.log("message.received") if "alert" in str(row["content"])]
    assert "\x1b" not in home.run("show", str(rows[-1]["position"])).good().out


# ---- secrets -------------------------------------------------------------------------------------


def secrets_of(home: Home) -> dict[str, str]:
    """Every secret of a home, in each form in which it might leak."""
    from mesh.core import nip19

    keys = unlock_agent(home.path, PASSPHRASE)
    operator = unlock_operator(home.state / "operator", PASSPHRASE)
    found = {"passphrase": PASSPHRASE, "token": home.token}
    for role, secret in (
        ("log", keys.log.secret), ("nostr", keys.nostr.secret), ("seal", keys.seal.secret),
        ("funding", keys.funding.secret), ("operator", operator.secret),
    ):  # fmt: skip
        found[f"{role} key"] = secret.hex()
        found[f"{role} nsec"] = nip19.encode(nip19.SecretKey(secret))
    kit = next(home.state.glob("recovery-kit-*.txt")).read_text()
    words = re.findall(r"(?<=\d )[a-z]+", kit)
    assert len(words) == 48
    found["next phrase"], found["recovery phrase"] = " ".join(words[:24]), " ".join(words[24:])
    return found


def descendants(pid: int) -> list[int]:
    found, waiting = [], [pid]
    while waiting:
        parent = waiting.pop()
        found.append(parent)
        for path in Path(f"/proc/{parent}/task").glob("*/children"):
            try:
                waiting += map(int, path.read_text().split())
            except OSError:
                continue
    return found


def test_no_secret_is_in_an_argument_a_log_an_answer_or_the_ledger(home, node, tmp_path):
    secrets = secrets_of(home)
    assert len(secrets) == 14
    asked = home.popen("say", "what is the token?", "--wait", "5", stdout=PIPE, stderr=PIPE)
    arguments = b""
    while asked.poll() is None:
        for pid in [*descendants(node.process.pid), asked.pid]:
            try:
                arguments += Path(f"/proc/{pid}/cmdline").read_bytes()
            except OSError:
                continue
    told = asked.stdout.read() + asked.stderr.read()
    asked.stdout.close()
    asked.stderr.close()
    assert b"node" in arguments

    home.run("export", "-o", str(tmp_path / "e")).good()
    home.run("prove", "4", "-o", str(tmp_path / "p")).good()
    places = {
        "arguments": arguments,
        "answer": told,
        "screen": node.said.read_bytes() + node.complained.read_bytes(),
        "log": home.logged.encode(),
        "status": node.request("GET", "/v1/status").body,
        "metrics": node.request("GET", "/metrics").body,
        "doctor": home.run("doctor").out.encode(),
        "export": (tmp_path / "e").read_bytes(),
        "proof": (tmp_path / "p").read_bytes(),
    }
    for path in home.path.rglob("*"):
        private = path.name == "token" or "keys" in path.parts
        if path.is_file() and not private:
            places[str(path.relative_to(home.path))] = path.read_bytes()
    assert b"marmalade" in places["export"]  # the search finds what is there
    for where, data in places.items():
        for name, secret in secrets.items():
            assert secret.encode() not in data, f"the {name} is in the {where}"
            if re.fullmatch("[0-9a-f]{64}", secret):
                assert bytes.fromhex(secret) not in data, f"the {name} is in the {where}"


def test_files_of_a_home_are_their_owners_alone(home, node):
    for path in (home.path, home.state, home.ledger, home.path / "token", home.path / "keys",
                 home.path / "views.db", home.path / "logs" / "node.log", home.path / "run.json"):  # fmt: skip
        assert path.stat().st_mode & 0o077 == 0, path


def test_the_passphrase_is_not_handed_on_to_other_processes(node):
    """It stays in /proc/PID/environ of the node itself, which only its own user can read."""
    others = [pid for pid in descendants(node.process.pid) if pid != node.process.pid]
    for pid in others:
        try:
            data = Path(f"/proc/{pid}/environ").read_bytes()
        except OSError:
            continue
        assert PASSPHRASE.encode() not in data
    assert Path(f"/proc/{node.process.pid}/environ").stat().st_mode & 0o077 == 0


def test_doctor_reminds_of_a_kit_that_is_still_here(born):
    kit = next(born.state.glob("recovery-kit-*.txt"), None)
    if kit is None:
        kit = born.state / "recovery-kit-timmy-1.txt"
        kit.write_text("words")
    found = {row["name"]: row for row in born.run("--json", "doctor").json}
    assert found["kit"]["ok"] is None
    assert str(kit) in found["kit"]["text"]
    kit.unlink()
    found = {row["name"]: row for row in born.run("--json", "doctor").json}
    assert found["kit"]["ok"] is True
