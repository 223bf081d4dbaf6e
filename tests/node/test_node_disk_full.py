"""A disk that is full: messages are refused with 507, reading goes on, and space cures it."""

import os
import shutil
import subprocess

import pytest

from .world import until

MEGABYTES = 6


def _can_mount() -> bool:
    if os.geteuid() != 0 or shutil.which("unshare") is None:
        return False
    tried = subprocess.run(
        ["unshare", "-m", "mount", "-t", "tmpfs", "none", "/mnt"], capture_output=True, check=False
    )
    return tried.returncode == 0


needs_mounts = pytest.mark.skipif(
    not _can_mount(), reason="a small disk of our own needs root and the right to mount a tmpfs"
)


@pytest.fixture
def disk(born_seed, tmp_path):
    """An agent whose home and state lie on a disk of six megabytes, mounted for this test only."""
    root = tmp_path / "disk"
    root.mkdir()
    subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={MEGABYTES}m", "none", str(root)], check=True
    )
    try:
        home = born_seed.copy(root / "on")
        yield home
        home.end()
    finally:
        subprocess.run(["umount", "-l", str(root)], check=True)


def fill(home, *, leave: int = 0) -> None:
    """Take all the space there is, but for `leave` bytes."""
    with (home.root.parent / "ballast").open("ab", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            pass
    with (home.root.parent / "ballast").open("ab", buffering=0) as file:
        os.truncate(file.fileno(), max(0, file.tell() - leave))


@needs_mounts
def test_a_full_disk_refuses_appends_and_reading_goes_on_and_space_cures_it(disk):
    node = disk.start()
    before = node.say("said while there was space")
    fill(disk)
    refused = None
    for _ in range(200):  # SQLite's log may have room for a few more
        answer = node.request("POST", "/v1/say", {"text": "x" * 50_000, "wait_s": 0})
        if answer.status == 507:
            refused = answer
            break
        fill(disk)
    assert refused is not None
    refused.refused(507, "the disk is full", "free some space")
    acknowledged = node.status()["events"]

    disk.run("say", "anything").refused("the disk is full", "free some space")
    position = before["message"]["position"]
    assert node.request("GET", f"/v1/events/{position}").json["content"]["text"].startswith("said")
    assert node.request("GET", "/v1/search?q=space").json
    assert disk.run("--json", "show", str(position)).good().json["position"] == position
    assert disk.run("search", "space").good()
    assert disk.run("log").good()
    assert disk.run("status").good()
    assert node.status()["events"] >= acknowledged
    assert node.alive

    (disk.root.parent / "ballast").unlink()
    until(lambda: not node.status()["pending"], 120, "what was kept is answered")
    assert node.answer("and now?")
    node.stop()
    report = disk.run("--json", "verify").good().json
    assert report["size"] > acknowledged


@needs_mounts
def test_a_start_on_a_full_disk_is_refused_and_changes_nothing(disk):
    fill(disk)
    done = disk.run("run")
    assert done.code == 2, done
    assert "Traceback" not in done.err
    assert "full" in done.err or "space" in done.err, done.err
    (disk.root.parent / "ballast").unlink()
    with disk.running() as node:
        assert node.answer("hello")
    assert disk.run("verify").good()
