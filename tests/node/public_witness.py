"""A public witness, written from C2SP's pages with nothing of ours: what somebody else would run.

It knows a log by its verifier key (c2sp.org/signed-note), signs what that key signed
(c2sp.org/tlog-cosignature), and says which size it saw last (c2sp.org/tlog-witness). It knows no
BIP-340 and takes no introduction. Left out: it does not verify that a head continues the last one.
"""

import base64
import hashlib
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import (
    Ed25519PrivateKey,
    Ed25519PublicKey,
)

NAME = "witness.example/w1"


def signed_text(note: bytes, verifier_key: str) -> bytes:
    """The text of a signed note. Raises InvalidSignature unless this key, type Ed25519, signed."""
    name, key_id, packed = verifier_key.split("+", 2)
    key = base64.b64decode(packed, validate=True)
    assert hashlib.sha256(name.encode() + b"\n" + key).digest()[:4].hex() == key_id
    assert (key[0], len(key)) == (1, 33)
    text, _, lines = note.rpartition(b"\n\n")
    for line in lines.decode().splitlines():
        dash, signer, packed = line.split(" ")
        signature = base64.b64decode(packed, validate=True)
        if (dash, signer, signature[:4].hex()) == ("\u2014", name, key_id):
            Ed25519PublicKey.from_public_bytes(key[1:]).verify(signature[4:], text + b"\n")
            return text + b"\n"
    raise InvalidSignature(f"no line of {name}")


class PublicWitness:
    """A witness of one log. `refused` has the notes that its verifier key did not sign."""

    def __init__(self, log_key: str) -> None:
        self.log_key = log_key
        self.size = 0
        self.refused: list[bytes] = []
        self._secret = Ed25519PrivateKey.generate()

    @property
    def _typed(self) -> bytes:
        return b"\x04" + self._secret.public_key().public_bytes_raw()

    @property
    def _id(self) -> bytes:
        return hashlib.sha256(NAME.encode() + b"\n" + self._typed).digest()[:4]

    @property
    def key(self) -> str:
        """Its own verifier key."""
        return f"{NAME}+{self._id.hex()}+{base64.b64encode(self._typed).decode()}"

    def add_checkpoint(self, body: bytes) -> tuple[int, str, bytes]:
        """Status, type and body of the answer."""
        proof, _, note = body.partition(b"\n\n")
        try:
            text = signed_text(note, self.log_key)
        except InvalidSignature:
            self.refused.append(note)
            return 403, "text/plain", b""
        old = int(proof.split(b"\n")[0].removeprefix(b"old "))
        if old != self.size:
            return 409, "text/x.tlog.size", b"%d\n" % self.size
        self.size = int(text.split(b"\n")[1])
        now = int(time.time())
        signature = self._secret.sign(f"cosignature/v1\ntime {now}\n".encode() + text)
        packed = base64.b64encode(self._id + now.to_bytes(8, "big") + signature).decode()
        return 200, "text/plain", f"\u2014 {NAME} {packed}\n".encode()

    @contextmanager
    def serving(self):
        """Answer for the time of a block; yields the prefix to put into node.toml."""
        witness = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                known = self.path == "/add-checkpoint"
                status, kind, answer = witness.add_checkpoint(body) if known else (404, "", b"")
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_):
                pass

        with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
            thread = threading.Thread(target=server.serve_forever)
            thread.start()
            try:
                yield f"http://127.0.0.1:{server.server_port}"
            finally:
                server.shutdown()
                thread.join()
