"""A stranger's reading of docs/spec/verdict.md: JSON, CBOR, SHA-256 and BIP-340, nothing of ours."""

import base64
import hashlib
import json
from collections import Counter
from collections.abc import Collection
from typing import Any

import cbor2
from coincurve import PublicKeyXOnly

OUTCOMES = {"pass", "fail", "not-run"}
LIST, NULL = object(), type(None)


class Bad(Exception):
    """Refused, and in what class."""


def demand(held: object, kind: str) -> None:
    if not held:
        raise Bad(kind)


def tagged(tag: str, data: bytes) -> bytes:
    once = hashlib.sha256(tag.encode()).digest()
    return hashlib.sha256(once + once + data).digest()


def holds(key: bytes, digest: bytes, signature: bytes) -> bool:
    try:
        return len(signature) == 64 and PublicKeyXOnly(key).verify(signature, digest)
    except ValueError:
        return False


def canonical(value: Any) -> bytes:
    def check(item: Any, depth: int) -> None:
        demand(depth <= 8, "json")
        if isinstance(item, dict):
            for key, one in item.items():
                demand(key.isascii(), "json")
                check(one, depth + 1)
        elif isinstance(item, list):
            for one in item:
                check(one, depth + 1)
        else:
            demand(not isinstance(item, float), "json")
            small = not isinstance(item, int) or isinstance(item, bool) or abs(item) < 2**63
            demand(small, "json")

    check(value, 0)
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return text.encode()


def read(data: bytes) -> Any:
    demand(len(data) <= 262144, "json")
    try:
        value = json.loads(data.decode())
        same = canonical(value) == data
    except (ValueError, RecursionError) as error:
        raise Bad("json") from error
    demand(same, "json")
    return value


def fields(value: Any, *names: str) -> list[Any]:
    demand(isinstance(value, dict) and set(value) == set(names), "shape")
    return [value[name] for name in names]


def digest_of(value: Any, *, null: bool = False) -> Any:
    if null and value is None:
        return value
    demand(
        isinstance(value, str) and len(value) == 64 and set(value) <= set("0123456789abcdef"),
        "shape",
    )
    return value


def unpacked(text: Any) -> bytes:
    demand(isinstance(text, str), "shape")
    try:
        data = base64.b64decode(text, validate=True)
    except ValueError as error:
        raise Bad("shape") from error
    demand(base64.b64encode(data).decode() == text, "shape")
    return data


def number(value: Any, least: int = 0) -> None:
    demand(type(value) is int and least <= value < 2**63, "shape")


def follows(found: dict[str, Any]) -> str:
    """The decision that the findings lead to."""
    if found["result"]["root"] is None:
        return "invalid"
    speaking = []
    for gate in found["gates"]:
        teeth = {one["outcome"] for one in found["teeth"] if one["gate"] == gate["name"]}
        if gate["parent"] == "pass" and teeth == {"fail"}:
            speaking.append(gate)
    if [one for one in speaking if one["candidate"] == "fail"]:
        return "reject"
    passed = [one for one in speaking if one["candidate"] == "pass"]
    return "accept" if found["gates"] and len(passed) == len(found["gates"]) else "inconclusive"


def left_to_people(found: dict[str, Any]) -> bool:
    """Whether every gate but the last, which is nobody's but people's, speaks and was passed."""
    *asked, last = found["gates"] or [{"name": ""}]
    without = {**found, "gates": asked}
    left = last["name"] == "people" and last["parent"] == last["candidate"] == "not-run"
    return left and last["transcript"] is not None and follows(without) == "accept"


def check_found(found: Any) -> None:
    patch, parent, result, evaluator, task, seed, gates, teeth, counts = fields(
        found, "patch", "parent", "result", "evaluator", "task", "seed", "gates", "teeth", "counts"
    )
    digest_of(patch)
    digest_of(evaluator)
    before, tree, head = fields(parent, "root", "tree", "head")
    size, root = fields(head, "size", "root")
    number(size)
    for one in (before, tree, root):
        digest_of(one)
    made = [digest_of(one, null=True) for one in fields(result, "root", "tree")]
    demand(made.count(None) in (0, 2), "shape")
    measure, tries = fields(task, "measure", "tries")
    demand(isinstance(measure, str) and len(measure) <= 32, "shape")
    number(tries, 1)
    commitment, revealed = (digest_of(one) for one in fields(seed, "commitment", "revealed"))
    demand(
        isinstance(gates, list) and isinstance(teeth, list) and isinstance(counts, list), "shape"
    )
    for gate in gates:
        name, old, new, transcript = fields(gate, "name", "parent", "candidate", "transcript")
        demand(isinstance(name, str) and old in OUTCOMES and new in OUTCOMES, "shape")
        digest_of(transcript, null=True)
    for tooth in teeth:
        mutant, gate, outcome = fields(tooth, "mutant", "gate", "outcome")
        demand(isinstance(mutant, str) and isinstance(gate, str) and outcome in OUTCOMES, "shape")
    demand(len(counts) <= 64, "shape")
    for pair in counts:
        demand(isinstance(pair, list) and len(pair) == 2, "shape")
        for one in pair:
            number(one)
    own = tagged("timmy/verdict-seed/v1", bytes.fromhex(revealed)).hex()
    demand(own == commitment, "statement")


def envelope(data: bytes, trusted: Collection[bytes]) -> dict[str, Any]:
    """What an envelope says, if one of the keys signed it."""
    value = read(data)
    payload, kind, signatures = fields(value, "payload", "payloadType", "signatures")
    demand(kind == "application/vnd.in-toto+json", "shape")
    body = unpacked(payload)
    demand(isinstance(signatures, list), "shape")
    demand(len(signatures) <= 16, "signature")
    message = b"DSSEv1 28 application/vnd.in-toto+json %d " % len(body) + body
    signers: list[bytes] = []
    for one in signatures:
        keyid, sig = fields(one, "keyid", "sig")
        key = bytes.fromhex(digest_of(keyid))
        if key not in trusted:
            continue
        good = holds(key, tagged("timmy/verdict/v1", message), unpacked(sig))
        demand(good and key not in signers, "signature")
        signers.append(key)
    demand(signers, "signature")
    return statement(body) | {"signers": [key.hex() for key in signers]}


def statement(body: bytes) -> dict[str, Any]:
    value = read(body)
    kind, subject, predicate_type, predicate = fields(
        value, "_type", "subject", "predicateType", "predicate"
    )
    decision, digest, found, measured = fields(predicate, "decision", "digest", "found", "measured")
    demand(isinstance(measured, dict), "shape")
    check_found(found)
    demand(kind == "https://in-toto.io/Statement/v1", "statement")
    demand(predicate_type == "https://timmy.example/successor-verdict/v2", "statement")
    demand(decision in (follows(found), "inconclusive"), "statement")
    right = tagged("timmy/verdict-digest/v1", canonical(found)).hex()
    demand(digest == right, "statement")
    wanted = [{"name": "patch", "digest": {"sha256": found["patch"]}}]
    if found["result"]["root"] is not None:
        wanted.append({"name": "tree", "digest": {"timmyTree": found["result"]["tree"]}})
        root = {"timmyArchitecture": found["result"]["root"]}
        wanted.append({"name": "architecture", "digest": root})
    demand(subject == wanted, "statement")
    return {"decision": decision, "digest": digest, "found": found}


def answer(case: dict[str, Any]) -> tuple[str, str]:
    """The message that was signed, and the digest of the question, of a case."""
    payload = case["payload"]
    sizes = {"root": 32, "verdict": 32, "key": 32, "signature": 64}
    for name, size in sizes.items():
        demand(isinstance(payload[name], str) and len(payload[name]) == 2 * size, "answer")
    at_ms = payload["at_ms"]
    demand(type(at_ms) is int and 0 <= at_ms < 2**63, "answer")
    about = [
        *(bytes.fromhex(case[name]) for name in ("ledger", "patch")),
        *(bytes.fromhex(payload[name]) for name in ("root", "verdict")),
        case["patch_class"],
    ]
    message = cbor2.dumps([1, case["word"], *about, at_ms])
    good = holds(
        bytes.fromhex(payload["key"]),
        tagged("timmy/approval/v1", message),
        bytes.fromhex(payload["signature"]),
    )
    demand(good, "answer")
    question = tagged("timmy/approval-question/v1", cbor2.dumps([1, *about]))
    return message.hex(), question.hex()


def granting(case: dict[str, Any]) -> tuple[str, list[str]]:
    """The digest and the keys by which a case is approved."""
    demand(case["open"], "closed")
    rules, about, now = case["rules"], case["proposed"], case["now_ms"]
    own, bare = (verdicts(case, name, rules["judges"]) for name in ("envelopes", "wordless"))
    demand(not [one for one in own + bare if one["decision"] == "reject"], "rejected")
    constitutional = about["patch_class"] == "constitutional"
    accepted: dict[str, Any] = {}
    for one in own:
        if left_to_people(one["found"]) if constitutional else one["decision"] == "accept":
            accepted.setdefault(one["digest"], one)
    demand(accepted, "unjudged")
    latest = standing(case)
    may = {*rules["operators"], *rules["people"]}
    demand(not [key for key in latest if key in may and latest[key][1]], "disapproved")
    yes = {
        key: (at, digest) for key, (at, no, digest) in latest.items()
        if not no and digest in accepted
    }  # fmt: skip
    fresh = {key: one for key, one in yes.items() if one[0] + 2592000000 >= now}
    entitled = rules["people"] if constitutional else rules["operators"]
    by = {key: one for key, one in fresh.items() if key in entitled}
    if by and constitutional:
        counts = Counter(digest for _, digest in by.values())
        by = {key: one for key, one in by.items() if counts[one[1]] >= rules["people_needed"]}
        demand(by, "quorum")
        ends = {digest: accepted[digest]["at_ms"] + rules["wait_ms"] for digest in counts}
        by = {key: one for key, one in by.items() if ends[one[1]] <= now}
        demand(by, "early")
    if by:
        newest = max(by.values())[1]
        return newest, sorted(key for key in by if by[key][1] == newest)
    demand(not [key for key in yes if key in entitled], "expired")
    demand(not constitutional and rules["approvers"], "unapproved")
    return quorum(case, accepted, fresh)


def verdicts(case: dict[str, Any], which: str, keys: Collection[str]) -> list[dict[str, Any]]:
    """Verdicts that count: by one of these keys, of this proposal, by the node's evaluator."""
    about, found = case["proposed"], []
    for row in case[which]:
        data = base64.b64decode(row["envelope"])
        try:
            one = envelope(data, {bytes.fromhex(key) for key in keys})
        except Bad:
            continue
        of = one["found"]
        same = (
            of["patch"] == about["sha256"]
            and (of["parent"]["root"], of["result"]["root"]) == (about["base"], about["root"])
            and of["seed"]["commitment"] == about["commitment"]
            and of["task"]["tries"] >= about["tries"]
            and of["evaluator"] == case["rules"]["evaluator"]
        )
        if same:
            found.append(one | {"at_ms": row["at_ms"]})
    return found


def standing(case: dict[str, Any]) -> dict[str, tuple[int, bool, str]]:
    """The latest answer of each key: when, whether it is a no, to which verdict."""
    latest: dict[str, tuple[int, bool, str]] = {}
    about = case["proposed"]
    for row in case["answers"]:
        try:
            answer({"word": row["word"], "payload": row, **about})
        except Bad:
            continue
        if row["root"] != about["root"] or row["key"] in case["rules"]["own"]:
            continue
        if row["at_ms"] > case["now_ms"] + 3600000:
            continue
        said = (row["at_ms"], row["word"] == "disapprove", row["verdict"])
        latest[row["key"]] = max(said, latest.get(row["key"], said))
    return latest


def quorum(
    case: dict[str, Any], accepted: dict[str, Any], fresh: dict[str, tuple[int, str]]
) -> tuple[str, list[str]]:
    rules = case["rules"]
    others = [key for key in rules["approvers"] if key not in rules["own"]]
    theirs = verdicts(case, "reported", others)
    heads = [one["found"]["parent"]["head"] for one in accepted.values()]
    bare = {one["digest"] for one in verdicts(case, "wordless", rules["judges"])}
    for one in theirs:
        demand(one["decision"] != "reject", "disagreed")
        other = one["decision"] == "accept" and one["digest"] not in accepted.keys() | bare
        demand(not (other and one["found"]["parent"]["head"] in heads), "disagreed")
    needed = max(2, len(rules["approvers"]) // 2 + 1)
    for digest in sorted(accepted):
        by = sorted(key for key in others if fresh.get(key, (0, ""))[1] == digest)
        again = [one for one in theirs if (one["digest"], one["decision"]) == (digest, "accept")]
        homes = {key for one in again for key in one["signers"]}
        if len(by) >= needed and len(homes) >= needed - 1:
            return digest, by
    raise Bad("quorum")
