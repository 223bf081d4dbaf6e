"""Consensus-critical: what a judge found, as an in-toto Statement in a signed DSSE envelope.

The statement has two parts. `found` is what every honest judge of the same patch must find: the
inputs, the seed and its commitment, the outcome of each gate, the digests of the recorded
transcripts, what was counted for the proposal's task; its digest is what judges compare and people
approve. `measured` is one machine's business (engine, times, resources, which failure was a
timeout) and stands outside the digest, as does `decision`, which follows from `found` unless the
judge's own machine failed.

JSON is canonical: sorted keys, no whitespace, no floats, UTF-8; for such values that is RFC 8785.
Sources: in-toto Attestation Framework, Statement v1; DSSE v1 (envelope, pre-authentication
encoding). The signature is BIP-340 over the tagged hash of the PAE, by the judge's log key.

Not covered: who may judge, and how many must agree; a judge that lies, except that another's
digest differs.
"""

import base64
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from typing import Any, Final

from genesis.core import limits
from genesis.core.errors import InvalidVerdict
from genesis.core.strict_json import (
    canonical_json,
    keys,
    listed,
    load,
    member,
    require,
    text,
    unbase64,
    unhex,
    unhex_or_none,
)
from ledger.core.hashing import tagged
from ledger.core.keys import PUBLIC_KEY_BYTES, Signer, verify
from ledger.core.limits import INT_MAX

PREDICATE_TYPE: Final = "https://timmy.example/successor-verdict/v2"
STATEMENT_TYPE: Final = "https://in-toto.io/Statement/v1"
PAYLOAD_TYPE: Final = "application/vnd.in-toto+json"
SIGNATURE_TAG: Final = "timmy/verdict/v1"
DIGEST_TAG: Final = "timmy/verdict-digest/v1"
SEED_TAG: Final = "timmy/verdict-seed/v1"
PEOPLE: Final = "people"
"""The gate that no machine passes: a change with it is for people, whatever the others say."""

_DIGESTS: Final = (
    *("patch_sha256", "parent_root", "parent_tree"),
    *("head_root", "evaluator", "seed"),
)


class Decision(StrEnum):
    """What the judge says. Only ACCEPT is one."""

    ACCEPT = "accept"
    REJECT = "reject"
    INCONCLUSIVE = "inconclusive"
    INVALID = "invalid"


class Outcome(StrEnum):
    """How a subject came out of one gate."""

    PASS = "pass"  # noqa: S105 - an outcome, not a password
    FAIL = "fail"
    NOT_RUN = "not-run"


@dataclass(frozen=True, slots=True, kw_only=True)
class Inputs:
    """What was judged, against what, by which evaluator. Digests are 32 bytes.

    The roots are those of the architectures' manifests, the trees what of them runs. A patch that
    makes no architecture has neither `result_root` nor `result_tree`. `evaluator` names the judge's
    own code, `measure` the task that the proposal is to be judged by, empty for none that a judge
    has, and `tries` which try on this parent it is, from 1.
    """

    patch_sha256: bytes
    parent_root: bytes
    parent_tree: bytes
    result_root: bytes | None
    result_tree: bytes | None
    head_size: int
    head_root: bytes
    evaluator: bytes
    seed: bytes
    measure: str = ""
    tries: int = 1

    def __post_init__(self) -> None:
        for name in (
            "patch_sha256",
            "parent_root",
            "parent_tree",
            "head_root",
            "evaluator",
            "seed",
        ):
            require(len(getattr(self, name)) == 32, f"{name} is not 32 bytes")
        results = (self.result_root, self.result_tree)
        made = [digest for digest in results if digest is not None]
        require(len(made) in (0, 2), "a result has a root and a tree, or neither")
        require(all(len(digest) == 32 for digest in made), "result root or tree is malformed")
        require(0 <= self.head_size <= INT_MAX, "head_size is not an index")
        require(len(self.measure) <= limits.MEASURE_CHARS_MAX, "measure is too long")
        require(1 <= self.tries <= INT_MAX, "tries is not a count from 1")


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """One gate's outcome for parent and candidate, and the candidate's transcript (32 bytes)."""

    name: str
    parent: Outcome
    candidate: Outcome
    transcript: bytes | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Tooth:
    """A known-bad mutant and how it came out of the gate that must reject it."""

    mutant: str
    gate: str
    outcome: Outcome


@dataclass(frozen=True, kw_only=True)
class Findings:
    """The reproducible part.

    `counts`: of the task's measure, where that counts what every judge must find: of each case
    what the parent came to, and what the candidate did.
    """

    inputs: Inputs
    gates: tuple[Gate, ...] = ()
    teeth: tuple[Tooth, ...] = ()
    counts: tuple[tuple[int, int], ...] = ()

    def __post_init__(self) -> None:
        most = limits.MEASURED_CASES_MAX
        require(len(self.counts) <= most, f"{len(self.counts)} counts, at most {most}")
        for pair in self.counts:
            require(all(0 <= count <= INT_MAX for count in pair), "a count is not one")

    @property
    def decision(self) -> Decision:
        """What follows from the findings alone; a judge may only retreat to INCONCLUSIVE.

        A gate speaks if the parent passed it and it found each of its mutants. To accept, every
        gate must speak and be passed; to reject, one that speaks and was failed is enough.
        """
        if self.inputs.result_root is None:
            return Decision.INVALID
        speaking = [gate for gate in self.gates if self._speaks(gate)]
        if any(gate.candidate is Outcome.FAIL for gate in speaking):
            return Decision.REJECT
        passed = [gate for gate in speaking if gate.candidate is Outcome.PASS]
        complete = bool(self.gates) and len(passed) == len(self.gates)
        return Decision.ACCEPT if complete else Decision.INCONCLUSIVE

    @property
    def for_people(self) -> bool:
        """Whether nothing is left to be found out but what people say.

        The last gate is PEOPLE, which was not run; every other one speaks and was passed.
        """
        *asked, last = self.gates or (None,)
        if self.inputs.result_root is None or last is None or not asked:
            return False
        left = (last.name, last.parent, last.candidate) == (PEOPLE, *(Outcome.NOT_RUN,) * 2)
        passed = [one for one in asked if self._speaks(one) and one.candidate is Outcome.PASS]
        return left and last.transcript is not None and len(passed) == len(asked)

    def _speaks(self, gate: Gate) -> bool:
        teeth = [tooth.outcome for tooth in self.teeth if tooth.gate == gate.name]
        return gate.parent is Outcome.PASS and set(teeth) == {Outcome.FAIL}

    @cached_property
    def digest(self) -> bytes:
        """32 bytes: equal for all judges that found the same."""
        return tagged(DIGEST_TAG, canonical_json(self.to_value()))

    def to_value(self) -> dict[str, Any]:
        """Return the findings as JSON values; digests in hex."""
        inputs = self.inputs
        return {
            "patch": inputs.patch_sha256.hex(),
            "parent": {
                "root": inputs.parent_root.hex(),
                "tree": inputs.parent_tree.hex(),
                "head": {"size": inputs.head_size, "root": inputs.head_root.hex()},
            },
            "result": {"root": _hex(inputs.result_root), "tree": _hex(inputs.result_tree)},
            "evaluator": inputs.evaluator.hex(),
            "task": {"measure": inputs.measure, "tries": inputs.tries},
            "seed": {
                "commitment": seed_commitment(inputs.seed).hex(),
                "revealed": inputs.seed.hex(),
            },
            "gates": [
                {
                    "name": gate.name,
                    "parent": gate.parent.value,
                    "candidate": gate.candidate.value,
                    "transcript": _hex(gate.transcript),
                }
                for gate in self.gates
            ],
            "teeth": [
                {"mutant": tooth.mutant, "gate": tooth.gate, "outcome": tooth.outcome.value}
                for tooth in self.teeth
            ],
            "counts": [list(pair) for pair in self.counts],
        }


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """A decision with its findings. `measured` holds JSON values without floats."""

    decision: Decision
    findings: Findings
    measured: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        allowed = {self.findings.decision, Decision.INCONCLUSIVE}
        require(
            self.decision in allowed,
            f"decision {self.decision.value} does not follow from the findings",
        )

    @property
    def told(self) -> bool:
        """Whether it found something out: a decision, or that nothing is left but people."""
        return self.decision is not Decision.INCONCLUSIVE or self.findings.for_people

    @property
    def digest(self) -> bytes:
        """32 bytes; see `Findings.digest`."""
        return self.findings.digest


@dataclass(frozen=True, kw_only=True)
class SignedVerdict:
    """A verdict whose envelope was verified. Only `verify_envelope` makes one."""

    verdict: Verdict
    signers: tuple[bytes, ...]
    """Public keys (32 bytes) among the trusted ones whose signatures hold."""


def seed_commitment(seed: bytes) -> bytes:
    """Return what is published before the patch is frozen: 32 bytes."""
    return tagged(SEED_TAG, seed)


def statement(verdict: Verdict) -> bytes:
    """Return the in-toto Statement of `verdict`."""
    found = verdict.findings.to_value()
    subject = [{"name": "patch", "digest": {"sha256": found["patch"]}}]
    if found["result"]["tree"] is not None:
        subject.append({"name": "tree", "digest": {"timmyTree": found["result"]["tree"]}})
        root = {"timmyArchitecture": found["result"]["root"]}
        subject.append({"name": "architecture", "digest": root})
    return canonical_json(
        {
            "_type": STATEMENT_TYPE,
            "subject": subject,
            "predicateType": PREDICATE_TYPE,
            "predicate": {
                "decision": verdict.decision.value,
                "digest": verdict.digest.hex(),
                "found": found,
                "measured": verdict.measured,
            },
        }
    )


def pre_authentication_encoding(payload_type: str, payload: bytes) -> bytes:
    """Return DSSE's PAE: the bytes that are signed."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


def sign_envelope(verdict: Verdict, signers: Sequence[Signer]) -> bytes:
    """Return the DSSE envelope of `verdict`, one signature per signer, as canonical JSON."""
    payload = statement(verdict)
    message = pre_authentication_encoding(PAYLOAD_TYPE, payload)
    data = canonical_json(
        {
            "payload": base64.b64encode(payload).decode(),
            "payloadType": PAYLOAD_TYPE,
            "signatures": [
                {
                    "keyid": signer.public.hex(),
                    "sig": base64.b64encode(signer.sign(SIGNATURE_TAG, message)).decode(),
                }
                for signer in signers
            ],
        }
    )
    require(len(data) <= limits.VERDICT_BYTES_MAX, f"verdict of {len(data)} bytes is too large")
    return data


def verify_envelope(data: bytes, *, trusted: Collection[bytes]) -> SignedVerdict:
    """Check an envelope against `trusted` public keys and return what it says.

    Raises InvalidVerdict: malformed, not canonical, a digest or decision that does not follow,
    a trusted key's signature that fails, or no signature of a trusted key at all.
    """
    value = load(data, "envelope")
    keys(value, {"payload", "payloadType", "signatures"}, "envelope")
    require(value["payloadType"] == PAYLOAD_TYPE, f"payload type {value['payloadType']!r}"[:200])
    payload = unbase64(value["payload"], "payload")
    message = pre_authentication_encoding(PAYLOAD_TYPE, payload)
    signers = _signers(value["signatures"], message, trusted)
    require(bool(signers), "no signature of a trusted key")
    return SignedVerdict(verdict=_parse_statement(payload), signers=signers)


def signing_keys(data: bytes) -> frozenset[bytes]:
    """Return the keys that an envelope says it is signed by, not one of them asked yet.

    Raises InvalidVerdict for what is no envelope.
    """
    value = load(data, "envelope")
    keys(value, {"payload", "payloadType", "signatures"}, "envelope")
    named = listed(value["signatures"], "signatures")
    require(len(named) <= limits.SIGNATURES_MAX, f"{len(named)} signatures are too many")
    for entry in named:
        keys(entry, {"keyid", "sig"}, "signature")
    return frozenset(unhex(entry["keyid"], PUBLIC_KEY_BYTES, "keyid") for entry in named)


def _signers(value: Any, message: bytes, trusted: Collection[bytes]) -> tuple[bytes, ...]:
    require(isinstance(value, list), "signatures is not a list")
    require(len(value) <= limits.SIGNATURES_MAX, f"{len(value)} signatures are too many")
    found: list[bytes] = []
    for entry in value:
        keys(entry, {"keyid", "sig"}, "signature")
        key = unhex(entry["keyid"], PUBLIC_KEY_BYTES, "keyid")
        if key not in trusted:
            continue
        signature = unbase64(entry["sig"], "sig")
        require(key not in found, f"two signatures of key {key.hex()}")
        require(verify(key, SIGNATURE_TAG, message, signature), f"signature of {key.hex()} fails")
        found.append(key)
    return tuple(found)


def _parse_statement(payload: bytes) -> Verdict:
    value = load(payload, "statement")
    keys(value, {"_type", "subject", "predicateType", "predicate"}, "statement")
    predicate = value["predicate"]
    keys(predicate, {"decision", "digest", "found", "measured"}, "predicate")
    require(isinstance(predicate["measured"], dict), "measured is not a map")
    verdict = Verdict(
        decision=member(Decision, predicate["decision"]),
        findings=_parse_findings(predicate["found"]),
        measured=predicate["measured"],
    )
    require(statement(verdict) == payload, "the statement contradicts its findings")
    return verdict


def _parse_findings(value: Any) -> Findings:
    keys(
        value,
        {"patch", "parent", "result", "evaluator", "task", "seed", "gates", "teeth", "counts"},
        "found",
    )
    keys(value["parent"], {"root", "tree", "head"}, "parent")
    keys(value["parent"]["head"], {"size", "root"}, "head")
    keys(value["result"], {"root", "tree"}, "result")
    keys(value["task"], {"measure", "tries"}, "task")
    keys(value["seed"], {"commitment", "revealed"}, "seed")
    size = value["parent"]["head"]["size"]
    tries = value["task"]["tries"]
    require(type(size) is int, "head size is not an integer")
    require(type(tries) is int, "tries is not an integer")
    inputs = Inputs(
        patch_sha256=unhex(value["patch"], 32, "patch"),
        parent_root=unhex(value["parent"]["root"], 32, "parent root"),
        parent_tree=unhex(value["parent"]["tree"], 32, "parent tree"),
        result_root=unhex_or_none(value["result"]["root"], "result root"),
        result_tree=unhex_or_none(value["result"]["tree"], "result tree"),
        head_size=size,
        head_root=unhex(value["parent"]["head"]["root"], 32, "head root"),
        evaluator=unhex(value["evaluator"], 32, "evaluator"),
        seed=unhex(value["seed"]["revealed"], 32, "seed"),
        measure=_measure(value["task"]["measure"]),
        tries=tries,
    )
    return Findings(
        inputs=inputs,
        gates=tuple(_parse_gate(gate) for gate in listed(value["gates"], "gates")),
        teeth=tuple(_parse_tooth(tooth) for tooth in listed(value["teeth"], "teeth")),
        counts=tuple(_parse_pair(pair) for pair in listed(value["counts"], "counts")),
    )


def _measure(value: Any) -> str:
    return "" if value == "" else text(value, "measure")


def _parse_gate(value: Any) -> Gate:
    keys(value, {"name", "parent", "candidate", "transcript"}, "gate")
    return Gate(
        name=text(value["name"], "gate name"),
        parent=member(Outcome, value["parent"]),
        candidate=member(Outcome, value["candidate"]),
        transcript=unhex_or_none(value["transcript"], "transcript"),
    )


def _parse_tooth(value: Any) -> Tooth:
    keys(value, {"mutant", "gate", "outcome"}, "tooth")
    return Tooth(
        mutant=text(value["mutant"], "mutant"),
        gate=text(value["gate"], "gate"),
        outcome=member(Outcome, value["outcome"]),
    )


def _parse_pair(value: Any) -> tuple[int, int]:
    match value:
        case [parent, candidate] if type(parent) is int and type(candidate) is int:
            return parent, candidate
    raise InvalidVerdict("counts are not pairs of integers")


def _hex(value: bytes | None) -> str | None:
    return None if value is None else value.hex()
