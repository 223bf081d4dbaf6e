"""The parsers of genesis and node: what lies in a home, what people type, what the API is sent."""

import asyncio
import functools
import tempfile
from pathlib import Path

from aiohttp import StreamReader
from aiohttp.base_protocol import BaseProtocol
from aiohttp.test_utils import make_mocked_request

from genesis.core import nip49, patch, strict_json
from genesis.core import verdict as verdicts
from genesis.core.errors import (
    BirthError,
    Constitutional,
    InvalidKeystore,
    InvalidNcryptsec,
    InvalidPatch,
    InvalidPhrase,
    InvalidSoul,
    InvalidTree,
    InvalidVerdict,
    TreeError,
    WrongPassphrase,
)
from genesis.core.recovery import (
    RecoveryKit,
    parse_kit,
    parse_phrase,
    phrase_from_entropy,
    render_kit,
)
from genesis.core.tree import Tree
from genesis.keys.keystore import Keystore, lock_agent
from genesis.soul import Soul
from genesis.trees import current
from ledger.core.codec import decode, encode
from ledger.core.errors import InvalidCbor, InvalidGenesis, NotFound, TimmyError
from ledger.core.genesis import parse_genesis
from ledger.views import Views
from node import config
from node.api import http as requests
from node.sections.base import ConfigError
from tests.genesis_judge.diffs import agent_tree, change
from tests.genesis_judge.test_verdict import ENVELOPE, JUDGE
from tests.ledger.makers import genesis, message, open_log
from tests.spec import agent

from .engine import Target, same
from .targets_wires import JSON_BULK

EXAMPLES = Path(__file__).parents[2] / "examples"


# ---- genesis ------------------------------------------------------------------------------------


@functools.cache
def tree():
    return agent_tree()


def run_patch(data):
    read = patch.parse(data)
    made = patch.apply(read, tree())
    assert made.digest != tree().digest


def patches():
    git = (
        b"diff --git a/runtime/agent/new.txt b/runtime/agent/new.txt\nnew file mode 100644\n"
        b"index 0000000..e69de29\n--- /dev/null\n+++ b/runtime/agent/new.txt\n"
        b"@@ -0,0 +1 @@\n+\xc3\xa9\n\\ No newline at end of file\n"
    )
    named = tree()["main.py"].decode().splitlines(keepends=True)[0]
    edited = change(tree(), "main.py", named, named + "# é\n")
    return [git, edited, *(path.read_bytes() for path in sorted(EXAMPLES.glob("*.diff")))]


def run_tree(data):
    value = decode(data, bytes_max=2**20)
    if isinstance(value, dict) and all(type(item) is bytes for item in value.values()):
        assert Tree(value).digest == Tree(dict(reversed(value.items()))).digest


def trees():
    return [encode({"main.py": b"pass\n", "a/b.md": b"", "a/c/d.txt": "é".encode()})]


def run_current(data):
    with tempfile.TemporaryDirectory() as home:
        (Path(home) / "trees").mkdir()
        (Path(home) / "trees" / "current").write_bytes(data)
        found = current(Path(home))
        same(data.removesuffix(b"\n"), found.hex().encode())


def run_verdict(data):
    signed = verdicts.verify_envelope(data, trusted=[JUDGE.public])
    assert signed.signers


def run_statement(data):
    """The statement behind the signature, which only a judge's key would let through."""
    verdict = verdicts._parse_statement(data)
    same(data, verdicts.statement(verdict))


def statements():
    return [strict_json.unbase64(strict_json.load(ENVELOPE, "e")["payload"], "p")]


def run_strict_json(data):
    same(data, strict_json.canonical_json(strict_json.load(data, "value")))


def run_ncryptsec(data):
    text = data.decode(errors="surrogateescape")
    nip49.decrypt(text, "x", log_n_min=1, log_n_max=3)


def ncryptsecs():
    keys = {"salt": bytes(16), "nonce": bytes(24), "log_n": 1}
    return [nip49.encrypt(b"\x01" * 32, text, **keys).encode() for text in ("x", "y")]


def run_ncryptsec_blob(data):
    """Right checksums around any bytes: what lies behind the bech32."""
    words = nip49.bech32.convertbits(data, 8, 5)
    text = nip49.bech32.bech32_encode(nip49.bech32.Encoding.BECH32, "ncryptsec", words)
    run_ncryptsec(text.encode())


def run_keystore(data):
    found = Keystore.parse(data)
    assert Keystore.parse(found.to_bytes()) == found


def keystores():
    return [lock_agent(bytes(range(32)), "x", log_n=1).to_bytes()]


@functools.cache
def kit():
    phrases = [phrase_from_entropy(bytes([n]) * 32) for n in (1, 2)]
    return RecoveryKit(
        agent="Timmy", network="regtest", soul_sha256=bytes(32),
        next_phrase=phrases[0], recovery_phrase=phrases[1],
    )  # fmt: skip


def run_kit(data):
    found = parse_kit(data.decode(errors="surrogateescape"))
    assert parse_kit(render_kit(found)) == found


def run_phrase(data):
    phrase = parse_phrase(data.decode(errors="surrogateescape"))
    assert parse_phrase(phrase) == phrase


def run_soul(data):
    same(data, Soul.from_bytes(data).text.encode())


def run_genesis(data):
    value = decode(data, bytes_max=2**20)
    if isinstance(value, dict):
        same(data, encode(parse_genesis(value).to_payload()))


# ---- node ---------------------------------------------------------------------------------------


def run_config(data):
    with tempfile.NamedTemporaryFile(suffix=".toml") as file:
        file.write(data)
        file.flush()
        config.load(Path(file.name))


def configs():
    own = '[node]\nlog_level = "debug"\n[relay]\nwriters = ["%s"]\n[[models]]\nname = "x"\n'
    return [config.default_text().encode(), (own % ("ab" * 32)).encode()]


SAY = {"text": str, "conversation": str, "author": str, "key": str, "wait_s": int}
REDACT = {"positions": list, "reason": str}


async def _body(data, charset, kinds):
    stream = StreamReader(BaseProtocol(asyncio.get_running_loop()), 2**16)
    stream.feed_data(data)
    stream.feed_eof()
    headers = {"Content-Type": f"application/json; charset={charset}"}
    request = make_mocked_request("POST", "/v1/say", headers=headers, payload=stream)
    return await requests.read_body(request, **kinds)


CHARSETS = ("utf-8", "punycode", "no-such")


def run_body(data):
    """A request's body, under every kind of character set that a client may claim."""
    return asyncio.run(_bodies(data))


async def _bodies(data):
    outcome = "refused"
    for charset in CHARSETS:
        for kinds in (SAY, REDACT):
            try:
                body = await _body(data, charset, kinds)
            except TimmyError:
                continue
            outcome = "accepted"
            encode({"keys": list(body)})
            if "key" in body:
                _documented(requests.hex_bytes, body["key"])
            _documented(requests.number, str(body.get("text", "")))
    return outcome


def _documented(parse, text):
    try:
        parse(text, "field")
    except TimmyError:
        return


def bodies():
    return [
        b'{"text":"hello","conversation":"main","author":"a","key":"00ff","wait_s":5}',
        b'{"positions":[1,2,9007199254740993],"reason":"\\u00e9"}',
    ]


@functools.cache
def views():
    log = open_log()
    log.append_now(genesis(), *[message(f"roof {n} über") for n in range(3)])
    folder = tempfile.TemporaryDirectory(prefix="timmy-fuzz-")
    opened = Views(Path(folder.name) / "views.db", log)
    opened.catch_up()
    return opened, log, folder


def run_query(data):
    """A search and a reference, as they come in an address."""
    opened, log, _ = views()
    text = data.decode(errors="replace")
    for hit in opened.search(text):
        assert 0 <= hit.position < log.size
    found = opened.resolve(text)
    assert text.isdigit() or found.id.hex().startswith(text.lower())


def queries():
    _, log, _ = views()
    texts = ["roof", 'ro* AND "x" OR NEAR(a b) -c: ^d', "1", "999999999999999"]
    return [text.encode() for text in [*texts, log.read(1).id.hex(), log.read(2).id.hex()[:9]]]


PATCH_BULK = {
    "one hunk": lambda n: b"--- a/x\n+++ b/x\n@@ -1 +1,%d @@\n-a\n" % (n // 2) + b"+\n" * (n // 2),
    "hunks": lambda n: (
        b"--- a/x\n+++ b/x\n"
        + b"".join(b"@@ -%d +%d @@\n-a\n+b\n" % (i, i) for i in range(1, n // 22))
    ),
    "blank headers": lambda n: b"diff --git a/x b/x\n" + b"index 0000000..0000000\n" * (n // 23),
    "long line": lambda n: b"--- a/" + b"x" * n + b"\n",
    "spaces": lambda n: b"diff --git a/" + b" b/" * (n // 3) + b"\n",
}
KIT_BULK = {
    "numbers": lambda n: b"TIMMY RECOVERY KIT 1\nNEXT KEY\n" + b"1 a " * (n // 4) + b"\n",
    "a row without a check": lambda n: b"TIMMY RECOVERY KIT 1\n" + b"1 1 " * (n // 4) + b"check\n",
    "words": lambda n: b"abandon " * (n // 8),
    "one word": lambda n: b"TIMMY RECOVERY KIT 1\nNEXT KEY\n1 " + b"z" * n + b" check 0000\n",
}
TOML_BULK = {
    "deep lists": lambda n: b"a=" + b"[" * n,
    "deep tables": lambda n: b"a=" + b"{a=" * (n // 3),
    "long text": lambda n: b'a="' + b"x" * n + b'"',
    "comment": lambda n: b"#" + b"x" * n,
    "keys": lambda n: b"".join(b"k%d=1\n" % i for i in range(n // 7)),
    "lists": lambda n: b"a=[" + b"1," * (n // 2) + b"]",
}

TREE_ERRORS = (InvalidPatch, InvalidTree, Constitutional)
KEYSTORE_ERRORS = (InvalidNcryptsec, WrongPassphrase)
TARGETS = [
    Target(name="patch", run=run_patch, errors=TREE_ERRORS, kind="text", specimens=patches,
           weight=3, bulk=PATCH_BULK),
    Target(name="tree", run=run_tree, errors=(InvalidTree, InvalidCbor), kind="cbor",
           specimens=trees),
    Target(name="current-tree", run=run_current, errors=(TreeError,), kind="text", weight=3,
           specimens=lambda: [b"ab" * 32 + b"\n"]),
    Target(name="verdict", run=run_verdict, errors=(InvalidVerdict,), kind="json",
           specimens=lambda: [ENVELOPE], bulk=JSON_BULK),
    Target(name="verdict-statement", run=run_statement, errors=(InvalidVerdict,), kind="json",
           specimens=statements),
    Target(name="strict-json", run=run_strict_json, errors=(InvalidVerdict,), kind="json",
           specimens=lambda: [ENVELOPE, b'{"a":[1,null,true,"\xc3\xa9"]}'], bulk=JSON_BULK),
    Target(name="nip49", run=run_ncryptsec, errors=KEYSTORE_ERRORS, kind="text", weight=2,
           specimens=ncryptsecs, bulk={"long": lambda n: b"ncryptsec1" + b"q" * n}),
    Target(name="nip49-blob", run=run_ncryptsec_blob, errors=KEYSTORE_ERRORS, weight=2,
           specimens=lambda: [nip49._blob(text.decode()) for text in ncryptsecs()]),
    Target(name="keystore", run=run_keystore, errors=(InvalidKeystore,), kind="json",
           specimens=keystores, bulk=JSON_BULK),
    Target(name="recovery-kit", run=run_kit, errors=(InvalidPhrase,), kind="text", weight=4,
           specimens=lambda: [render_kit(kit()).encode()], bulk=KIT_BULK),
    Target(name="phrase", run=run_phrase, errors=(InvalidPhrase,), kind="text", weight=4,
           specimens=lambda: [kit().next_phrase.encode()]),
    Target(name="soul", run=run_soul, errors=(InvalidSoul,), kind="text",
           specimens=lambda: [agent.SOUL]),
    Target(name="genesis", run=run_genesis, errors=(InvalidCbor, InvalidGenesis, BirthError),
           kind="cbor", specimens=lambda: [encode(agent.genesis_payload())], weight=2),
    Target(name="config", run=run_config, errors=(ConfigError,), kind="text",
           specimens=configs, weight=20, bulk=TOML_BULK),
    Target(name="api-body", run=run_body, errors=(), kind="json", specimens=bodies, weight=20,
           bulk=JSON_BULK),
    Target(name="search", run=run_query, errors=(NotFound,), kind="text", specimens=queries),
]  # fmt: skip
