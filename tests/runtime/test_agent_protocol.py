"""The frame codec: what it writes it reads, and nothing else than a frame or ProtocolError comes out."""

import re
from contextlib import suppress
from dataclasses import fields
from pathlib import Path

import cbor2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.core import protocol
from runtime.core.calls import OPS, parse_args
from runtime.core.errors import ProtocolError, StepRefused
from runtime.core.limits import FRAME_BYTES_MAX
from runtime.core.protocol import (
    AGENT_FRAMES,
    HOST_FRAMES,
    Call,
    Decoder,
    Error,
    Pong,
    Ready,
    encode,
)

SPEC = Path(__file__).parents[2] / "docs" / "spec" / "agent-protocol.md"

uints = st.integers(0, 2**63 - 1)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.binary(max_size=8) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)
maps = st.dictionaries(texts, values, max_size=3)
BY_NAME = {
    "protocol": uints, "position": uints, "ts_ms": uints, "step": uints, "n": uints,
    "call": st.integers(1, 2**63 - 1), "name": texts, "soul": texts, "type": texts,
    "reason": texts, "op": texts, "ledger": st.binary(min_size=32, max_size=32),
    "stream": st.binary(min_size=16, max_size=16), "turn": st.binary(min_size=16, max_size=16),
    "payload": maps, "value": maps, "args": maps, "given": maps, "content": st.none() | maps,
}  # fmt: skip
ALL = {**HOST_FRAMES, **AGENT_FRAMES}


@st.composite
def frames(draw):
    kind = draw(st.sampled_from(list(ALL.values())))
    return kind(**{item.name: draw(BY_NAME[item.name]) for item in fields(kind)})


def decode_all(data: bytes, cuts: list[int], types=ALL) -> list:
    decoder, out, start = Decoder(types), [], 0
    for cut in [*sorted(c % (len(data) + 1) for c in cuts), len(data)]:
        out += [frame for frame, _ in decoder.feed(data[start:cut])]
        start = cut
    return out


@given(st.lists(frames(), max_size=4), st.lists(st.integers(0, 10_000), max_size=6))
def test_frames_survive_any_cutting(sent, cuts):
    assert decode_all(b"".join(encode(frame) for frame in sent), cuts) == sent


@given(st.binary(max_size=200), st.lists(st.integers(0, 200), max_size=3))
def test_any_bytes_are_frames_or_a_protocol_error(data, cuts):
    with suppress(ProtocolError):
        decode_all(data, cuts)


@given(frames(), st.data())
def test_a_changed_byte_is_a_frame_or_a_protocol_error(frame, data):
    raw = bytearray(encode(frame))
    raw[data.draw(st.integers(0, len(raw) - 1))] ^= data.draw(st.integers(1, 255))
    with suppress(ProtocolError):
        decode_all(bytes(raw), [])


@given(frames(), texts, values)
@settings(max_examples=60)
def test_fields_too_many_too_few_or_of_another_type_are_refused(frame, name, value):
    good = {"t": frame.t, **{item.name: getattr(frame, item.name) for item in fields(frame)}}
    for broken in (
        {**good, name + "x": value},
        *({k: v for k, v in good.items() if k != gone} for gone in good),
        *({**good, item.name: 1.5} for item in fields(frame)),
        *({**good, item.name: True} for item in fields(frame)),
    ):
        body = cbor2.dumps(broken, canonical=True)
        with pytest.raises(ProtocolError):
            decode_all(len(body).to_bytes(4, "big") + body, [])


@pytest.mark.parametrize(
    ("name", "raw"),
    [
        ("empty", b"\0\0\0\0"),
        ("too long", (FRAME_BYTES_MAX + 1).to_bytes(4, "big")),
        ("not a map", b"\0\0\0\1\x01"),
        ("no type", b"\0\0\0\1\xa0"),
        ("host's frame from the agent", encode(Error(call=1, reason=""))),
        ("two items", b"\0\0\0\x0e" + encode(Pong(n=1))[4:] * 2),
        ("unsorted keys", b"\0\0\0\x0a\xa2at\x64pongan\x01"),
        ("long head", b"\0\0\0\x0b\xa2an\x18\x01at\x64pong"),
        ("negative", b"\0\0\0\x0a\xa2an\x20at\x64pong"),
    ],
)
def test_what_an_agent_may_not_send(name, raw):
    with pytest.raises(ProtocolError):
        decode_all(raw, [], AGENT_FRAMES)


def test_a_length_alone_is_judged_before_the_body_is_waited_for():
    decoder = Decoder(AGENT_FRAMES)
    with pytest.raises(ProtocolError, match="4194304"):
        list(decoder.feed(b"\x7f\xff\xff\xff"))


def test_a_frame_too_large_is_not_sent():
    with pytest.raises(ProtocolError, match="4194304"):
        encode(Call(call=1, turn=bytes(16), step=0, op="answer", args={"text": "x" * 2**22}))


def test_the_wrong_type_is_refused_on_construction():
    with pytest.raises(ProtocolError, match="protocol"):
        Ready(protocol="1")


def test_the_spec_names_every_frame_field_and_op():
    spec = SPEC.read_text()
    for kind in ALL.values():
        row = re.search(rf"^\| `{kind.t}` \|(.*?)\|", spec, re.MULTILINE)
        assert row is not None, kind.t
        assert {item.name for item in fields(kind)} == set(re.findall(r"`(\w+)`", row[1]))
    assert set(re.findall(r"^\| `(\w+)` \|", spec, re.MULTILINE)) == {
        *ALL,
        *OPS,
        "t",
        "op",
    }
    assert protocol.VERSION == 1


@given(st.sampled_from(sorted(OPS)) | texts, maps)
def test_any_arguments_are_parsed_or_refused(op, args):
    with suppress(StepRefused):
        parse_args(op, args)


@pytest.mark.parametrize(
    ("op", "args"),
    [
        ("model", {"items": [], "max_tokens": 1}),
        ("model", {"items": [{"role": "user", "ref": 1}], "max_tokens": 0}),
        ("model", {"items": [{"role": "user", "ref": 1, "text": "x"}], "max_tokens": 1}),
        ("model", {"items": [{"role": "tool", "text": "x"}], "max_tokens": 1}),
        ("model", {"items": [{"role": "user", "ref": -1}], "max_tokens": 1}),
        ("model", {"items": [{"role": "user", "ref": n} for n in range(64)], "max_tokens": 1}),
        (
            "model",
            {
                "items": [
                    {"role": "user", "ref": 1},
                    *({"role": "tool", "ref": n} for n in range(481)),
                ],
                "max_tokens": 1,
            },
        ),
        ("model", {"items": [{"role": "user", "ref": 1}], "max_tokens": 1, "tools": ["a b"]}),
        ("model", {"items": [{"role": "user", "ref": 1}], "max_tokens": 1, "tools": "*"}),
        ("model", {"items": [{"role": "user", "ref": 1}], "max_tokens": 1, "tools": ["x"] * 129}),
        ("tool", {"name": "x"}),
        ("tool", {"name": "", "arguments": "{}"}),
        ("tool", {"name": "x" * 65, "arguments": "{}"}),
        ("tool", {"name": "x", "arguments": {}}),
        ("tool", {"name": "x", "arguments": "x" * 270_000}),
        ("tool", {"name": "x", "arguments": "{}", "id": "call_1"}),
        ("recall", {"query": "x", "limit": 21}),
        ("recall", {"query": " ", "limit": 1}),
        ("recall", {"query": "x", "limit": True}),
        ("status", {"more": 1}),
        ("remember", {"text": "x", "kind": "Not A Word"}),
        ("answer", {"text": ""}),
        ("answer", {"text": "x" * (1024 * 1024)}),
        ("sign", {}),
    ],
)
def test_arguments_out_of_bounds_are_refused(op, args):
    with pytest.raises(StepRefused):
        parse_args(op, args)
