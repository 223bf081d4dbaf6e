"""The parsers of sealed messages: a payload, what a wrap holds, an envelope, an old message."""

import base64
import hmac

from Cryptodome.Cipher import ChaCha20

from mesh.core import calls, envelope, nip04, nip17, nip44
from mesh.core.envelope import Message, Report, Task, sign
from mesh.core.errors import InvalidEnvelope, InvalidEvent, InvalidPayload, InvalidWrap
from mesh.core.nip59 import Opened, Rumor
from tests.mesh.peers import ALICE, BOB, NOW

from .engine import Target, same
from .targets_wires import JSON_BULK

KEY = nip44.conversation_key(ALICE.secret, BOB.pubkey)


def run_payload(data):
    nip44.decrypt(KEY, data.decode(errors="surrogateescape"))


def payloads():
    return [nip44.encrypt(KEY, text, bytes(32)).encode() for text in ("x", "é" * 300)]


def run_padded(data):
    """What lies behind a right MAC: only who has the key can send it, and he may be hostile."""
    keys = nip44.message_keys(KEY, bytes(32))
    hidden = ChaCha20.new(key=keys.cipher, nonce=keys.cipher_nonce).encrypt(data)
    mac = hmac.digest(keys.mac, bytes(32) + hidden, "sha256")
    nip44.decrypt(KEY, base64.b64encode(b"\x02" + bytes(32) + hidden + mac).decode())


def padded():
    return [b"\0\x01x" + bytes(31), b"\0\x40" + b"y" * 64]


def run_rumor(data):
    """The message in a wrap, once both layers are open, and what a reader makes of it."""
    rumor = Rumor.from_json(data.decode(errors="surrogateescape"))
    nip17.read(Opened(rumor=rumor, wrap_id="ab" * 32, live=False))
    calls.read(Opened(rumor=rumor, wrap_id="ab" * 32, live=True), now=NOW)
    nip17.readers(rumor)


def rumors():
    plain = nip17.write(ALICE.pubkey, [BOB.pubkey], "hello", now=NOW)
    answer = nip17.write(ALICE.pubkey, [BOB.pubkey], "é\n", now=NOW, answers="ab" * 32, subject="s")
    call = calls.make(ALICE.pubkey, b"a call", now=NOW, answers="ab" * 32)
    return [rumor.to_json().encode() for rumor in (plain, answer, call)]


def run_envelope(data):
    found = envelope.parse(data.decode(errors="surrogateescape"))
    same(data, found.to_json().encode())
    envelope.carry(found, ALICE.pubkey, now=NOW).to_json()


def envelopes():
    facts = {"id": "11" * 16, "sent_at": NOW, "text": 'é "x"\n', "to": BOB.pubkey}
    made = (Message(**facts), Task(due_at=NOW, **facts), Report(outcome="failed", **facts))
    return [sign(one, conversation_id="22" * 16, signer=ALICE).to_json().encode() for one in made]


def run_old(data):
    nip04.decrypt(BOB.secret, ALICE.pubkey, data.decode(errors="surrogateescape"))


def olds():
    import nostr_sdk

    secret = nostr_sdk.Keys.parse(ALICE.secret.hex()).secret_key()
    return [nostr_sdk.nip04_encrypt(secret, nostr_sdk.PublicKey.parse(BOB.pubkey), "hi").encode()]


TARGETS = (
    Target(
        name="sealed-payload",
        run=run_payload,
        errors=(InvalidPayload,),
        specimens=payloads,
        kind="text",
        bulk={"base64": lambda n: b"A" * n, "version": lambda n: b"#" * n},
    ),
    Target(
        name="sealed-padding",
        run=run_padded,
        errors=(InvalidPayload,),
        specimens=padded,
        bulk={"lengths": lambda n: b"\xff" * n},
    ),
    Target(
        name="sealed-rumor",
        run=run_rumor,
        errors=(InvalidWrap, InvalidEvent),
        specimens=rumors,
        kind="json",
        bulk=JSON_BULK,
    ),
    Target(
        name="conversation-envelope",
        run=run_envelope,
        errors=(InvalidEnvelope,),
        specimens=envelopes,
        kind="json",
        bulk=JSON_BULK,
    ),
    Target(
        name="old-message",
        run=run_old,
        errors=(InvalidPayload,),
        specimens=olds,
        kind="text",
        bulk={"base64": lambda n: b"A" * n},
    ),
)
