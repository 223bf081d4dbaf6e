"""The parsers of proposals: a document from anybody, the manifest of an architecture."""

from genesis.core.agreement import compare
from genesis.core.architecture import Manifest
from genesis.core.errors import (
    Constitutional,
    InvalidPatch,
    InvalidSealedWord,
    InvalidTree,
    InvalidVerdict,
)
from genesis.core.patch import apply_to, parse
from genesis.core.proposal import parse_proposal, weigh
from genesis.core.sealed_word import SealedWord
from genesis.core.verdict import signing_keys, verify_envelope
from ledger.core.codec import decode, encode
from ledger.core.errors import InvalidCbor
from mesh.core import nip17, nip59
from mesh.core.nip01 import NostrSigner
from mesh.core.nip59 import Chance
from tests.genesis_approval.world import ENVELOPE, KEY
from tests.genesis_patches.make_vectors import GOOD
from tests.genesis_patches.world import BASE, DIFF, FRONT, document, fenced, render_proposal

from .engine import Target, same
from .targets_homes import PATCH_BULK, TOML_BULK


def run_proposal(data):
    proposal = parse_proposal(data)
    made = weigh(proposal, BASE).result
    assert made.root != BASE.root
    assert made.files == apply_to(parse(proposal.patch.data), BASE)


def run_manifest(data):
    read = Manifest.decode(data)
    same(data, read.encode())
    assert len(read.root) == len(read.tree_digest) == 32


def run_envelope(data):
    keys = signing_keys(data)
    found = verify_envelope(data, trusted=keys)
    assert set(found.signers) == keys
    compare(found.verdict, found.verdict)


def run_sealed_word(data):
    try:
        value = decode(data, bytes_max=1 << 20)
    except InvalidCbor as error:
        raise InvalidSealedWord(str(error)) from error
    word = SealedWord.from_value(value)
    assert word.to_value() == value


def _sealed():
    keys = KEY["npub"], KEY["nostr"]
    author, node = (NostrSigner(key.secret) for key in keys)
    rumor = nip17.write(author.pubkey, [node.pubkey], "approve " + "0" * 64, now=9)
    event = nip59.wrap(rumor, author, node.pubkey, Chance.derived(bytes(32), b"a specimen"), now=9)
    sealed = nip59.open_wrap(event, node).sealed
    assert sealed is not None
    return SealedWord(
        author=bytes.fromhex(sealed.pubkey), sealed_at=sealed.created_at, content=sealed.content,
        signature=bytes.fromhex(sealed.sig), keys=nip59.shown_keys(sealed, node),
    )  # fmt: skip


HEAD = render_proposal(FRONT, "", b"")
BULK = {
    "blocks": lambda n: HEAD + b"```\n```\n" * (n // 8),
    "open blocks": lambda n: HEAD + b"```diff\n" * (n // 8),
    "long fence": lambda n: HEAD + b"`" * n + b"\n",
    "words": lambda n: HEAD + b"x" * n + b"\n",
    "files": lambda n: document(
        *(fenced(b"x\n", f"file runtime/agent/n{i}.py") for i in range(n // 40))
    ),
    **{f"front: {name}": lambda n, made=made: b"+++\n" + made(n) + b"\n+++\n"
       for name, made in TOML_BULK.items()},
    **{f"diff: {name}": lambda n, made=made: document(fenced(made(n)))
       for name, made in PATCH_BULK.items()},
}  # fmt: skip
TARGETS = [
    Target(name="proposal", run=run_proposal, errors=(InvalidPatch, Constitutional), kind="text",
           specimens=lambda: [*GOOD.values(), document(fenced(DIFF))], weight=4, bulk=BULK),
    Target(name="verdict-envelope", run=run_envelope, errors=(InvalidVerdict,), kind="json",
           specimens=lambda: [ENVELOPE]),
    Target(name="sealed-word", run=run_sealed_word, errors=(InvalidSealedWord,), kind="cbor",
           specimens=lambda: [encode(_sealed().to_value())]),
    Target(name="architecture-manifest", run=run_manifest, errors=(InvalidTree,), kind="cbor",
           specimens=lambda: [BASE.manifest.encode()]),
]  # fmt: skip
