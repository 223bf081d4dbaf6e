"""OpenTimestamps from end to end: our node, our calendar, Core's consensus, and the public client."""

import hashlib
from contextlib import ExitStack
from dataclasses import replace

import pytest

from attest.core.ots import BitcoinBlock, Timestamp
from attest.core.ots_file import parse_file
from tests.e2e.chain import running_chain
from tests.node.world import SETTINGS, Home, until
from tests.otsd.calendar import ADDRESS
from tests.otsd.process import public_ots, running_calendar


class Place:
    """A chain and two calendars on it."""

    def __init__(self, chain, calendars):
        self.chain, self.calendars = chain, calendars
        self.rpc = f"http://127.0.0.1:{chain.port}"

    def ots(self, *arguments):
        return public_ots(self.rpc, self.chain.cookie, *map(str, arguments))

    def settle(self):
        """Both calendars commit, and six blocks bury it."""
        for calendar in self.calendars:
            calendar.commit()
            self.chain.mine(1)
        self.chain.mine(6)

    @property
    def urls(self):
        return [calendar.url for calendar in self.calendars]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    with ExitStack() as stack:
        chain = stack.enter_context(running_chain(tmp_path_factory.mktemp("chain")))
        chain.mine(110, ADDRESS)
        rpc = f"http://127.0.0.1:{chain.port}"
        calendars = [stack.enter_context(running_calendar(rpc, chain.cookie)) for _ in range(2)]
        yield Place(chain, calendars)


@pytest.fixture(scope="module")
def home(place, tmp_path_factory):
    settings = SETTINGS + place.chain.settings + f"calendars = {place.urls}\nstamp_every_s = 0\n"
    home = Home(tmp_path_factory.mktemp("stamped") / "user").configure(settings)
    with home.running():
        yield home
    home.end()


def anchor(home, *arguments):
    return home.run("--json", "anchor", *map(str, arguments)).good().json


def export(home, path, *arguments):
    return anchor(home, "export-ots", *arguments, "-o", path)


def stamps(found):
    return [(stamp["standing"], {p["standing"] for p in stamp["calendars"]})
            for stamp in found["stamps"]]  # fmt: skip


def test_an_event_is_dated_by_calendars_and_the_public_client_agrees(home, place, tmp_path):
    said = home.run("--json", "say", "the beam was replaced today").good().json["message"]
    at = said["position"]
    home.run("anchor", "export-ots", str(at), "-o", str(tmp_path / "x")).refused("no calendar")
    home.run("anchor", "export-ots", "-o", str(tmp_path / "x")).refused("no checkpoint is in a")
    assert stamps(anchor(home, "stamp"))[-1] == ("pending", {"pending"})
    early = export(home, tmp_path / "early", at)
    assert early["heights"] == []
    place.settle()
    # The stranger upgrades the pending file by himself, from the calendars it names.
    whitelist = [word for url in place.urls for word in ("-l", url)]
    done = place.ots(*whitelist, "upgrade", early["ots"])
    assert done.returncode == 0, done.stderr
    done = place.ots("verify", "-f", early["file"], early["ots"])
    assert "Success! Bitcoin block" in done.stderr, done.stderr
    # So does the node.
    assert stamps(anchor(home, "upgrade"))[-1] == ("attested", {"attested"})
    late = export(home, tmp_path / "late", at)
    assert late["network"] == "regtest"
    done = place.ots("verify", "-f", late["file"], late["ots"])
    assert done.returncode == 0, done.stderr
    assert f"Bitcoin block {late['heights'][0]} attests" in done.stderr
    file = (tmp_path / "late.event").read_bytes()
    shown = home.run("--json", "show", str(at)).good().json
    assert hashlib.sha256(file).hexdigest() == late["sha256"]
    assert file[:1] == b"\0"
    assert bytes.fromhex(shown["stream"]) in file


def test_a_tampered_file_and_a_wrong_height_are_refused(home, place, tmp_path):
    at = home.run("--json", "log", "--type", "message.received").good().json[0]["position"]
    found = export(home, tmp_path / "good", at)
    bad = tmp_path / "bad.event"
    bad.write_bytes((tmp_path / "good.event").read_bytes() + b"x")
    done = place.ots("verify", "-f", bad, found["ots"])
    assert (done.returncode, "File does not match" in done.stderr) == (1, True), done.stderr
    good = parse_file((tmp_path / "good.ots").read_bytes())
    paths = [
        replace(path, attestation=BitcoinBlock(path.attestation.height + 3))
        for path in good.timestamp.paths
    ]
    wrong = tmp_path / "wrong.ots"
    wrong.write_bytes(replace(good, timestamp=Timestamp.of(paths)).encode())
    done = place.ots("verify", "-f", found["file"], wrong)
    assert (done.returncode, "Bitcoin verification failed" in done.stderr) == (1, True), done.stderr


def test_every_anchored_wish_is_stamped_and_its_proofs_join(home, place, tmp_path):
    home.run("anchor", "open").refused("fund")
    place.chain.mine(101, anchor(home, "fund")["funding_address"])
    assert anchor(home, "open")["links"][0]["standing"] == "pending"
    digest = anchor(home, "status")["links"][0]["digest"]

    def followed():
        newest = anchor(home, "status")["stamps"][-1]
        return newest["digest"] == digest and newest["standing"] == "pending"

    until(followed, 60, "the wish is stamped")
    place.settle()
    assert anchor(home, "status")["links"][0]["standing"] == "confirmed"
    alone = export(home, tmp_path / "alone")
    assert alone["sha256"] == digest
    assert len(alone["heights"]) == 1
    done = place.ots("verify", "-f", alone["file"], alone["ots"])
    assert done.returncode == 0, done.stderr
    anchor(home, "upgrade")
    joined = export(home, tmp_path / "joined")
    # The anchor's own block, which is the first calendar's too, and the second calendar's.
    assert len(joined["heights"]) == 2
    assert len(parse_file((tmp_path / "joined.ots").read_bytes()).timestamp.paths) == 3
    assert (tmp_path / "joined.note").read_text().startswith("timmy/")
    for path in ("alone", "joined"):
        note = tmp_path / f"{path}.note"
        assert hashlib.sha256(note.read_bytes()).hexdigest() == digest
        done = place.ots("verify", "-f", note, tmp_path / f"{path}.ots")
        assert done.returncode == 0, done.stderr
    note.write_bytes(note.read_bytes().replace(b"/0\n", b"/1\n", 1))
    assert place.ots("verify", "-f", note, tmp_path / "joined.ots").returncode == 1


def test_stamping_is_recorded_and_never_feeds_itself(home, place):
    def stamped():
        return home.run("--json", "log", "--type", "checkpoint.stamped").good().json

    before = stamped()
    assert [row["payload"]["standing"] for row in before] == ["pending", "attested"] * 2
    assert all(row["payload"]["checked"] for row in before[1::2])
    for _ in range(2):
        place.chain.mine(1)
        anchor(home, "upgrade")
    assert stamped() == before
    requested = home.run("--json", "log", "--type", "anchor.requested").good().json
    assert len(requested) == 1


def test_the_public_client_uses_our_calendar(place, tmp_path):
    file = tmp_path / "letter.txt"
    file.write_text("dear stranger\n")
    options = [word for url in place.urls for word in ("-c", url)]
    done = place.ots("stamp", *options, file)
    assert done.returncode == 0, done.stderr
    whitelist = [word for url in place.urls for word in ("-l", url)]
    done = place.ots(*whitelist, "upgrade", f"{file}.ots")
    assert "Pending confirmation" in done.stderr
    place.settle()
    assert place.ots(*whitelist, "upgrade", f"{file}.ots").returncode == 0
    assert place.ots("verify", f"{file}.ots").returncode == 0


def test_pending_proofs_survive_a_restart_and_a_calendar_that_is_away(place, tmp_path_factory):
    root = tmp_path_factory.mktemp("restarted") / "user"
    calendars = [*place.urls, "http://127.0.0.1:1"]
    settings = SETTINGS + f"\n[attest]\ncalendars = {calendars}\n"
    home = Home(root).configure(settings)
    try:
        with home.running():
            # Nobody asks: it stamps by itself when it never did.
            until(lambda: stamps(anchor(home, "status"))[-1:] == [
                ("pending", {"pending", "wanted"})
            ], 60, "the node has stamped its birth")  # fmt: skip
            home.run("say", "something happened").good()
            found = anchor(home, "stamp")["stamps"][-1]
            trouble = [part["trouble"] for part in found["calendars"]]
            assert found["standing"] == "pending"
            assert trouble[:2] == [None, None]
            assert "no answer" in trouble[2]
        place.settle()
        with home.running():
            found = anchor(home, "upgrade")["stamps"][-1]
            assert [part["standing"] for part in found["calendars"]] == ["attested"] * 2 + [
                "wanted"
            ]
            assert not any(part["checked"] for part in found["calendars"])
            file = export(home, root / "x")
        done = place.ots("verify", "-f", file["file"], file["ots"])
        assert done.returncode == 0, done.stderr
        backup = root / "b.backup"
        home.run("backup", "-o", str(backup)).good()
        second = Home(root / "second")
        second.run("restore", str(backup)).good()
        assert list((root / "second" / "home" / "anchors").glob("stamp-*"))
    finally:
        home.end()
