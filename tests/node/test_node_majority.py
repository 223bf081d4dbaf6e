"""Majority mode at a member that hands nothing on: it answers nothing while it is alone, either."""

import json
import threading
import time
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from mesh.core.fleet.joining import Token, make_request
from mesh.core.fleet.presence import Presence
from tests.mesh.test_manifest import member, signer
from tests.node.world import SETTINGS, until

WAIT = 90.0
ALONE = '[mesh]\nanswer = "majority"\nlease_seconds = 3\n'
"""As a newcomer's node.toml has it: no route, and an invitation names no gateway by itself."""
KEPT = "1 of 2 voters are in reach, 2 are needed"


class Ghost(BaseHTTPRequestHandler):
    """A voter whose keys the test has: it answers presences while it is there."""

    there = threading.Event()

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        data = json.dumps({"number": 1}).encode()
        self.send_response(200 if self.there.is_set() else 503)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_):
        pass


@contextmanager
def serving():
    Ghost.there.clear()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Ghost)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def taken_in(home, node, url):
    """The ghost, as the second voter."""
    token = Token.parse(home.run("mesh", "invite", "--roles", "home,voter").good().out.strip())
    ghost = replace(member("ghost"), urls=(url,))
    request = make_request(token.secret, ghost, signer("ghost"))
    assert node.request("POST", "/fleet/join?after=0", request, token="").status == 200
    home.run("mesh", "admit", "ghost").good()


def says(node):
    """Its presence, dated now."""
    said = Presence(
        ledger=member("ghost").ledger, manifest=bytes(32), number=1, time_s=int(time.time()),
        events=0, load=0,
    )  # fmt: skip
    return node.request("POST", "/fleet/presence", said.sign(signer("ghost")), token="")


def alone(node):
    """Whether two vote, the newer one from its `since` on, and the other's lease is over."""
    route = node.status()["route"]
    return (route["reached"], route["voters"]) == (1, 2)


def test_a_member_that_hands_nothing_on_keeps_what_it_is_told_while_it_is_alone(place):
    home = place("alone").configure(SETTINGS + ALONE)
    home.run("init").good()
    with home.running() as node, serving() as url:
        assert node.say("alone, and of no fleet")["answer"] is not None
        home.run("mesh", "found").good()
        assert node.say("alone, and the only voter")["answer"] is not None
        taken_in(home, node, url)
        assert not node.status()["route"]["on"]
        until(lambda: alone(node), WAIT, "the other voter's lease is over")
        said = node.say("is anybody there?")
        assert (said["answer"], said["kept"]) == (None, KEPT)
        assert "1 messages wait for an answer; 1 of 2" in home.run("status").good().out
        position = said["message"]["position"]
        Ghost.there.set()

        def together():
            assert says(node).status == 200
            return node.status()["route"]["reached"] == 2

        until(together, WAIT, "a majority is there")
        second = node.say("and now?")["message"]["position"]

        def answered():
            assert says(node).status == 200
            rows = [one["payload"]["message"] for one in node.log("message.sent")]
            return second in rows and [one for one in rows if one >= position]

        until(answered, WAIT, "what was kept is answered once a majority is there")
        assert answered() == [position, second], "each once, and the one that was kept first"
        assert not node.log("route.forwarded"), (
            "nobody else was asked, and it was nobody's to grant"
        )
