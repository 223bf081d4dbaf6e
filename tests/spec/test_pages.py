"""The pages cannot rot: every constant, context, tag, number and name in their code blocks is code's.

constants    NAME = value: each equals what the table below takes from the code, and every
             name of the table stands in some page
codepoints   the characters that a name may not hold
example X    NAME = hex: what the vectors' script computed
cddl         integers and quoted strings: some constant, or a name that the code writes
note         the note of the vectors
"""

import json
import re
from pathlib import Path

import pytest

from attest.core import aggregate as slots
from attest.core import header
from attest.core import limits as attest_limits
from attest.core.anchor import Standing, standing_of
from attest.core.proof import AnchorProof, SealOpening
from attest.core.submission import Shown, Submission
from attest.verify import bundle as verify_bundle
from attest.verify import common, export, held, report, seal
from genesis.core import approval, architecture, constitution, granting, sealed_word, verdict
from genesis.core import limits as genesis_limits
from ledger import attested
from ledger.core import (
    bundle,
    checkpoint,
    descent,
    epoch,
    event,
    genesis,
    handoff,
    hashing,
    keys,
    limits,
    note,
    state,
    statement,
    tiles,
    types,
)
from ledger.core.codec import decode
from ledger.core.state import State
from ledger.replay import attestation
from mesh.core.fleet import (
    duty,
    duty_wire,
    frame,
    gossip,
    joining,
    majority,
    manifest,
    passing,
    presence,
)
from node.agent import snapshot
from runtime.core import jobs
from tests.attest import delegations
from tests.spec import agent, make_vectors, test_vectors

ROOT = Path(__file__).parents[2]
SPEC = ROOT / "docs/spec"
PAGES = sorted(path for path in SPEC.glob("*.md") if path.name != "agent-protocol.md")
BLOCK = re.compile(r"^```(\w+)(?: (\w+))?\n(.*?)^```$", re.DOTALL | re.MULTILINE)
CODE = {
    **{name: getattr(hashing, name) for name in ("EVENT_ID", "PAYLOAD", "CONTENT")},
    "STATEMENT_BODY": hashing.STATEMENT_BODY,
    "STATE_ENTRY": hashing.STATE_ENTRY,
    "STATE_PART": hashing.STATE_PART,
    "NOTE_TAG": note.TAG,
    "EPOCH_TAG": epoch.TAG,
    "HANDOFF_TAG": handoff.TAG,
    "HANDOFF_VERSION": handoff.VERSION,
    "REASON_CHARS_MAX": handoff.REASON_CHARS_MAX,
    "STATEMENT_TAG": statement.TAG,
    "GENESIS_TAG": genesis.TAG,
    "CHILD_TAG": descent.TAG,
    "CHILD_VERSION": descent.VERSION,
    "CHILD_PLACE": descent.PLACE,
    **{name: getattr(descent, name) for name in ("KEPT_SIZE_MIN", "ANCESTORS_MAX", "NUMBERS_MAX")},
    "CHILD_SKILLS_MAX": descent.SKILLS_MAX,
    "SKILL_NAME": descent._SKILL.pattern,
    "NUMBER_NAME": descent._NUMBER.pattern,
    "SLOT_TAG": slots.SLOT_TAG,
    "BRANCH_TAG": slots.BRANCH_TAG,
    **{name: getattr(limits, name) for name in (
        "INT_MIN", "INT_MAX", "CBOR_DEPTH_MAX", "ENVELOPE_BYTES_MAX", "PAYLOAD_BYTES_MAX",
        "CONTENT_BYTES_MAX", "TYPE_CHARS_MAX", "CAUSES_MAX", "STREAM_BYTES",
        "IDEMPOTENCY_KEY_BYTES", "SALT_BYTES", "TREE_SIZE_MAX", "PROOF_HASHES_MAX",
        "NOTE_BYTES_MAX", "NOTE_SIGNATURES_MAX",
    )},
    "EVENT_VERSION": event.VERSION,
    "EVENT_TYPE": event._TYPE.pattern,
    "GENESIS_VERSION": genesis.VERSION,
    "NAME_CHARS_MAX": genesis.NAME_CHARS_MAX,
    "SOUL_BYTES_MAX": genesis.SOUL_BYTES_MAX,
    "ENTROPY_SOURCES_MAX": genesis.ENTROPY_INPUTS_MAX,
    "ENTROPY_SOURCE": genesis._SOURCE.pattern,
    "TILE_LEVELS": tiles.TILE_LEVELS,
    "TILE_WIDTH": tiles.TILE_WIDTH,
    "NOTE_SCHEME": note.SCHEME.decode(),
    "ORIGIN": checkpoint._ORIGIN.pattern,
    "STATEMENT_BYTES_MAX": statement._BYTES_MAX,
    "STATEMENT_NONCE_BYTES": statement.NONCE_BYTES,
    "LANES": state.LANES,
    "MAGIC": bundle.MAGIC.decode(),
    "RECORD_BYTES_MAX": limits.BUNDLE_RECORD_BYTES_MAX,
    "PROOF_RECORDS_MAX": verify_bundle._ITEMS_MAX,
    "PROOF_EVENT_BYTES_MAX": common._EVENT_BYTES_MAX,
    "EXPORT_HEADS_MAX": export._HEADS_MAX,
    **{f"{network.name.upper()}_{name}": getattr(network, name.lower())
       for network in (header.MAINNET, header.SIGNET, header.REGTEST)
       for name in ("POW_LIMIT_BITS", "WORK_MIN")},
    **{name: getattr(attest_limits, name) for name in (
        "TRANSACTION_BYTES_MAX", "MONEY_SAT_MAX", "DUST_SAT", "PATH_DEPTH_MAX",
        "LINK_HEADERS_MAX", "LINKS_MAX", "CONFIRMED_BLOCKS", "FINAL_BLOCKS",
        "SLOT_DEPTH_MAX", "SEGMENT_LINKS_MAX", "SUBMISSION_BYTES_MAX",
    )},
    **{name: getattr(header, name) for name in (
        "HEADER_BYTES", "HEIGHT_MAX", "PERIOD_BLOCKS", "PERIOD_S", "RETARGET_FACTOR_MAX",
        "MEDIAN_BLOCKS",
    )},
    **{name: getattr(hashing, name) for name in ("TREE_FILES", "ARCHITECTURE", "PROPOSAL")},
    "MANIFEST_VERSION": architecture.VERSION,
    **{f"ARCHITECTURE_{name}": getattr(genesis_limits, name)
       for name in ("PATH_CHARS_MAX", "PATH_DEPTH_MAX")},
    **{name: getattr(genesis_limits, name) for name in (
        "MANIFEST_FILES_MAX", "TREE_FILES_MAX", "TREE_FILE_BYTES_MAX", "TREE_BYTES_MAX",
        "SKILL_BYTES_MAX", "SKILLS_MAX", "SKIN_BYTES_MAX", "SKINS_MAX", "DOCUMENT_BYTES_MAX",
        "DOCUMENT_LINES_MAX", "FRONT_BYTES_MAX", "TITLE_CHARS_MAX", "FIELD_CHARS_MAX",
        "PATCH_BYTES_MAX", "PATCH_FILES_MAX", "VERDICT_BYTES_MAX", "SIGNATURES_MAX",
        "MEASURE_CHARS_MAX", "MEASURED_CASES_MAX",
    )},
    "VERDICT_TAG": verdict.SIGNATURE_TAG,
    "VERDICT_DIGEST_TAG": verdict.DIGEST_TAG,
    **{name: getattr(verdict, name) for name in ("SEED_TAG", "PREDICATE_TYPE", "PAYLOAD_TYPE")},
    "APPROVAL_TAG": approval.TAG,
    "APPROVAL_VERSION": approval.VERSION,
    "QUESTION_TAG": approval.QUESTION_TAG,
    "CHANGE_TAG": constitution.CHANGE_TAG,
    "SEALED_CONTENT_CHARS_MAX": sealed_word.CONTENT_CHARS_MAX,
    "SEALED_KEYS_BYTES": sealed_word.KEYS_BYTES,
    **{name: getattr(granting, name) for name in ("WAIT_MS", "VALID_MS", "SKEW_MS")},
    **{name: getattr(snapshot, name) for name in ("SNAPSHOT_EVENTS_MAX", "SNAPSHOT_BYTES_MAX")},
}  # fmt: skip
"""What each constant of the pages is in the code."""


def blocks(kind):
    found = [
        (page.name, match[2], match[3])
        for page in PAGES
        for match in BLOCK.finditer(page.read_text())
        if match[1] == kind
    ]
    assert found, f"no page has a block of kind {kind}"
    return found


def value_of(text):
    """`2^63 - 1`, `0x1d00ffff`, `65536` or a JSON string."""
    if text.startswith('"'):
        return json.loads(text)
    if text.startswith("0x"):
        return int(text, 16)
    match = re.fullmatch(r"(-?)(\d+)(?:\^(\d+))?(?: - (\d+))?", text)
    assert match, f"{text!r} is no value"
    number = int(match[2]) ** int(match[3] or 1) * (-1 if match[1] else 1)
    return number - int(match[4] or 0)


def test_every_block_is_of_a_kind_that_is_checked():
    for page in PAGES:
        text = page.read_text()
        assert text.count("```") == 2 * len(BLOCK.findall(text)), page
        kinds = {match[1] for match in BLOCK.finditer(text)}
        assert kinds <= {"constants", "codepoints", "example", "cddl", "note"}, page


def test_constants_are_those_of_the_code():
    seen = set()
    for page, _, text in blocks("constants"):
        for line in text.splitlines():
            name, _, value = line.partition("=")
            assert value_of(value.strip()) == CODE[name.strip()], f"{page}: {line}"
            seen.add(name.strip())
    assert seen == set(CODE)


def test_values_mean_what_they_say():
    assert value_of("-2^63") == -(2**63)
    assert value_of("2^63 - 1") == 2**63 - 1
    assert value_of('"a\\n"') == "a\n"


def test_the_characters_a_name_may_not_hold():
    [(_, _, text)] = blocks("codepoints")
    found = set()
    for entry in text.split():
        first, _, last = entry.replace("U+", "").partition("..")
        found |= set(range(int(first, 16), int(last or first, 16) + 1))
    assert found == {code for code in range(0x110000) if genesis._INVISIBLE.match(chr(code))}


def test_worked_examples_are_the_vectors():
    example = json.loads((make_vectors.FOLDER / "example.json").read_text())
    for page, name, text in blocks("example"):
        lines = re.sub(r"\n +", " ", text).splitlines()
        for line in lines:
            key, _, value = line.partition("=")
            assert value.replace(" ", "") == example[name][key.strip()], f"{page}: {key}"
    [(_, _, shown)] = blocks("note")
    assert shown == example["checkpoint"]["note"]


def test_what_b3sum_prints_is_in_the_vectors():
    example = (make_vectors.FOLDER / "example.json").read_text()
    printed = [
        found
        for page in PAGES
        for found in re.findall(r"^ +([0-9a-f]{64})  -$", page.read_text(), re.MULTILINE)
    ]
    assert len(printed) == 4
    assert all(found in example for found in printed)


def known_words():
    """Every name that stands in a value our code writes."""
    payload = birth_value()
    chain = agent.anchored_ledger()
    link = chain.links[1].to_value()
    words = {
        "successor",
        *handoff._KINDS,
        *descent._KINDS,
        *("certificate", "signature", "proof"),
        *bundle._FIELDS,
        *genesis.NETWORKS,
        *payload,
        *payload["soul"],
        *payload["keys"],
    }
    words |= {*payload["signatures"], *agent.OPENING.to_value(), *link}
    words |= {*agent.epoch_record(chain.ledger).payload}
    words |= {*make_vectors.statement_example(), "size", "reducers", "digest"}
    words |= {*attestation(State(()), bytes(32)).payload}
    words |= aggregate_words()
    assert SealOpening.from_value(agent.OPENING.to_value()) == agent.OPENING
    assert AnchorProof.from_value(link).to_value() == link
    return words


def aggregate_words():
    period = delegations.good().delegations[2]
    slotted = period.segment.links[1].to_value()
    submission = decode(agent_submission(), bytes_max=2**20)
    words = {*slotted, *slotted["slot"], *period.segment.to_value(), *submission}
    words |= {*period.delegation.to_value(), *submission["genesis"], "delegation"}
    return words | {"slots", "delegations", "event", "segment", "heads"}


def agent_submission():
    record = agent.anchored_ledger().ledger.records[0]
    birth = Shown(
        position=0, envelope=record.envelope, salt=record.salt, payload=record.payload, path=()
    )
    return Submission(note=b"", birth=birth, since=0, consistency=()).encode()


def birth_value():
    return agent.genesis_payload()


def test_numbers_and_words_of_the_grammars_are_the_codes():
    lengths = {1, 32, keys.PUBLIC_KEY_BYTES, keys.SIGNATURE_BYTES, statement.NONCE_BYTES}
    lengths |= {state.PART_DIGEST_BYTES, attested.CODE_BYTES}
    lengths |= {limits.STREAM_BYTES, limits.IDEMPOTENCY_KEY_BYTES, limits.SALT_BYTES}
    words = known_words()
    for page, _, text in blocks("cddl"):
        grammar = re.sub(r";.*", "", text)
        quoted = set(re.findall(r'"([^"]*)"', grammar))
        assert quoted <= words, f"{page}: {quoted - words}"
        numbers = re.findall(r"(?<![\w.])\d+(?!\w)", re.sub(r'"[^"]*"', "", grammar))
        assert {int(number) for number in numbers} <= lengths, page


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_contexts_tags_and_bounds_in_the_prose_are_the_codes(page):
    text = page.read_text()
    contexts = {value for value in vars(hashing).values() if isinstance(value, str)}
    contexts |= {gossip.FINGERPRINT, duty.ORDER, duty.FENCE, jobs.SHARED_ID, jobs.RUN_ID}
    contexts |= {passing.CONVERSATION, majority.ANSWER}
    for found in re.findall(r"timmy-node 2026-11 [a-z0-9 ]+ v\d+", text):
        assert found in contexts, found
    tags = {
        note.TAG, epoch.TAG, handoff.TAG, statement.TAG, genesis.TAG, slots.SLOT_TAG,
        slots.BRANCH_TAG, manifest.TAG, joining.JOIN_TAG, presence.TAG, duty_wire.TAG,
        frame.TAG, verdict.SIGNATURE_TAG, approval.TAG, descent.TAG,
    }  # fmt: skip
    for found in re.findall(r'"(timmy/[a-z]+/v\d+)"', text):
        assert found in tags, found
    numbers = {value for value in CODE.values() if isinstance(value, int)}
    for found in re.findall(r"at most (\d+) (?:hashes|characters|bytes|digits|signature)", text):
        assert int(found) in numbers | {10}, found
    names = set(re.findall(r"`([A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+)`", text))
    assert names <= set(CODE), names - set(CODE)


def test_every_event_type_that_the_pages_name_is_one():
    for page in PAGES:
        for found in re.findall(r"type `([a-z]+\.[a-z]+)`", page.read_text()):
            assert found in types.KNOWN, f"{page.name}: {found}"


def test_verdicts_standings_and_classes_are_all_on_the_pages():
    text = (SPEC / "bundle.md").read_text()
    listed = re.findall(r"^\| `([A-Z-]+)` \|", text, re.MULTILINE)
    modules = (common, export, held, seal, verify_bundle)
    names = {name: value for module in modules for name, value in vars(module).items()}
    words = {value for name, value in names.items() if name.isupper() and value == name.replace("_", "-")}  # fmt: skip
    assert set(listed) == words
    assert set(listed[:4]) == report.GOOD
    rows = re.findall(r"^\| (\d+).*\| (\w+) \|$", (SPEC / "anchor.md").read_text(), re.MULTILINE)
    assert [(int(low), name) for low, name in rows] == [
        (low, standing_of(low).name.lower()) for low in (0, 1, 6, 100)
    ]
    assert len(rows) == len(Standing)
    readme = (SPEC / "README.md").read_text()
    classes = re.findall(r"^\| `([a-z.]+)` \| (?!`)", readme, re.MULTILINE)
    wanted = {*test_vectors.REASONS, *test_vectors.LINKS}
    assert wanted <= set(classes)
    files = {path.name for path in make_vectors.FOLDER.iterdir()}
    assert set(re.findall(r"^\| `(\w+\.json)`", readme, re.MULTILINE)) == files


def test_the_index_names_every_page_once():
    readme = (SPEC / "README.md").read_text()
    for page in SPEC.glob("*.md"):
        rows = readme.count(f"\n| [{page.name}]({page.name}) |")
        assert rows == (page.name != "README.md"), page.name
