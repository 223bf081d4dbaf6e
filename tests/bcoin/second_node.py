"""npm's bcoin 1.0.2 as a process: a full node by other people, in another language.

What it is good for: an independent verdict on blocks (headers, Merkle roots, work, amounts, double
spends, sequence locks). What it is not: its code is of 2018. It takes Taproot outputs for such that
anybody may spend, so it never checks a Taproot signature, and lets no spend of one into its mempool;
it replaces nothing by fee; and it answers `sendrawtransaction` before it has looked at the
transaction. Loopback only.

Three tricks make it run: leveldown from a version with a ready-made binary (package.json), no install
scripts, and pure JavaScript instead of its native modules (NODE_BACKEND=js).
"""

import json
import os
import shutil
import subprocess
import time
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

from tests.ports import free_port

HERE = Path(__file__).parent
PROGRAM = HERE / "node_modules" / "bcoin" / "bin" / "node"
HRP = "rb"
"""Its prefix of regtest addresses; Core's is bcrt."""
SEGWIT_HEIGHT = 432
"""There segwit is activated by votes (BIP-9): no block below may hold a witness."""
READY_S = 60
KEY = "test"


def absence() -> str:
    """Why it cannot run here; empty if it can."""
    if shutil.which("node") is None:
        return "node is not installed"
    return "" if PROGRAM.exists() else "bcoin is not installed: make test, with npm and a network"


class Bcoin:
    def __init__(self, port: int, folder: Path) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.credentials = folder / "rpc"
        self.credentials.write_text(f"x:{KEY}")
        self.credentials.chmod(0o600)
        self._port = port

    def __call__(self, method: str, *parameters: Any) -> Any:
        connection = HTTPConnection("127.0.0.1", self._port, timeout=60)
        token = b64encode(f"x:{KEY}".encode()).decode()
        body = json.dumps({"id": 1, "method": method, "params": parameters})
        try:
            connection.request("POST", "/", body, {"Authorization": f"Basic {token}"})
            answer = json.loads(connection.getresponse().read())
        finally:
            connection.close()
        assert not answer["error"], answer
        return answer["result"]

    def until_mempool(self, holds: str) -> None:
        """It answers before it has verified: look until it has."""
        deadline = time.monotonic() + READY_S
        while holds not in self("getrawmempool"):
            assert time.monotonic() < deadline, f"{holds} never came into its mempool"
            time.sleep(0.02)


@contextmanager
def second_node(folder: Path) -> Iterator[Bcoin]:
    port = free_port()
    options = ["--network=regtest", "--memory=true", "--index-tx=true", f"--prefix={folder}/data"]
    options += ["--http-host=127.0.0.1", f"--http-port={port}", f"--api-key={KEY}"]
    # Zero outbound peers trip an assertion; regtest's only seed is loopback.
    options += ["--listen=false", "--max-outbound=1", "--no-dns", "--no-upnp"]
    options += ["--no-wallet", "--workers=false", "--log-level=error", "--replace-by-fee=true"]
    with (
        (folder / "log").open("wb") as log,
        subprocess.Popen(
            ["node", str(PROGRAM), *options],
            env=os.environ | {"NODE_BACKEND": "js"},
            stdout=log,
            stderr=log,
        ) as process,
    ):
        try:
            bcoin = Bcoin(port, folder)
            _wait(bcoin, process, folder / "log")
            yield bcoin
        finally:
            process.terminate()
            process.wait(READY_S)


def _wait(bcoin: Bcoin, process: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + READY_S
    while True:
        try:
            bcoin("getblockcount")
        except OSError:
            ended = process.poll() is not None
            assert not ended, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.05)
        else:
            return
