"""A gateway in sixty lines: letters in a folder become messages, answers become letters.

    python3 mailbox_gateway.py FOLDER         FOLDER/in/ADDRESS.txt  ->  FOLDER/out/ADDRESS-N.txt

It keeps nothing. A letter's key is made of the letter, so one that is sent twice is said once; the
node knows which answers were delivered. Kill it anywhere and start it again.
"""

import hashlib
import json
import os
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

NAME = "mailbox"


def ask(method: str, path: str, body: dict[str, Any] | None = None) -> Any:
    """Send one request to the node of this home."""
    home = Path(os.environ.get("TIMMY_HOME", Path.home() / ".timmy"))
    node = json.loads((home / "run.json").read_text())
    request = urllib.request.Request(
        f"http://{node['host']}:{node['port']}/v1/{path}",
        data=None if body is None else json.dumps(body).encode(),
        headers={"Authorization": f"Bearer {(home / 'token').read_text().strip()}"},
        method=method,
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)


def receive(letter: Path, done: Path) -> None:
    """Say a letter to the agent, then put it away: in this order, for dying between is harmless."""
    text, who = letter.read_text(), letter.stem
    key = hashlib.sha256(f"{NAME}/{letter.name}/{text}".encode()).hexdigest()[:32]
    said = {"text": text, "author": who, "conversation": f"{NAME}/{who}", "gateway": NAME}
    ask("POST", "say", said | {"key": key, "wait_s": 0})
    letter.rename(done / f"{key}.txt")


def deliver(out: Path, wait_s: int) -> None:
    """Write the answers that wait, then say so. One that is written twice has the same name."""
    for answer in ask("GET", f"gateways/{NAME}/answers?wait_s={wait_s}"):
        whither = out / f"{answer['author']}-{answer['position']}.txt"
        whither.with_suffix(".new").write_text(answer["text"] or "(erased)")
        whither.with_suffix(".new").rename(whither)
        ask("POST", f"gateways/{NAME}/delivered", {"position": answer["position"]})


def main(folder: Path) -> None:
    """Carry letters until somebody stops it."""
    places = [folder / name for name in ("in", "out", "done")]
    for place in places:
        place.mkdir(parents=True, exist_ok=True)
    while True:
        try:
            for letter in sorted(places[0].glob("*.txt")):
                receive(letter, places[2])
            deliver(places[1], wait_s=1)
        except (OSError, ValueError) as error:  # the node is not there, or says no: try again
            print(f"{NAME}: {error}", file=sys.stderr)
            time.sleep(1)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
