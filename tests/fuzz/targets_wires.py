"""The parsers of mesh and runtime: what relays, clients, models and the agent process send."""

import random

import msgspec

from ledger.core.codec import encode
from mesh.core import limits as mesh_limits
from mesh.core import messages, nip19
from mesh.core.errors import InvalidEvent, InvalidFilter, InvalidIdentifier, InvalidMessage
from mesh.core.filter import matches_any, parse_filter
from mesh.core.nip01 import Event, verify
from mesh.core.session import Query, Session
from runtime import models
from runtime.core import calls, protocol
from runtime.core.errors import ModelFailed, ProtocolError, StepRefused
from tests.mesh.peers import ALICE, FLEET, NOW, make

from .engine import Target, same

HEX = "ab" * 32


# ---- relay --------------------------------------------------------------------------------------


def run_event(data):
    event = Event.from_json(data)
    again = Event.from_json(event.to_json())
    assert again == event
    verified = verify(event)
    assert verified.to_json() == event.to_json()


def events():
    plain = make()
    tagged = make(
        tags=(("e", HEX), ("p", plain.pubkey, "wss://r"), ("t", "x")), content="é\n\u2028"
    )
    return [event.to_json().encode() for event in (plain, tagged)]


def run_filter(data):
    """A filter as it stands in a REQ, and a match against an event."""
    wanted = parse_filter(messages.decode(msgspec.Raw(data)))
    matches_any([wanted], make())
    assert 0 <= wanted.rows_max <= mesh_limits.FILTER_LIMIT_MAX


def filters():
    return [
        msgspec.json.encode(value)
        for value in (
            {"ids": [HEX], "authors": [HEX, HEX], "kinds": [1, 30023]},
            {"#e": [HEX], "#t": ["x", ""], "since": 1, "until": 2, "limit": 5},
        )
    ]


def run_session(data):
    """A client's frame: never raises on input; queries are answered."""
    session = Session(FLEET)
    for part in data.split(b"\x1e"):
        actions = session.receive(part.decode(errors="surrogateescape"), now=NOW)
        for action in actions:
            if isinstance(action, Query):
                session.stored(action, [(HEX, "{}")])
            elif hasattr(action, "text"):
                action.text.encode()
    event = make()
    session.deliver(event, event.to_json())
    assert session.subscriptions <= mesh_limits.SUBSCRIPTIONS_MAX


def frames():
    values = [
        ["EVENT", msgspec.Raw(events()[1])],
        ["REQ", "s", {"ids": [HEX]}, {"kinds": [1]}],
        ["CLOSE", "s"],
    ]
    found = [msgspec.json.encode(value) for value in values]
    return [*found, b"\x1e".join(found)]


def run_relay_said(data):
    text = data.decode(errors="surrogateescape")
    for frame in (data, text):
        said = messages.parse_from_relay(frame)
        if isinstance(said, messages.Acknowledged):
            assert len(said.message) <= mesh_limits.NOTICE_CHARS_MAX
            assert isinstance(said.prefix, str)


def relay_said():
    values = [["OK", HEX, True, ""], ["OK", HEX, False, "ERROR: auth-required: x"],
              ["NOTICE", "x"], ["AUTH", "c"], ["EOSE", "s"]]  # fmt: skip
    return [msgspec.json.encode(value) for value in values]


def run_identifier(data):
    """The relays of a pointer may come between its records, so values are compared, not texts."""
    found = nip19.decode(data.decode(errors="surrogateescape"))
    assert nip19.decode(nip19.encode(found)) == found


def identifiers():
    pubkey = ALICE.pubkey
    made = [
        nip19.PublicKey(pubkey), nip19.SecretKey(b"\x01" * 32), nip19.NoteId(HEX),
        nip19.Profile(pubkey=pubkey, relays=("wss://a.example", "wss://b.example")),
        nip19.EventPointer(id=HEX, relays=("wss://a.example",), author=pubkey, kind=1),
        nip19.AddressPointer(identifier="é", pubkey=pubkey, kind=30023, relays=()),
    ]  # fmt: skip
    return [nip19.encode(one).encode() for one in made]


def run_identifier_records(data):
    """Right checksums around any records: what lies behind the bech32."""
    outcome = "refused"
    for prefix in ("nprofile", "nevent", "naddr", "npub", "nsec", "note"):
        try:
            text = nip19._bech32(prefix, data)
        except InvalidIdentifier:
            continue
        try:
            run_identifier(text.encode())
        except InvalidIdentifier:
            continue
        outcome = "accepted"
    return outcome


def identifier_records():
    return [nip19._from_bech32(text.decode())[1] for text in identifiers()]


# ---- agent process and models ---------------------------------------------------------------------


def run_frames(data):
    """Both directions, in pieces of random sizes; a call's arguments are parsed too."""
    pieces = random.Random(len(data))
    for kinds in (protocol.HOST_FRAMES, protocol.AGENT_FRAMES):
        decoder, at, read, failed = protocol.Decoder(kinds), 0, b"", None
        while at < len(data):
            size = pieces.choice([1, 3, 64, 5000])
            try:
                for frame, length in decoder.feed(data[at : at + size]):
                    read += protocol.encode(frame)
                    assert data[: len(read)] == read
                    assert length <= len(data)
                    _ask(frame)
            except ProtocolError as error:
                failed = error
                break
            at += size
        if failed is None and at and read:
            assert data.startswith(read)
            return "frames"
    return "refused"


def _ask(frame):
    if isinstance(frame, protocol.Call):
        try:
            calls.parse_args(frame.op, frame.args)
        except StepRefused as error:
            str(error).encode()


def agent_frames():
    turn = b"t" * 16
    args = {
        "model": {"items": [{"role": "user", "ref": 3}, {"role": "system", "text": "x"}],
                  "max_tokens": 9},
        "recall": {"query": "roof", "limit": 3}, "status": {}, "answer": {"text": "x"},
        "remember": {"text": "x", "kind": "note"}, "fail": {"reason": "tired"},
    }  # fmt: skip
    ours = [protocol.Ready(protocol=1), protocol.Pong(n=3)]
    ours += [protocol.Call(call=1, turn=turn, step=0, op=op, args=a) for op, a in args.items()]
    host = [
        protocol.Hello(protocol=1, name="x", soul="y", ledger=b"l" * 32), protocol.Live(),
        protocol.EventFrame(position=1, type="a.b", ts_ms=2, stream=turn, payload={"n": 1},
                            content={"text": "x"}),
        protocol.TurnFrame(turn=turn, position=1), protocol.Result(call=1, value={"a": [1]}),
        protocol.Error(call=1, reason="no"), protocol.Ping(n=1), protocol.Stop(),
    ]  # fmt: skip
    encoded = [protocol.encode(frame) for frame in (*ours, *host)]
    return [*encoded, b"".join(encoded[: len(ours)]), b"".join(encoded[len(ours) :])]


def run_frame_body(data):
    for kinds in (protocol.HOST_FRAMES, protocol.AGENT_FRAMES):
        try:
            frame = protocol.parse(data, kinds)
        except ProtocolError:
            continue
        same(data, protocol.encode(frame)[4:])
        _ask(frame)
        return "accepted"
    return "refused"


def run_completion(data):
    reply = models._parse(data, "m")
    assert reply.text.strip()
    encode({"text": reply.text, "model": reply.model, "finish": reply.finish,
            "in": reply.tokens_in, "out": reply.tokens_out})  # fmt: skip


def completions():
    value = {
        "id": "x", "model": "m", "choices": [
            {"index": 0, "message": {"role": "assistant", "content": "hi"},
             "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 5, "completion_tokens": 7},
    }  # fmt: skip
    return [msgspec.json.encode(value), msgspec.json.encode(value | {"extra": [[[1]]]})]


JSON_BULK = {
    "deep lists": lambda n: b"[" * n,
    "deep and closed": lambda n: b"[" * (n // 2) + b"]" * (n // 2),
    "deep maps": lambda n: b'{"a":' * (n // 5),
    "one text": lambda n: b'["' + b"x" * n + b'"]',
    "escapes": lambda n: b'["' + b"\\u0000" * (n // 6) + b'"]',
    "half pairs": lambda n: b'["' + b"\\ud800" * (n // 6) + b'"]',
    "digits": lambda n: b"9" * n,
    "many keys": lambda n: b'{"a":0' + b"".join(b',"%06d":0' % i for i in range(n // 11)) + b"}",
    "same key": lambda n: b'{"a":0' + b',"a":0' * (n // 6) + b"}",
    "many values": lambda n: b"[0" + b",0" * (n // 2) + b"]",
    "spaces": lambda n: b" " * n + b"[]",
}
FRAME_BULK = {
    "tiny frames": lambda n: protocol.encode(protocol.Pong(n=1)) * (n // 12),
    "a claimed one": lambda n: (2**20).to_bytes(4, "big") + bytes(n),
}

TARGETS = [
    Target(name="nostr-event", run=run_event, errors=(InvalidEvent,), kind="json",
           specimens=events, bulk=JSON_BULK),
    Target(name="filter", run=run_filter, errors=(InvalidFilter, InvalidMessage), kind="json",
           specimens=filters, bulk=JSON_BULK),
    Target(name="relay-client", run=run_session, errors=(), kind="json", specimens=frames,
           weight=2, bulk=JSON_BULK),
    Target(name="relay-said", run=run_relay_said, errors=(InvalidMessage,), kind="json",
           specimens=relay_said, bulk=JSON_BULK),
    Target(name="nip19", run=run_identifier, errors=(InvalidIdentifier,), kind="text",
           specimens=identifiers, bulk={"long": lambda n: b"npub1" + b"q" * n}),
    Target(name="nip19-records", run=run_identifier_records, errors=(),
           specimens=identifier_records, weight=12,
           bulk={"relays": lambda n: b"\0\x20" + bytes(32) + b"\x01\0" * (n // 16)}),
    Target(name="agent-frames", run=run_frames, errors=(), specimens=agent_frames,
           bulk=FRAME_BULK),
    Target(name="agent-frame", run=run_frame_body, errors=(), kind="cbor",
           specimens=lambda: [data[4:] for data in agent_frames()[:-2]]),
    Target(name="model-reply", run=run_completion, errors=(ModelFailed,), kind="json",
           specimens=completions, bulk=JSON_BULK),
]  # fmt: skip
