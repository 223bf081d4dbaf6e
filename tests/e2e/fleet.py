"""Three nodes that are one fleet, on one machine: their homes, their model, and a link to cut."""

import json
import re
import shlex
import socket
import threading
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from mesh.core.fleet.duty import order
from tests.node.world import SETTINGS, Home, Node, until

PAGE = (Path(__file__).parents[2] / "docs/OPERATIONS.md").read_text()
WAIT = 90.0
LEASE_S = 3
TOML = """
[relay]
enabled = false
[publish]
relays = ["ws://127.0.0.1:1"]
[witness]
interval_s = 1
[mesh]
mirror = ["fleet"]
route = true
lease_seconds = {lease_s}
answer = "{answer}"
[[models]]
name = "scripted"
base_url = "{model}/{name}"
model = "m-1"
privacy = "local"
stream = {stream}
timeout_s = 60
"""
"""The only relay that is named does not exist, and no node has one of its own."""


class Model:
    """Answers each node with how many words of others it was shown; a node's gate may be closed."""

    def __init__(self) -> None:
        self.asked: dict[str, list[list[tuple[str, str]]]] = {}
        self.gates: dict[str, threading.Event] = {}
        self.url = ""

    def gate(self, name: str) -> threading.Event:
        """The gate of one node: open unless it was cleared."""
        if name not in self.gates:
            self.gates[name] = threading.Event()
            self.gates[name].set()
        return self.gates[name]

    def answer(self, name: str, body: dict[str, Any]) -> dict[str, Any]:
        said = [
            (one["role"], str(one["content"]))
            for one in body["messages"]
            if one["role"] in ("user", "assistant")
        ]
        self.asked.setdefault(name, []).append(said)
        self.gate(name).wait(WAIT)
        words = f"{name} was told {len(said)} things, and at last: {said[-1][1]}"
        usage = {"prompt_tokens": 10, "completion_tokens": 5}
        choice = {"message": {"content": words}, "finish_reason": "stop"}
        return {"model": "m-1", "choices": [choice], "usage": usage}

    @contextmanager
    def serving(self):
        server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
        server.daemon_threads = True
        server.model = self
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        self.url = f"http://127.0.0.1:{server.server_address[1]}"
        try:
            yield self
        finally:
            for gate in self.gates.values():
                gate.set()
            server.shutdown()
            thread.join()
            server.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        name = self.path.split("/")[1]
        if body.get("stream"):
            with suppress(OSError):
                self.stream(name)
            return
        data = json.dumps(self.server.model.answer(name, body)).encode()
        with suppress(OSError):  # who asked was killed meanwhile
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

    def stream(self, name: str) -> None:
        """Two sentences, and the second one only once the node's gate is open."""
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        for number, words in enumerate(("The first sentence is here. ", "And the second is. ")):
            if number:
                self.server.model.gate(name).wait(WAIT)
            choice = {"index": 0, "delta": {"content": words}, "finish_reason": None}
            self._tell({"model": "m-1", "choices": [choice]})
        end = {"index": 0, "delta": {}, "finish_reason": "stop"}
        usage = {"prompt_tokens": 10, "completion_tokens": 5}
        self._tell({"model": "m-1", "choices": [end], "usage": usage})
        self.wfile.write(b"data: [DONE]\n\n")
        self.close_connection = True

    def _tell(self, value: Any) -> None:
        self.wfile.write(b"data: " + json.dumps(value).encode() + b"\n\n")
        self.wfile.flush()

    def log_message(self, *_: Any) -> None:
        pass


class Link:
    """A link to one node that can be cut: a TCP proxy before its port."""

    def __init__(self, port: int) -> None:
        self._to = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._whole = True
        self._swallows = False
        self._barred: int | None = None
        self._ends: set[socket.socket] = set()
        self._thread = threading.Thread(target=self._accept)
        self._thread.start()

    def cut(self) -> None:
        """End every connection, and each new one at once."""
        self._whole = False
        self._end_all()

    def swallow(self) -> None:
        """Keep every connection and take new ones, and let nothing through: nobody is told."""
        self._swallows = True

    def _end_all(self) -> None:
        for end in list(self._ends):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def bar(self, pid: int) -> None:
        """End every connection, and each new one of this process; others come through again."""
        self._barred = pid
        self._end_all()

    def mend(self) -> None:
        """Let all through again. What was swallowed is lost, and the connections with it."""
        if self._swallows:
            self._swallows = False
            self._end_all()
        self._whole, self._barred = True, None

    def close(self) -> None:
        self.cut()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()

    def _accept(self) -> None:
        while True:
            try:
                near, (_, port) = self._listener.accept()
            except OSError:
                return
            barred = self._barred is not None and owns(self._barred, port)
            far = None if barred else self._far()
            if far is None:
                near.close()
                continue
            self._ends |= {near, far}
            for one, other in ((near, far), (far, near)):
                threading.Thread(target=self._carry, args=(one, other), daemon=True).start()

    def _far(self) -> socket.socket | None:
        with suppress(OSError):
            return socket.create_connection(("127.0.0.1", self._to)) if self._whole else None
        return None

    def _carry(self, one: socket.socket, other: socket.socket) -> None:
        with suppress(OSError):
            while data := one.recv(65_536):
                if not self._swallows:
                    other.sendall(data)
        with suppress(OSError):
            other.shutdown(socket.SHUT_RDWR)
        self._ends.discard(one)
        one.close()


def owns(pid: int, port: int) -> bool:
    """Whether a process has the local TCP port of an established connection (Linux)."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    inodes = {row[9] for row in rows if int(row[1].rpartition(":")[2], 16) == port}
    for one in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(OSError):  # closed meanwhile
            if one.readlink().name.removeprefix("socket:[").removesuffix("]") in inodes:
                return True
    return False


@dataclass
class Member:
    """One node of the fleet."""

    name: str
    home: Home
    port: int
    node: Node | None = None
    ledger: bytes = b""

    @property
    def fleet(self) -> Any:
        return self.node.request("GET", "/v1/fleet").json

    def log(self, kind: str) -> list[Any]:
        return self.node.log(kind)

    def verify(self) -> str:
        return self.home.run("--json", "verify").good().json["verdict"]


def commands(section: str) -> list[list[tuple[str, str]]]:
    """Blocks of a section of the page: on whose machine what is typed, without `timmy`."""
    [text] = re.findall(rf"^## {section}\n(.*?)(?=^## |\Z)", PAGE, re.DOTALL | re.MULTILINE)
    blocks = re.findall(r"```console\n(.*?)```", text, re.DOTALL)
    return [re.findall(r"^(\w+)\$ timmy (.*)$", one, re.MULTILINE) for one in blocks]


@dataclass
class Three:
    """The fleet. `link` is the way to the second one."""

    root: Path
    model: Model
    answer: str = "lease"
    lease_s: int = LEASE_S
    members: list[Member] = field(default_factory=list)
    link: Link | None = None
    links: dict[str, Link] = field(default_factory=dict)
    """In majority mode each member is behind a link, so that one can be cut off from both sides."""

    def cut_off(self, name: str) -> None:
        """Part one member from the others: nothing gets in, nothing gets out."""
        pid = self.named(name).node.process.pid
        for other, link in self.links.items():
            if other == name:
                link.cut()
            else:
                link.bar(pid)

    def mend(self) -> None:
        for link in self.links.values():
            link.mend()

    def found(self) -> None:
        """Begin as the page says: three homes, a fleet at the first, the others taken in."""
        self.members = [self.made(name) for name in ("ann", "bea", "cid")]
        self.types("Begin")
        self.gathers()

    def gathers(self) -> None:
        """Wait until all who are to be of the fleet are, and hear of each other."""
        for member in self.members:
            until(lambda one=member: own(one) is not None, WAIT, "it is taken in")
            member.ledger = bytes.fromhex(own(member)["ledger"])
        for member in self.members:
            until(lambda one=member: all_there(one), WAIT, "all three are there")

    def types(self, section: str, block: int = 0) -> None:
        """Type the commands of one block of a section of the page, each on its machine.

        TOKEN and DIGEST are what an earlier command printed, as the page says.
        """
        told: dict[str, str] = {}
        for name, line in commands(section)[block]:
            member = self.named(name)
            first = self.links.get("ann", self.members[0])
            argv = shlex.split(line.replace("10.0.0.1:8787", f"127.0.0.1:{first.port}"))
            argv = [self._meant(word, told) for word in argv]
            if argv == ["run"]:
                member.node = member.home.start()
            elif argv[0] == "run":
                member.node = joining(member.home, argv[-1])
                until(lambda one=member: asks(self.members[0], one), WAIT, "it asks to be taken in")
            else:
                if argv[:2] == ["mesh", "approve"]:
                    until(lambda one=member: one.fleet["proposal"], WAIT, "it hears what is asked")
                out = member.home.run(*argv).good().out
                if argv[:2] == ["mesh", "invite"]:
                    told["TOKEN"] = out.strip()
                elif found := re.search(r"timmy mesh approve ([0-9a-f]+)$", out, re.MULTILINE):
                    told["DIGEST"] = found[1]

    def _meant(self, word: str, told: dict[str, str]) -> str:
        """What a user types where the page has a word for it; files lie beside the homes."""
        return str(self.root / word) if word.endswith(".backup") else told.get(word, word)

    def named(self, name: str) -> Member:
        return next(one for one in self.members if one.name == name)

    def made(self, name: str) -> Member:
        home = Home(self.root / name)
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = listener.getsockname()[1]
        text = SETTINGS.replace("port = 0", f"port = {port}")
        stream = str(self.answer == "majority").lower()
        if name == "bea" or self.answer == "majority":
            link = self.links[name] = Link(port)
            self.link = link if name == "bea" else self.link
            text = text.replace("[api]", f'[api]\nurl = "http://127.0.0.1:{link.port}"')
        more = TOML.format(
            lease_s=self.lease_s, answer=self.answer, stream=stream, model=self.model.url, name=name
        )
        home.configure(text + more)
        return Member(name, home, port)

    def conversation(self, prefix: str = "talk") -> str:
        """A name whose home is the second member, and then the third."""
        first, second, third = (member.ledger for member in self.members)
        names = (f"{prefix}-{number}" for number in range(10_000))
        return next(
            one
            for one in names
            if order(one.encode(), (first, second, third)) == (second, third, first)
        )

    def end(self) -> None:
        for member in self.members:
            member.home.end()
        for link in self.links.values():
            link.close()


def joining(home: Home, token: str) -> Node:
    """`timmy run --join TOKEN`."""
    node = Node.__new__(Node)
    node.home, node.port = home, 0
    node.said, node.complained = home.root / "run.out", home.root / "run.err"
    with node.said.open("wb") as out, node.complained.open("wb") as err:
        node.process = home.popen("run", "--join", token, stdout=out, stderr=err)
    home._nodes.append(node)
    node.wait_until_ready()
    return node


def own(member: Member) -> Any:
    return next((one for one in member.fleet["members"] if one["self"]), None)


def asks(member: Member, newcomer: Member) -> bool:
    return newcomer.name in [one["name"] for one in member.fleet["waiting"]]


def all_there(member: Member) -> bool:
    return sum(one["there"] for one in member.fleet["members"]) == 3
