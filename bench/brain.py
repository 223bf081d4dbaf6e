"""Runs a model as large as a machine of 2 GB can have, beside a node that answers through it.

    python -m bench.brain            a file of 700 MB is made once and kept in build/; five minutes
    python -m bench.brain --quick    with a tiny model: does it run

Random weights have the size and the speed of real ones; what they say is noise. Node, agent process
and model are together in one control group of 2 GiB that is not allowed to swap, so what does not
fit is ended by the kernel, and counted. Needs root, or a delegated group. Of several runs the
fastest counts: whatever else the machine does can only make one slower.
"""

import argparse
import json
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Final

from rich.console import Console

from bench.contest import ROOT
from runtime import cgroups
from runtime.local_process import resident_bytes
from tests.local.gguf_files import big, tiny
from tests.node.world import SETTINGS, Home, until

GROUP_BYTES: Final = 2 * 1024**3
MIB: Final = 1024**2
PIDS: Final = 2000
TURNS: Final = 3
READY_S: Final = 600.0
TURN_S: Final = 1800.0
SOUL: Final = "# SOUL\n\nI answer.\n"
"""A word of these weights is a byte: the usual one would be two thousand words to read."""


def made(build: Path, *, quick: bool) -> Path:
    """The file of weights, made once."""
    build.mkdir(parents=True, exist_ok=True)
    path = build / ("random-tiny.gguf" if quick else "random-1b.gguf")
    if not path.exists():
        (tiny if quick else big)(path.with_suffix(".part")).replace(path)
    with path.open("rb") as file:  # its pages are to be counted where the model reads them
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    return path


def parts(node: Any) -> dict[str, int]:
    """Resident MiB of the three: the node alone, the agent's process, the model's."""
    everything, brain = (
        resident_bytes(node.process.pid),
        resident_bytes(node.status()["local"]["pid"]),
    )
    own = int(Path(f"/proc/{node.process.pid}/statm").read_text().split()[1]) * os.sysconf(
        "SC_PAGE_SIZE"
    )
    return {
        "node": own // MIB,
        "agent": (everything - own - brain) // MIB,
        "model": brain // MIB,
        "all": everything // MIB,
    }


def turns(node: Any) -> list[dict[str, Any]]:
    """Say something a few times; how long each answer took, and how many words it had."""
    found = []
    for number in range(TURNS):
        began = time.perf_counter()
        told = {"text": f"what do you know about owls, number {number}"}
        node.request("POST", "/v1/say", told, timeout=TURN_S)
        payload = node.log("model.replied")[-1]["payload"]
        found.append(
            {"s": time.perf_counter() - began, "link": payload["link"], "tried": payload["tried"]}
        )
    return found


def measured(path: Path, folder: Path, group: cgroups.Cgroup) -> dict[str, Any]:
    memory = group.folders.get("memory") or group.folders[""]
    wrapper = ("sh", "-c", f'echo $$ > "{memory}/cgroup.procs" && exec "$@"', "held")
    home = Home(folder / "machine")
    local = (
        f'[local]\nmodel = "{path}"\nport = 0\ntimeout_s = 900\n[agent]\nturn_seconds_max = 1800\n'
    )
    home.configure(SETTINGS + local)
    (folder / "SOUL.md").write_text(SOUL)
    home.run("init", "--soul", str(folder / "SOUL.md")).good()
    try:
        began = time.perf_counter()
        node = home.start(wrapper=wrapper)
        until(lambda: node.status()["local"]["state"] == "ready", READY_S, "the model is ready")
        ready_s = time.perf_counter() - began
        idle = parts(node)
        said = turns(node)
        busy, status = parts(node), node.status()["local"]
        node.stop()
    finally:
        home.end()
    usage = group.usage()
    return {
        "ready_s": ready_s,
        "idle_mib": idle,
        "after_mib": busy,
        "turns": said,
        "model_lives": status["lives"],
        "model_peak_mib": status["memory_bytes_peak"] // MIB,
        "group_peak_mib": (usage.memory_peak_bytes or 0) // MIB,
        "ended_for_memory": usage.ended_for_memory,
    }


def benched(path: Path, folder: Path) -> dict[str, Any]:
    """`timmy models bench`, as an operator runs it."""
    done = Home(folder / "bench").run("--json", "models", "bench", str(path), "--runs", "5")
    return json.loads(done.out)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.brain", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="with a tiny model: does it run")
    parser.add_argument("--build", type=Path, default=ROOT / "build", help="where files may lie")
    options = parser.parse_args()
    console = Console()
    path = made(options.build, quick=options.quick)
    group = cgroups.create(GROUP_BYTES, PIDS)
    if group is None:
        console.print("no control group can be made here: run it as root")
        return 2
    folder = Path(tempfile.mkdtemp(prefix="timmy-brain-"))
    try:
        beside = measured(path, folder, group)
        figures = {"file_mb": path.stat().st_size // 10**6, "beside_a_node": beside}
        figures["alone"] = benched(path, folder)
    finally:
        group.remove()
        shutil.rmtree(folder, ignore_errors=True)
    json.dump(figures, sys.stdout, indent=2)
    console.print()
    held = not beside["ended_for_memory"] and beside["model_lives"] == 1
    return 0 if held and any(turn["link"] == "local" for turn in beside["turns"]) else 1


if __name__ == "__main__":
    sys.exit(main())
