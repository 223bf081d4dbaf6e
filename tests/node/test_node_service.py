"""What runs a node unattended, and what watches it: the unit, the log files, the metrics."""

import configparser
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
from subprocess import DEVNULL

import pytest
from prometheus_client.parser import text_string_to_metric_families

from .world import READY_SECONDS, STOP_SECONDS, Home, until

LIMITS = "[node]\ncheckpoint_interval_ms = 200\nlog_level = 'debug'\nlog_bytes_max = 10000\nlog_files_max = 2\n[api]\nport = 0\n"


def unit_of(home: Home) -> configparser.ConfigParser:
    found = configparser.ConfigParser(interpolation=None, strict=False)
    found.optionxform = str
    found.read_string(home.run("service").good().out)
    return found


def words(text: str) -> list[str]:
    """Split as systemd does for what we write: quotes, and doubled percent signs."""
    return [word.replace("%%", "%") for word in shlex.split(text)]


@pytest.mark.parametrize("name", ["plain", "with a space", "100%h", 'a "quote"'])
def test_the_unit_starts_this_node_on_this_home_and_state(tmp_path, name):
    home = Home(tmp_path / name)
    service = unit_of(home)["Service"]
    *program, flag, path, run = words(service["ExecStart"])
    assert program == [sys.executable, "-m", "node"]
    assert (flag, path, run) == ("--home", str(home.path), "run")
    assert words(service["Environment"]) == [f"TIMMY_STATE={home.state}"]
    assert words(service["ReadWritePaths"]) == [str(home.path), str(home.state)]
    assert not home.path.exists()


def test_a_state_directory_given_relatively_is_written_whole(fresh):
    service = configparser.ConfigParser(interpolation=None, strict=False)
    service.read_string(fresh.run("service", env={"TIMMY_STATE": "here"}).good().out)
    assert words(service["Service"]["ReadWritePaths"])[1].startswith("/")


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="this machine has no systemd")
@pytest.mark.parametrize("name", ["plain", "with a space", "100%h"])
def test_systemd_accepts_the_unit(tmp_path, name):
    home = Home(tmp_path / name)
    file = tmp_path / "timmy.service"
    file.write_text(home.run("service").good().out)
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(file)],
        capture_output=True,
        text=True,
        check=False,
    )
    complaints = [line for line in done.stderr.splitlines() if "timmy.service" in line]
    assert complaints == []


def test_logs_are_rotated_at_their_size_and_only_so_many_are_kept(fresh):
    """The node's own logging, made to write sixty thousand bytes, under the umask that `run` sets."""
    fresh.configure(LIMITS)
    code = (
        "import os, structlog\nos.umask(0o077)\n"
        "from node.config import load\nfrom node.home import Home\nfrom node.logs import configure\n"
        "home = Home.find(None)\nconfigure(home, load(home.config).node, console=False)\n"
        "for number in range(300):\n"
        "    structlog.get_logger('test').info('a line', number=number, fill='x' * 100)\n"
    )
    assert fresh.python(code).good().err == ""
    files = sorted((fresh.path / "logs").iterdir())
    assert [file.name for file in files] == ["node.log", "node.log.1", "node.log.2"]
    assert all(0 < file.stat().st_size <= 10_000 for file in files)
    newest = [json.loads(line)["number"] for line in files[0].read_text().splitlines()]
    assert newest[-1] == 299
    assert {file.stat().st_mode & 0o077 for file in files} == {0}


def test_a_warning_is_one_line_on_the_terminal_and_nothing_of_a_value_in_an_exception(fresh):
    fresh.path.mkdir(parents=True)
    code = (
        "import structlog\n"
        "from node.config import load\nfrom node.home import Home\nfrom node.logs import configure\n"
        "home = Home.find(None)\nconfigure(home, load(home.config).node, console=True)\n"
        "log = structlog.get_logger('test')\nlog.info('not told')\n"
        "log.warning('a thing', name='two\\nlines')\n"
        "try:\n    int('a secret')\nexcept ValueError:\n    log.exception('it broke')\n"
        "import logging; logging.getLogger('other').error('said %s', 'plainly')\n"
    )
    assert fresh.python(code).good().err.splitlines() == [
        "timmy: warning: a thing name=two\\nlines",
        "timmy: error: it broke",
        "timmy: error: said plainly",
    ]


def test_metrics_are_what_prometheus_reads_and_follow_the_node(born):
    with born.running() as node:
        before = metrics(node)
        node.say("one more")
        least = node.status()["events"]
        after = metrics(node)
        assert least <= after["timmy_events"] <= node.status()["events"], "a checkpoint may come"
        assert after["timmy_events"] >= before["timmy_events"] + 7
        assert after["timmy_turns_pending"] == 0
        assert 0 < after["timmy_released_size"] <= after["timmy_events"]
        assert after["timmy_agent_lives"] >= 1


def metrics(node) -> dict[str, float]:
    answer = node.request("GET", "/metrics")
    assert answer.status == 200
    families = list(text_string_to_metric_families(answer.body.decode()))
    assert all(family.documentation and family.type == "gauge" for family in families)
    return {sample.name: sample.value for family in families for sample in family.samples}


# ---- Ctrl-C --------------------------------------------------------------------------------------


def test_sigint_stops_a_node_cleanly(lived):
    node = lived.start()
    said = node.say("one more thing before you go")["message"]["position"]
    node.stop(signal.SIGINT)
    assert "stopping" in node.stderr
    assert not (lived.path / "run.json").exists()
    last = lived.run("--json", "log", "--last", "1").good().json[0]
    assert (last["type"], last["payload"]["reason"]) == ("node.stopped", "stopped")
    assert last["position"] > said
    assert lived.run("verify").good()


def test_ctrl_c_on_a_terminal_reaches_the_agent_too_and_stops_cleanly(lived):
    """A terminal sends SIGINT to the whole process group, the agent process with it."""
    said, complained = lived.root / "said", lived.root / "complained"
    with said.open("wb") as out, complained.open("wb") as err:
        process = lived.popen("run", stdin=DEVNULL, stdout=out, stderr=err, start_new_session=True)
        try:
            until(
                lambda: b"talk to it" in said.read_bytes() or process.poll() is not None,
                READY_SECONDS,
                "the node has greeted",
            )
            os.killpg(process.pid, signal.SIGINT)
            assert process.wait(STOP_SECONDS) == 0
        finally:
            process.kill()
            process.wait()
    assert "Traceback" not in complained.read_text()
    assert lived.run("--json", "log", "--last", "1").json[0]["type"] == "node.stopped"
