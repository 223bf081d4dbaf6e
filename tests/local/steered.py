"""Runs `timmy run` under a clock that a file moves forward: python steered.py FILE SECONDS.

The file holds milliseconds that are added to the machine's clock. All else is the real node; what
waits for a time looks at the clock every SECONDS and not once a minute, for nothing tells it.
"""

import runpy
import sys
import time
from pathlib import Path


def main(file: Path, look_s: float) -> None:
    true_ns = time.time_ns
    time.time_ns = lambda: true_ns() + int(file.read_text()) * 1_000_000
    sys.path.insert(0, str(Path.cwd()))
    import mesh.fleet.duties
    import runtime.scheduler

    runtime.scheduler.SLEEP_S_MAX = look_s
    mesh.fleet.duties.LOOK_SECONDS_MAX = look_s
    sys.argv = ["timmy", "run"]
    runpy.run_module("node", run_name="__main__")


if __name__ == "__main__":
    main(Path(sys.argv[1]), float(sys.argv[2]))
