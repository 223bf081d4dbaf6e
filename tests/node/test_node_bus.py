"""A node on the fleet bus: by default nowhere; over a real nats-server, with TLS and its own key."""

import json
from pathlib import Path

import pytest

from tests.mesh.natsd import BOB, Authority, NatsServer
from tests.node.world import SETTINGS, until


def table(**keys) -> str:
    return (
        SETTINGS
        + "[mesh.bus]\n"
        + "".join(f"{key} = {json.dumps(str(value))}\n" for key, value in keys.items())
    )


def checks(home):
    rows = home.run("doctor", "--json").json
    return next(row for row in rows if row["name"] == "bus")


def test_by_default_the_bus_is_local_and_a_key_is_made_once(lived):
    with lived.running() as node:
        assert node.status()["bus"]["engine"] == "local"
        shown = lived.run("bus").good()
        assert shown.out == "local: no server; live words go from member to member\n"
        assert "\nbus " not in lived.run("status").good().out
        assert checks(lived)["ok"] is True
    loaded = "import sys, node.supervisor; from mesh.fleet.local_bus import LocalBus; assert 'nats' not in sys.modules"
    assert lived.python(loaded).code == 0
    file = lived.root / "nkey"
    made = lived.run("bus", "key", str(file), "--json").good().json
    assert made["public"].startswith("U")
    assert file.stat().st_mode & 0o777 == 0o600
    lived.run("bus", "key", str(file)).refused("never overwritten")
    lived.run("bus", "key").refused("key takes a file")


def test_a_node_comes_to_its_server_and_outlives_it(lived, tmp_path):
    lived.run("bus", "key", str(lived.path / "nkey")).good()
    seed = (lived.path / "nkey").read_text().strip()
    public = lived.run("bus", "key", str(tmp_path / "other"), "--json").good().json["public"]
    ours = Authority(tmp_path / "ca", "ours")
    server = NatsServer(tmp_path / "nats", users={BOB.public: None, public: None}, authority=ours)
    (lived.path / "nkey").write_text((tmp_path / "other").read_text())
    seed = (lived.path / "nkey").read_text().strip()
    lived.configure(table(engine="nats", url=server.url, nkey_file="nkey", ca_file=ours.ca))
    try:
        with lived.running() as node:
            until(
                lambda: "refused" in node.status()["bus"]["fault"], 60, "it says that none is there"
            )
            assert lived.run("bus").code == 1
            assert checks(lived)["ok"] is False
            assert node.answer("still here?")
            server.start()
            until(lambda: node.status()["bus"]["state"] == "up", 60, "it is up")
            shown = lived.run("bus").good()
            assert shown.out == f"nats up at {server.url}\n"
            assert f"nats up at {server.url}" in lived.run("status").good().out
            assert checks(lived)["ok"] is True
            server.kill()
            until(lambda: node.status()["bus"]["state"] == "down", 60, "it is down")
            assert node.answer("and now?")
            said = lived.run("status", "--json").good().out + lived.run("log", "--json").good().out
            said += (
                Path(f"/proc/{node.process.pid}/cmdline").read_text() + lived.logged + node.stderr
            )
            assert seed not in said
            assert seed[2:] not in said
    finally:
        server.kill()
    assert lived.logged.count("connection refused") <= 2
    assert "Traceback" not in lived.logged


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"engine": "nats"}, ["mesh.bus", "no address"]),
        ({"engine": "nats", "url": "nats://192.0.2.1:4222"}, ["in the clear", "tls://"]),
        ({"engine": "nats", "url": "tls://192.0.2.1:4222"}, ["nkey_file"]),
        ({"engine": "nats", "url": "nats://me:secret@127.0.0.1:4222"}, ["no more"]),
        ({"engine": "nats", "url": "nats://127.0.0.1:99999"}, ["no address"]),
        ({"engine": "nats", "url": "nats://127.0.0.1:1", "cert_file": "x"}, ["cert_key_file"]),
        ({"engine": "nats", "url": "nats://127.0.0.1:1", "ca_file": "x"}, ["tls://"]),
        ({"engine": "rabbits"}, ["mesh.bus.engine"]),
        ({"fleet": "a.b"}, ["fleet"]),
        ({"sever": "x"}, ["mesh.bus.sever", "no such key"]),
        ({"engine": "nats", "url": "nats://127.0.0.1:1", "nkey_file": "none"}, ["none", "cannot read"]),
        ({"engine": "nats", "url": "nats://127.0.0.1:1", "nkey_file": "loose"}, ["0644", "chmod"]),
        ({"engine": "nats", "url": "nats://127.0.0.1:1", "nkey_file": "bad"}, ["bad", "characters"]),
        ({"engine": "nats", "url": "tls://127.0.0.1:1", "nkey_file": "good", "ca_file": "bad"}, ["bad"]),
    ],
)  # fmt: skip
def test_what_cannot_be_used_is_refused_before_the_start(lived, keys, words):
    for name, mode in (("loose", 0o644), ("bad", 0o600), ("good", 0o600)):
        (lived.path / name).write_text("hello" if name == "bad" else BOB.seed)
        (lived.path / name).chmod(mode)
    lived.configure(table(**keys))
    done = lived.run("run").refused(*words)
    assert BOB.seed not in done.err
    assert "secret" not in done.err
