"""The parsers of mesh and runtime: what relays, clients, models and the agent process send."""

import hashlib
import random

import msgspec

from ledger.core.codec import decode, encode
from ledger.core.errors import InvalidCbor
from ledger.core.keys import Signer
from mesh.core import limits as mesh_limits
from mesh.core import negentropy, nip19
from mesh.core.errors import (
    InvalidDuty,
    InvalidEvent,
    InvalidFilter,
    InvalidIdentifier,
    InvalidMessage,
    InvalidReconciliation,
)
from mesh.core.fleet import duty_wire
from mesh.core.fleet.duty import Ask, Grant, Refusal
from mesh.core.nip01 import Event, verify
from mesh.core.pool import client_messages
from mesh.core.relay import messages
from mesh.core.relay.filter import matches_any, parse_filter
from mesh.core.relay.session import Query
from runtime.core import calls, protocol
from runtime.core.errors import JobRefused, ModelFailed, ProtocolError, StepRefused
from runtime.core.openai_wire import OpenAi
from runtime.core.schedule import from_value, next_after, to_value
from runtime.core.whens import parse_when
from runtime.core.wire import told_arguments
from runtime.zones import zone
from tests.mesh.peers import ALICE, NOW, authenticating, make, new_session

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
    session = new_session()
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
        ["COUNT", "s", {"kinds": [1]}],
        ["NEG-OPEN", "n", {}, "6100000200"],
        ["NEG-MSG", "n", "61"],
        ["NEG-CLOSE", "n"],
        ["AUTH", msgspec.Raw(authenticating(ALICE).to_json().encode())],
    ]
    found = [msgspec.json.encode(value) for value in values]
    return [*found, b"\x1e".join(found)]


RECONCILED = negentropy.IdSet(
    (number // 3, hashlib.sha256(b"%d" % number).digest()) for number in range(500)
)


def run_reconciliation(data):
    """A message to either side: answers fit their frame, what is learnt is bounded."""
    frame = negentropy.FRAME_BYTES_MIN
    answer = negentropy.respond(RECONCILED, data, frame_bytes_max=frame)
    assert len(answer) <= frame
    asking = negentropy.Initiator(RECONCILED, frame_bytes_max=frame, need_max=10_000)
    assert len(asking.receive(data) or b"") <= frame
    assert len(asking.have) <= len(RECONCILED)


def reconciliations():
    some = negentropy.IdSet((number, bytes([number]) * 32) for number in range(40))
    few = negentropy.IdSet([(5, bytes(32)), (5, bytes(31) + b"\x01")])
    asked = [negentropy.Initiator(one).open() for one in (RECONCILED, some, few)]
    return [*asked, *(negentropy.respond(RECONCILED, message) for message in asked)]


def run_relay_said(data):
    text = data.decode(errors="surrogateescape")
    for frame in (data, text):
        said = client_messages.parse_from_relay(frame)
        if isinstance(said, client_messages.Acknowledged):
            assert len(said.message) <= mesh_limits.NOTICE_CHARS_MAX
            assert isinstance(said.prefix, str)


def relay_said():
    values = [["OK", HEX, True, ""], ["OK", HEX, False, "ERROR: auth-required: x"],
              ["NOTICE", "x"], ["AUTH", "c"], ["EOSE", "s"], ["CLOSED", "s", "x"], ["NEG-MSG", "s", "61"]]  # fmt: skip
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
    reply = OpenAi().whole(data, "m")
    assert reply.text.strip() or reply.calls
    calls = [[call.id, call.name, call.arguments] for call in reply.calls]
    for call in reply.calls:
        told_arguments(call)
    encode({"text": reply.text, "calls": calls, "model": reply.model, "finish": reply.finish,
            "in": reply.tokens_in, "out": reply.tokens_out})  # fmt: skip


def completions():
    value = {
        "id": "x", "model": "m", "choices": [
            {"index": 0, "message": {"role": "assistant", "content": "hi"},
             "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 5, "completion_tokens": 7},
    }  # fmt: skip
    function = {"name": "read", "arguments": '{"path": "a"}'}
    called = {"content": None, "tool_calls": [{"id": "c", "index": 0, "function": function}] * 2}
    calls = value | {"choices": [{"message": called, "finish_reason": "tool_calls"}]}
    return [msgspec.json.encode(v) for v in (value, value | {"extra": [[[1]]]}, calls)]


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

WHENS = ("every 15m", "in 2h", "2026-10-25T02:30", "at 2026-12-24 18:00:30+01:00",
         "30 2 * * mon-fri", "*/5 1-3,7 L jan-mar 5#2", "@daily", "on patch.judged")  # fmt: skip


def run_when(data):
    """What is taken comes, as often as it is asked, and reads back as it was written."""
    plan = parse_when(
        data.decode(errors="replace"), now_s=1_790_000_000, offset=zone("Europe/Berlin")
    )
    assert from_value(to_value(plan)) == plan
    due = next_after(plan, zone("Europe/Berlin"), 1_790_000_000)
    assert due is None or due > 1_790_000_000


def whens():
    return [text.encode() for text in WHENS]


# ---- planned runs -------------------------------------------------------------------------------


def run_duty_message(data):
    signed = duty_wire.read(data)
    assert signed.to_bytes() == data


def run_duty_body(data):
    """What is read of a body before anybody looks at its signature."""
    word = duty_wire._word(decode(data, bytes_max=duty_wire.MESSAGE_BYTES_MAX))
    assert duty_wire.body_of(word) == data


def duty_words():
    key = bytes.fromhex(ALICE.pubkey)
    ask = Ask(run=bytes(16), planned_s=NOW, until_s=NOW + 900, member=key, manifest=bytes(32))
    return [
        ask,
        Grant(ask=ask, voter=key),
        Refusal(ask=ask, voter=key, why="granted to another member", holder=key),
        duty_wire.Begun(run=bytes(16), planned_s=NOW, member=key, manifest=b"", fence=bytes(16)),
    ]


def duty_messages():
    return [duty_wire.sign(word, Signer(ALICE.secret)) for word in duty_words()]


def duty_bodies():
    return [duty_wire.body_of(word) for word in duty_words()]


TARGETS = [
    Target(name="job-when", run=run_when, errors=(JobRefused,), kind="text", specimens=whens,
           bulk={"commas": lambda n: b"0," * (n // 2), "blanks": lambda n: b"0" + b" " * n,
                 "fields": lambda n: b"* " * (n // 2), "digits": lambda n: b"every " + b"9" * n}),
    Target(name="nostr-event", run=run_event, errors=(InvalidEvent,), kind="json",
           specimens=events, bulk=JSON_BULK),
    Target(name="filter", run=run_filter, errors=(InvalidFilter, InvalidMessage), kind="json",
           specimens=filters, bulk=JSON_BULK),
    Target(name="relay-client", run=run_session, errors=(), kind="json", specimens=frames,
           weight=2, bulk=JSON_BULK),
    Target(name="relay-said", run=run_relay_said, errors=(InvalidMessage,), kind="json",
           specimens=relay_said, bulk=JSON_BULK),
    Target(name="reconciliation", run=run_reconciliation, errors=(InvalidReconciliation,),
           specimens=reconciliations, weight=4,
           bulk={"empty ranges": lambda n: b"\x61" + b"\x02\0\0" * (n // 3),
                 "fingerprints": lambda n: b"\x61" + (b"\x01\0\x01" + bytes(16)) * (n // 19),
                 "ids": lambda n: b"\x61\0\0\x02\x83\xff\x7f" + bytes(n)}),
    Target(name="nip19", run=run_identifier, errors=(InvalidIdentifier,), kind="text",
           specimens=identifiers, bulk={"long": lambda n: b"npub1" + b"q" * n}),
    Target(name="nip19-records", run=run_identifier_records, errors=(),
           specimens=identifier_records, weight=12,
           bulk={"relays": lambda n: b"\0\x20" + bytes(32) + b"\x01\0" * (n // 16)}),
    Target(name="agent-frames", run=run_frames, errors=(), specimens=agent_frames,
           bulk=FRAME_BULK),
    Target(name="agent-frame", run=run_frame_body, errors=(), kind="cbor",
           specimens=lambda: [data[4:] for data in agent_frames()[:-2]]),
    Target(name="duty-message", run=run_duty_message, errors=(InvalidDuty,), kind="cbor",
           specimens=duty_messages),
    Target(name="duty-body", run=run_duty_body, errors=(InvalidCbor, InvalidDuty), kind="cbor",
           specimens=duty_bodies),
    Target(name="model-reply", run=run_completion, errors=(ModelFailed,), kind="json",
           specimens=completions, bulk=JSON_BULK),
]  # fmt: skip
