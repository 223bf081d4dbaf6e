"""A second try, alone, for the few tests of real processes that a busy machine made late.

A whole run keeps two cores busy for half an hour with servers, relays and
nodes that wait for each other. A test among them that fails is run once more with nothing beside it
but the other tests of its file, for some files tell one story from test to test. If it passes it is named, loudly, as one that depends on the machine: it is to be mended, and the
run counts. What computes only, and everything that decides what a ledger means, has no second try;
nor have more tests than `AGAIN_MAX`, for then something is wrong.
"""

import json
import subprocess
import sys
from pathlib import Path

PLACES = (
    "adoption", "bcoin", "bench", "children", "e2e", "gateways", "genesis_approval", "genesis_fork",
    "genesis_judge", "jobs", "local", "mcp", "memory", "mesh", "node", "nostr",
    "otsd", "proxy", "redaction", "regtest", "sandbox", "skins", "soul",
)  # fmt: skip
"""Folders of tests that start processes and wait for them."""
AGAIN_MAX = 4
"""Once in some whole runs one of fourteen thousand was late; four are no accident any more."""
FAILED = Path(".pytest_cache/v/cache/lastfailed")


def main() -> int:
    """Run what failed once more. Returns 0 only if all of it may be, and passes."""
    try:
        failed = list(json.loads(FAILED.read_text()))
    except OSError:
        return 1
    if not 0 < len(failed) <= AGAIN_MAX or not all(map(waits, failed)):
        return 1
    print(f"timmy: {len(failed)} failed; once more, alone:", *failed, sep="\n  ", flush=True)
    files = sorted({test.partition("::")[0] for test in failed})
    command = [sys.executable, "-m", "coverage", "run", "-m", "pytest", "-n", "0", *files]
    code = subprocess.run(command, check=False).returncode
    if code == 0:
        print("timmy: note: they pass alone: they depend on the machine, and are to be mended:")
        print(*failed, sep="\n  ")
    return code


def waits(test: str) -> bool:
    """Tell whether a test is one of processes, and none of a core."""
    return any(test.startswith(f"tests/{place}/test_") for place in PLACES)


if __name__ == "__main__":
    sys.exit(main())
