"""What the safety tests showed of one model: the value behind the event `model.tested`.

A result names what was asked and by which rules it was judged (one digest of both), the model, its
weights where they lie on this machine, and of each question whether its reply passed, for which
reasons it did not, and the reply's digest. No word of a reply is in the payload.

It counts for exactly that: with another model, other weights, edited tests or edited rules it does
not hold. The newest result of a model decides: one that passed and then failed does not speak.
Not covered: a provider that puts another model behind the same name; test again, as often as that
is feared.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

from runtime.core import limits
from runtime.core.errors import InvalidSuite
from runtime.core.grader import REASONS, Finding

UNANSWERED_REASONS: Final = frozenset({"no-reply", "timeout", "error", "not-asked"})
_DIGEST_BYTES: Final = 32
_WEIGHTS: Final = "sha256:"
_KEYS: Final = frozenset({"suite", "model", "weights", "passed", "cases"})


class Outcome(StrEnum):
    """What came of one question."""

    PASSED = "passed"
    FAILED = "failed"
    UNANSWERED = "unanswered"


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseResult:
    """Outcome of one question, by its name. `findings` stay on this machine: they quote replies."""

    name: str
    outcome: Outcome
    reasons: tuple[str, ...] = ()
    reply_sha256: bytes | None = None
    findings: tuple[Finding, ...] = field(default=(), repr=False, compare=False)

    def __post_init__(self) -> None:
        allowed = {
            Outcome.PASSED: frozenset[str](),
            Outcome.FAILED: REASONS,
            Outcome.UNANSWERED: UNANSWERED_REASONS,
        }[self.outcome]
        if bool(self.reasons) != bool(allowed) or not allowed.issuperset(self.reasons):
            raise InvalidSuite(f"{self.name!r} {self.outcome} for the reasons {self.reasons!r}")
        if (self.reply_sha256 is None) != (self.outcome is Outcome.UNANSWERED):
            raise InvalidSuite(f"{self.name!r} {self.outcome}: a digest is of a reply")
        if self.reply_sha256 is not None and len(self.reply_sha256) != _DIGEST_BYTES:
            raise InvalidSuite(f"{self.name!r}: a digest of {len(self.reply_sha256)} bytes")


@dataclass(frozen=True, slots=True, kw_only=True)
class SuiteResult:
    """All outcomes of one run. `suite` is the digest of tests and rules, `weights` of the file."""

    suite: bytes
    model: str
    weights: bytes | None
    cases: tuple[CaseResult, ...]

    def __post_init__(self) -> None:
        for digest in (self.suite, self.weights):
            if digest is not None and len(digest) != _DIGEST_BYTES:
                raise InvalidSuite(f"a digest of {len(digest)} bytes, expected {_DIGEST_BYTES}")
        if not 0 < len(self.model) <= limits.NAME_CHARS_MAX:
            raise InvalidSuite(
                f"a model's name of {len(self.model)} characters, 1 to {limits.NAME_CHARS_MAX}"
            )
        if not 0 < len(self.cases) <= limits.SUITE_QUESTIONS_MAX:
            raise InvalidSuite(
                f"a result of {len(self.cases)} questions, 1 to {limits.SUITE_QUESTIONS_MAX}"
            )
        if len({case.name for case in self.cases}) != len(self.cases):
            raise InvalidSuite("a question is in the result twice")

    @property
    def passed(self) -> bool:
        """Whether each question has a reply that passes."""
        return all(case.outcome is Outcome.PASSED for case in self.cases)

    @property
    def counts(self) -> dict[Outcome, int]:
        """How many questions had each outcome."""
        return {kind: sum(case.outcome is kind for case in self.cases) for kind in Outcome}

    def to_payload(self) -> dict[str, Any]:
        """Return what `model.tested` records: names and digests, no word of a reply."""
        return {
            "suite": self.suite,
            "model": self.model,
            "weights": self.weights,
            "passed": self.passed,
            "cases": [
                [case.name, case.outcome.value, list(case.reasons), case.reply_sha256]
                for case in self.cases
            ],
        }


def from_payload(payload: Mapping[str, Any]) -> SuiteResult:
    """Read what `to_payload` gave. Raises InvalidSuite for anything else: nothing passes by it."""
    facts = {key: value for key, value in payload.items() if key != "content"}
    if facts.keys() != _KEYS:
        raise InvalidSuite(f"a result with the keys {sorted(facts)}, expected {sorted(_KEYS)}")
    try:
        cases = tuple(
            CaseResult(
                name=_of(str, name),
                outcome=Outcome(outcome),
                reasons=tuple(_of(str, reason) for reason in reasons),
                reply_sha256=None if digest is None else _of(bytes, digest),
            )
            for name, outcome, reasons, digest in facts["cases"]
        )
    except (TypeError, ValueError) as error:
        raise InvalidSuite(
            "a result whose cases are not (name, outcome, reasons, digest)"
        ) from error
    weights = facts["weights"]
    result = SuiteResult(
        suite=_of(bytes, facts["suite"]),
        model=_of(str, facts["model"]),
        weights=None if weights is None else _of(bytes, weights),
        cases=cases,
    )
    if facts["passed"] is not result.passed:
        raise InvalidSuite(
            f"a result that says passed {facts['passed']!r}: its cases say otherwise"
        )
    return result


def _of(kind: type, value: Any) -> Any:
    if type(value) is not kind:
        raise InvalidSuite(f"a result with {type(value).__name__}, expected {kind.__name__}")
    return value


def recorded(payloads: Iterable[Mapping[str, Any]]) -> tuple[SuiteResult, ...]:
    """Read the payloads of `model.tested`, oldest first, as far as this version understands them.

    One that it does not understand says nothing good of its model: what was recorded of that model
    before no longer counts. If it does not even name one, no earlier result counts.
    """
    found: list[SuiteResult] = []
    for payload in payloads:
        try:
            found.append(from_payload(payload))
        except InvalidSuite:
            named = payload.get("model")
            found = [kept for kept in found if isinstance(named, str) and kept.model != named]
    return tuple(found)


def weights_identity(digest: bytes | None) -> str:
    """Return what a model is called whose weights lie on this machine; None: not read yet."""
    return f"{_WEIGHTS}{'unread' if digest is None else digest.hex()}"


def weights_of(identity: str) -> bytes | None:
    """Return the digest that `weights_identity` put into a model's identity; None for others.

    No provider's model is taken for one: its identity has an @ behind the provider's name.
    """
    found = re.fullmatch(rf"{_WEIGHTS}([0-9a-f]{{64}})", identity)
    return None if found is None else bytes.fromhex(found[1])


def holds(result: SuiteResult, suite_digest: bytes, model: str, weights: bytes | None) -> bool:
    """Whether `result` lets `model` with `weights` speak, where the suite is `suite_digest`."""
    return result.passed and _is_of(result, suite_digest, model, weights)


def may_speak(
    results: Iterable[SuiteResult], suite_digest: bytes, model: str, weights: bytes | None
) -> bool:
    """Whether the newest of `results` (oldest first) about exactly this lets the model speak."""
    about = [result for result in results if _is_of(result, suite_digest, model, weights)]
    return bool(about) and about[-1].passed


def _is_of(result: SuiteResult, suite: bytes, model: str, weights: bytes | None) -> bool:
    return (result.suite, result.model, result.weights) == (suite, model, weights)
