"""A regtest chain as a process, and what a miner does with it."""

import json
import os
import subprocess
import sys
from base64 import b64encode
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path

STRANGER = "bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080"
"""The example address of BIP-173, on regtest: somebody who mines."""


class Chain:
    """Core's consensus behind Core's RPC, on loopback."""

    def __init__(self, port: int, cookie: Path) -> None:
        self.port = port
        self.cookie = cookie

    def rpc(self, method, *params):
        connection = HTTPConnection("127.0.0.1", self.port, timeout=30)
        token = b64encode(self.cookie.read_bytes().strip()).decode()
        body = json.dumps({"id": 1, "method": method, "params": params})
        connection.request("POST", "/", body, {"Authorization": f"Basic {token}"})
        answer = json.loads(connection.getresponse().read())
        connection.close()
        assert answer.get("error") is None, answer
        return answer["result"]

    def mine(self, count, address=STRANGER):
        return self.rpc("generatetoaddress", count, address)

    @property
    def online(self):
        """What makes a verifier ask this chain."""
        return ("--online", f"http://127.0.0.1:{self.port}", "--cookie", str(self.cookie))

    @property
    def settings(self):
        """The [attest] table of a node that uses this chain."""
        return (
            '\n[attest]\nbackend = "bitcoind"\npoll_s = 3600\n'
            f'rpc_url = "http://127.0.0.1:{self.port}"\nrpc_cookie_file = "{self.cookie}"\n'
        )


@contextmanager
def running_chain(folder: Path):
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.regtest", "--port", "0", "--datadir", str(folder)],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ,
        cwd=Path(__file__).parent.parent.parent,
    )
    try:
        word, port, cookie = process.stdout.readline().split()
        assert word == "ready"
        yield Chain(int(port), Path(cookie))
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
