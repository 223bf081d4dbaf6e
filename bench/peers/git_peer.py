"""git as a ledger: `python git_peer.py ROW FOLDER COUNT TEXTS`. One commit an event.

Single events are `git commit --allow-empty` with core.fsync=all; batches are one `git fast-import`
that is told to checkpoint, and to answer, after each (a pack a batch); reading is `git fsck`, which
hashes everything again, and `git log`.
"""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

STRIDE = 7919


def git(folder, *argv, **options):
    return subprocess.run(
        ["git", "-C", folder, *argv], check=True, stdout=subprocess.DEVNULL, **options
    )


def init(folder):
    for name in ("AUTHOR", "COMMITTER"):
        os.environ |= {f"GIT_{name}_NAME": "a", f"GIT_{name}_EMAIL": "a@example"}
    os.environ |= {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
    git(folder, "init", "--quiet", "--initial-branch=log", ".")
    for setting in ("core.fsync=all", "core.fsyncMethod=fsync", "fastimport.unpackLimit=1"):
        git(folder, "config", *setting.split("="))


def spent():
    """CPU of this process and of the git processes that have ended."""
    return sum(os.times()[:4])


def timed(count, work):
    start, busy = time.perf_counter(), spent()
    work()
    return {"count": count, "seconds": time.perf_counter() - start, "cpu": spent() - busy}


def single(folder, lines):
    init(folder)

    def work():
        for text in lines:
            git(folder, "commit", "--quiet", "--allow-empty", "-m", text)

    return timed(len(lines), work)


def commit(number, text, first):
    start = "reset refs/heads/log\n" if first else ""
    return (
        f"{start}commit refs/heads/log\ncommitter a <a@example> {1700000000 + number} +0000\n"
        f"data {len(text)}\n{text}\n"
    )


def batches(folder, lines, batch):
    init(folder)
    process = subprocess.Popen(
        ["git", "-C", folder, "fast-import", "--quiet"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )

    def work():
        for at in range(0, len(lines), batch):
            for number, text in enumerate(lines[at : at + batch], at):
                process.stdin.write(commit(number, text, first=number == 0))
            process.stdin.write("checkpoint\nprogress done\n")
            process.stdin.flush()
            process.stdout.readline()

    found = timed(len(lines), work)
    del found["cpu"]  # git's own is known only when it ends, with its start and its end
    process.stdin.close()
    process.wait()
    return found


def filled(folder, lines):
    batches(folder, lines, len(lines))


def replay(folder, lines):
    filled(folder, lines)

    def work():
        git(folder, "fsck", "--full", "--no-progress", stderr=subprocess.DEVNULL)
        git(folder, "log", "--format=%H %at %B", "log")

    return timed(len(lines), work)


def search(folder, lines):
    filled(folder, lines)
    asked = [lines[n * STRIDE % len(lines)].split()[:1] for n in range(max(1, len(lines) // 2000))]

    def work():
        for words in asked:
            git(folder, "log", "-20", "--format=%H %s", *(f"--grep={w}" for w in words), "log")

    return timed(len(asked), work)


def weigh(folder, lines):
    filled(folder, lines)
    packs = [path.stat().st_size for path in (folder / ".git/objects").rglob("*") if path.is_file()]
    return {"value": sum(packs) / len(lines)}


WORK = {
    "append-1": single,
    "append-100": lambda folder, lines: batches(folder, lines, 100),
    "append-1000": lambda folder, lines: batches(folder, lines, 1000),
    "replay": replay,
    "search": search,
    "bytes": weigh,
}

if __name__ == "__main__":
    row, folder, count, source = sys.argv[1:]
    lines = Path(source).read_text().splitlines()[: int(count)]
    print(json.dumps(WORK[row](Path(folder), lines)))
