"""Make examples/: `python -m tests.e2e.make_examples`. A real agent, a real chain, real proofs."""

import shutil
import tempfile
from pathlib import Path

from tests.e2e.chain import running_chain
from tests.node.world import SETTINGS, Home

EXAMPLES = Path(__file__).parent.parent.parent / "examples"
SAID = "The roof leaks above the north window. I put a bucket there at 21:40."


def main():
    with tempfile.TemporaryDirectory() as name, running_chain(Path(name) / "chain") as chain:
        home = Home(Path(name) / "user").configure(SETTINGS + chain.settings)
        with home.running():
            said = home.run("--json", "say", SAID).good().json["message"]
            at = str(said["position"])
            chain.mine(101, home.run("anchor", "fund").good().out.strip())
            home.run("anchor", "open").good()
            chain.mine(1)
            home.run("anchor", "status").good()
            home.run("anchor", "now").good()
            chain.mine(6)
            home.run("anchor", "status").good()
            good, anchored = EXAMPLES / "good.proof", EXAMPLES / "anchored.proof"
            home.run("prove", at, "-o", str(good), "--force").good()
            home.run("prove", at, "--anchored", "-o", str(anchored), "--force").good()
        data = good.read_bytes()
        assert data.count(b"21:40") == 1
        (EXAMPLES / "tampered.proof").write_bytes(data.replace(b"21:40", b"23:40"))
        (EXAMPLES / "SOUL.md").unlink(missing_ok=True)
        shutil.copyfile(home.path / "SOUL.md", EXAMPLES / "SOUL.md")


if __name__ == "__main__":
    main()
