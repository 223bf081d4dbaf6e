"""Targets of files that people hand over, and of words that a model, a client or a caller of the proxy sends."""

from importlib.resources import files

from genesis.core.adopting.layers import Version
from genesis.core.errors import InvalidExport, InvalidTree
from genesis.core.exported import About
from genesis.core.thresholds import parse_thresholds
from runtime.core import labelled, suite
from runtime.core.claims import REPLY_CHARS_MAX, read_claims
from runtime.core.cron import Cron
from runtime.core.errors import InvalidSuite, InvalidWeights, JobRefused, SkinRefused
from runtime.core.gguf import check_model, read_head
from runtime.core.hooks import GITHUB_HEADER, TIMMY_HEADER, Hook, open_delivery, sign
from runtime.core.markers import MARK, parse_marker, to_marker
from runtime.core.proxy_words import ReplyStream, read_reply, read_request
from runtime.core.question import read_question
from runtime.core.skins import parse_skin
from tests.genesis_fork.test_exported import WELL
from tests.genesis_patches.world import SKILL, THRESHOLDS
from tests.local.test_gguf_head import HEAD, laid_out
from tests.memory.test_distil_rules import MESSAGES, claim, reply
from tests.skins.test_skins import OWL

from .engine import Target, same
from .targets_homes import TOML_BULK
from .targets_ledger import CBOR_BULK
from .targets_wires import JSON_BULK

DATA = files("runtime").joinpath("data")
SUITE = suite.parse(DATA.joinpath("safety-tests.md").read_bytes())
KINDS = ("chat", "completions", "responses", "messages", "opaque")
NOW_S = 1_790_000_000


def text_of(data):
    return data.decode("utf-8", "replace")


# ---- files --------------------------------------------------------------------------------------


def run_gguf(data):
    head = read_head(data)
    check_model(head, head.ends_at)


def run_skin(data):
    parse_skin(text_of(data))


def run_thresholds(data):
    same(data, parse_thresholds(data).render())


def run_suite(data):
    assert suite.parse(data).questions


def run_labelled(data):
    labelled.parse(data, SUITE)


def replies():
    """Some of the graded ones: the whole file is long."""
    text = DATA.joinpath("graded-development.toml").read_text(encoding="utf-8")
    rows = [line for line in text.splitlines() if line.startswith("  {")]
    bad = [line for line in rows if "fault" in line]
    return ["\n".join(["replies = [", *some, "]", ""]).encode() for some in (rows[:3], bad[:3])]


def run_version(data):
    same(data, Version.decode(data).encode())


def versions():
    digest = b"\x01" * 32
    path = "skills/tea/SKILL.md"
    return [Version({path: SKILL}, {path: digest}).encode(), Version({}, {}).encode()]


def run_about(data):
    same(data, About.decode(data).encode())


# ---- words --------------------------------------------------------------------------------------


def run_cron(data):
    cron = Cron.parse(text_of(data))
    for _, found in zip(range(3), cron.after(NOW_S), strict=False):
        assert found > NOW_S
    next(cron.before(NOW_S), None)
    assert isinstance(cron.every_hour, bool)


def run_claims(data):
    found = read_claims(text_of(data)[: 2 * REPLY_CHARS_MAX], MESSAGES)
    assert all(at in MESSAGES for at, _ in found.facts)
    return "accepted" if found.readable else "not read"


def run_marker(data):
    return "nothing said" if parse_marker(text_of(data)) is None else "accepted"


def markers():
    return [
        to_marker("fact", "The brace costs 3,900 euros.", "s-1").encode(),
        b"[MEMORY MARKER] tea",
        b"tea",
    ]


def run_question(data):
    read_question(text_of(data), NOW_S * 1000)


def run_proxied_request(data):
    asked = [read_request(kind, data) for kind in KINDS]
    return "accepted" if any(one.said for one in asked) else "nothing said"


def run_proxied_reply(data):
    said = [read_reply(kind, data) for kind in KINDS]
    for kind in KINDS:
        stream = ReplyStream(kind)
        stream.feed(b"data: %s\n\n" % data)
        read_reply(kind, stream.document())
    return "accepted" if any(one.said for one in said) else "nothing said"


REQUESTS = (
    b'{"model":"m","stream":true,"messages":[{"role":"system","content":"s"},{"role":"user","content":"hello"}]}',
    b'{"model":"m","messages":[{"role":"user","content":[{"type":"text","text":"hello"},{"type":"tool_result","content":"x"}]}]}',
    b'{"model":"m","input":[{"role":"user","content":[{"type":"input_text","text":"hello"}]}]}',
    b'{"model":"m","prompt":["a","b"]}',
)
REPLIES = (
    (
        b'{"model":"m","choices":[{"index":0,"finish_reason":"stop","message":{"role":"assistant","content":"hi",'
        b'"tool_calls":[{"function":{"name":"look","arguments":"{}"}}]},"delta":{"content":"hi"}}],"usage":{"prompt_tokens":3}}'
    ),
    b'{"type":"message_start","message":{"model":"m","usage":{"input_tokens":3}},"content":[{"type":"text","text":"hi"}],"stop_reason":"end_turn"}',
    b'{"type":"response.completed","response":{"output":[]},"output":[{"type":"message","content":[{"type":"output_text","text":"hi"}]}]}',
    b'{"error":{"message":"no such model"}}',
)


def run_delivery(data):
    """Header, newline, body: as it comes, and signed by the secret's holder."""
    header, _, body = data.partition(b"\n")
    name, given = (
        ("github", GITHUB_HEADER) if header.startswith(b"sha256=") else ("timmy", TIMMY_HEADER)
    )
    hook = Hook(name="build", scheme=name, secret=b"s" * 32, conversation="builds")
    found = open_delivery(hook, {given: text_of(header)}, body, NOW_S)
    return "not taken" if found is None else "accepted"


def deliveries():
    body = b'{"state":"done"}'
    ours = sign(b"s" * 32, b".".join((str(NOW_S).encode(), b"a-1", body)))
    theirs = sign(b"s" * 32, body)
    return [f"t={NOW_S},id=a-1,v1={ours}\n".encode() + body, f"sha256={theirs}\n".encode() + body]


TARGETS = [
    Target(name="weights-head", run=run_gguf, errors=(InvalidWeights,), weight=8,
           specimens=lambda: [HEAD, laid_out().head(version=2)]),
    Target(name="skin", run=run_skin, errors=(SkinRefused,), kind="text", bulk=TOML_BULK,
           specimens=lambda: [OWL.format(1).encode()]),
    Target(name="thresholds", run=run_thresholds, errors=(InvalidTree,), kind="text", bulk=TOML_BULK,
           specimens=lambda: [THRESHOLDS]),
    Target(name="safety-suite", run=run_suite, errors=(InvalidSuite,), kind="text", weight=4,
           specimens=lambda: [DATA.joinpath("safety-tests.md").read_bytes()]),
    Target(name="graded-replies", run=run_labelled, errors=(InvalidSuite,), kind="text", bulk=TOML_BULK,
           specimens=replies, weight=4),
    Target(name="adopted-version", run=run_version, errors=(InvalidTree,), kind="cbor", bulk=CBOR_BULK,
           specimens=versions),
    Target(name="exported-session", run=run_about, errors=(InvalidExport,), kind="cbor", bulk=CBOR_BULK,
           specimens=lambda: [WELL.encode()], weight=4),
    Target(name="cron", run=run_cron, errors=(JobRefused,), kind="text", weight=4,
           specimens=lambda: [b"*/5 * * * *", b"30 2 * * mon-fri", b"0 0 29 2 *", b"@daily", b"0 0 1,15 * 5#2"]),
    Target(name="memory-claims", run=run_claims, errors=(), kind="text",
           specimens=lambda: [reply(claim(), claim(message=9)).encode()],
           bulk={"braces": lambda n: b"{" * n, "pairs": lambda n: b"{}" * (n // 2), "deep": lambda n: b'{"facts":' + b"[" * n}),
    Target(name="memory-marker", run=run_marker, errors=(), kind="text", specimens=markers,
           bulk={"blanks": lambda n: MARK.encode() + b" x" + b" " * n + b"y", "sources": lambda n: MARK.encode() + b" Source: " * (n // 9)}),
    Target(name="question", run=run_question, errors=(), kind="text",
           specimens=lambda: ["When did Ada Müller see 3 owls on 4 May 2026, or last week?".encode()],
           bulk={"words": lambda n: b"Ada " * (n // 4), "digits": lambda n: b"9" * n}),
    Target(name="proxied-request", run=run_proxied_request, errors=(), kind="json", bulk=JSON_BULK,
           specimens=lambda: list(REQUESTS)),
    Target(name="proxied-reply", run=run_proxied_reply, errors=(), kind="json", bulk=JSON_BULK,
           specimens=lambda: list(REPLIES), weight=2),
    Target(name="delivery", run=run_delivery, errors=(), kind="text", specimens=deliveries),
]  # fmt: skip
