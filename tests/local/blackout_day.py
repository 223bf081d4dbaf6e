"""A day without the world, carried out: python -m tests.local.blackout_day ROOT MODEL (in no network).

Prints what happened as one JSON document. A quarter of an hour takes as long as the node needs for
what is due in it. Providers are configured and dead; until noon the model of this machine answers,
then its file is gone and its process is killed.
"""

import errno
import json
import os
import signal
import socket
import sys
import time
from pathlib import Path

from tests.node.world import Home, until

QUARTERS = 96
NOON = 48
QUARTER_MS = 15 * 60 * 1000
WAIT_S = 120.0
LOOK_S = "0.1"
SETTINGS = """
[node]
checkpoint_interval_ms = 200
[api]
port = 0
[privacy]
default = "public"
[local]
model = "{model}"
port = 0
threads = 1
memory_mb = 600
[[models]]
name = "named"
base_url = "https://openrouter.invalid/api/v1"
model = "m"
privacy = "public"
timeout_s = 2
[[models]]
name = "numbered"
base_url = "http://192.0.2.1/v1"
model = "m"
privacy = "trusted"
timeout_s = 2
"""
JOBS = (
    ("count", "30 * * * *", "--run", "echo", "counted"),
    (
        "news",
        "0 */3 * * *",
        "--say",
        "what is new",
        "--otherwise",
        "echo",
        "no model: nothing read",
    ),
)
MEMORY = "the cellar key hangs behind the red door"


def reachable() -> bool:
    """Whether anything but this machine can be reached: there must be no way, not just no answer."""
    with socket.socket() as sock:
        sock.settimeout(0.2)
        return sock.connect_ex(("192.0.2.1", 80)) != errno.ENETUNREACH


class Day:
    def __init__(self, home: Home, steer: Path) -> None:
        self.home, self.steer = home, steer
        now_ms = time.time_ns() // 1_000_000
        self.ahead_ms = 86_400_000 - now_ms % 86_400_000 + 60_000  # a minute after midnight
        steer.write_text(str(self.ahead_ms))
        own = Path(__file__).with_name("steered.py")
        self.node = home.start(wrapper=(sys.executable, str(own), str(steer), LOOK_S))
        self.said: list[dict] = []

    def local(self) -> dict:
        return self.node.status()["local"]

    def say(self, text: str) -> None:
        said = self.node.say(text)
        replied = self.node.log("model.replied")[-1]["payload"]
        self.said.append(
            {"link": replied["link"], "words": bool(said["answer"]["content"]["text"])}
        )

    def quarter(self, beats: int) -> None:
        """Let a quarter of an hour pass, and wait for all that is due in it."""
        self.ahead_ms += QUARTER_MS
        temporary = self.steer.with_suffix(".new")
        temporary.write_text(str(self.ahead_ms))
        temporary.replace(self.steer)
        then_s = (time.time_ns() // 1_000_000 + self.ahead_ms) // 1000

        def done() -> bool:
            jobs = self.node.status()["jobs"]
            seen = (jobs["looked_s"] or 0) >= then_s and not jobs["running"] and not jobs["late"]
            return seen and len(self.node.log("node.beat")) >= beats

        until(done, WAIT_S, f"quarter {beats} is over")

    def kill_local(self) -> None:
        path = Path(self.local()["file"])
        path.unlink()
        os.kill(self.local()["pid"], signal.SIGKILL)
        until(lambda: self.local()["state"] == "given up", WAIT_S, "the local model is dead")

    def told(self) -> dict:
        node = self.node
        status = node.status()
        rows = node.request("GET", "/v1/jobs").json
        given = {row["id"] for row in rows if row["kind"] in ("script", "agent")}
        finished = [event["payload"] for event in node.log("job.finished")]
        ends = [end for end in finished if end["job"] in given]
        own = {end["outcome"] for end in finished if end["job"] not in given}
        return {
            "said": self.said,
            "received": len(node.log("message.received")),
            "sent": len(node.log("message.sent")),
            "turns": [event["payload"]["outcome"] for event in node.log("turn.finished")],
            "tried": sorted({
                f"{one['name']}: {one['reason']}"
                for event in node.log("model.replied") for one in event["payload"]["tried"]
            }),
            "beats": len(node.log("node.beat")),
            "reports": len(node.log("node.reported")),
            "own": sorted(own),
            "jobs": [[end["outcome"], end.get("exit")] for end in ends],
            "skipped": [event["payload"] for event in node.log("job.skipped")],
            "alarms": [alarm["trigger"] for alarm in status["alarms"]],
            "head": status["head"]["size"],
            "checkpoints": len(node.log("checkpoint.published")),
            "found": len(self.home.run("--json", "search", "cellar key").good().json),
            "local": status["local"]["reason"],
        }  # fmt: skip


def main(root: Path, model: Path) -> dict:
    home = Home(root)
    own = root / "model.gguf"
    own.write_bytes(model.read_bytes())
    home.configure(SETTINGS.format(model=own))
    way_out = reachable()
    home.run("init").good()
    day = Day(home, root / "clock")
    try:
        until(lambda: day.local()["state"] == "ready", WAIT_S, "the local model is ready")
        for name, when, *more in JOBS:
            home.run("jobs", "add", name, "--yes", "--when", when, *more).good()
        home.run("memory", "add", MEMORY).good()
        for quarter in range(1, QUARTERS + 1):
            day.quarter(quarter)
            if quarter == NOON:
                day.kill_local()
            if quarter % 4 == 0:
                day.say(f"how is the cellar at {quarter // 4}")
        told = day.told() | {"way_out": way_out}
        day.node.stop()
    finally:
        home.end()
    return told


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]), Path(sys.argv[2]))))
