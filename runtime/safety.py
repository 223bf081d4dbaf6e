"""Puts the safety tests to a model and says whether it may speak to people.

Any model will do that answers a prompt with words (`Ask`): a link of the chain, a local server, a
scripted one. A few questions are in flight at once, each has its time, and the run has its time.
It fails closed: no reply, a late one, an error of any kind, a question that was not reached, and
the model has not passed. A model that answers nothing in a row is given up on, so that a dead
address costs a minute and not half an hour.

The digest of a run is of the tests and of the modules that judge: whoever edits either tests anew.
Not covered: the prompt that the agent puts before every question (a model is asked bare, for it can
be talked out of a prompt), tools, conversations; the verdict is of today's replies, which vary.
"""

import asyncio
import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.resources import files
from typing import Final, Protocol

from ledger.core import types
from ledger.core.errors import TimmyError
from ledger.core.event import Draft
from runtime.core import labelled, limits
from runtime.core import suite as suites
from runtime.core.errors import InvalidSuite
from runtime.core.grader import Finding, grade
from runtime.core.suite import Question, Suite
from runtime.core.tested import CaseResult, Outcome, SuiteResult

TESTS_FILE: Final = "safety-tests.md"
REPLIES_FILES: Final = ("graded-development.toml", "graded-held-out.toml", "graded-hard.toml")
JUDGES: Final = (
    *("crisis.py", "crisis_context.py", "crisis_rules.py", "crisis_words.py"),
    *("grader.py", "grader_rules.py", "suite.py"),
)
"""The modules of runtime/core that decide whether a reply passes: part of the digest."""
_DIGEST_TAG: Final = "timmy-node 2026-11 safety suite v1"


class Ask(Protocol):
    """A model: given (role, text) pairs and the most tokens to answer with, it returns words."""

    async def __call__(self, messages: tuple[tuple[str, str], ...], max_tokens: int, /) -> str:
        """Return the reply. Whatever it raises, the question counts as unanswered."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SafetyTests:
    """The suite that is asked, and `digest`: 32 bytes over it and the modules that judge."""

    suite: Suite
    digest: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class RunLimits:
    """Bounds of a run: questions at once, seconds for one and for all, silence in a row."""

    at_once: int = 4
    question_s: float = 120.0
    total_s: float = 3 * 3600.0
    silent_max: int = 8

    def __post_init__(self) -> None:
        if not 1 <= self.at_once <= limits.SUITE_AT_ONCE_MAX:
            raise InvalidSuite(f"{self.at_once} questions at once, 1 to {limits.SUITE_AT_ONCE_MAX}")
        if min(self.question_s, self.total_s) <= 0 or self.silent_max < 1:
            raise InvalidSuite("a time or a count of a run is not positive")


def load() -> SafetyTests:
    """Read the pinned tests. Raises InvalidSuite if the file is not what it must be."""
    suite = suites.parse(_data(TESTS_FILE))
    asked = f"{limits.SUITE_REPLY_TOKENS} {limits.SUITE_REPLY_CHARS_MAX}".encode()
    parts = [suite.sha256, hashlib.sha256(asked).digest()]
    core = files("runtime.core")
    parts += [hashlib.sha256(core.joinpath(name).read_bytes()).digest() for name in JUDGES]
    digest = hashlib.sha256(_DIGEST_TAG.encode() + b"".join(parts)).digest()
    return SafetyTests(suite=suite, digest=digest)


def load_replies(name: str, suite: Suite) -> tuple[labelled.Labelled, ...]:
    """Read one of REPLIES_FILES: replies that people labelled."""
    return labelled.parse(_data(name), suite)


def _data(name: str) -> bytes:
    return files("runtime").joinpath("data", name).read_bytes()


def drafted(result: SuiteResult) -> Draft:
    """Return the event that puts a result on record."""
    return Draft(
        type=types.MODEL_TESTED.name, stream=types.NODE_STREAM, payload=result.to_payload()
    )


async def run(
    tests: SafetyTests,
    ask: Ask,
    *,
    model: str,
    weights: bytes | None = None,
    bounds: RunLimits | None = None,
    seen: Callable[[CaseResult], None] | None = None,
) -> SuiteResult:
    """Ask every question and grade every reply. `seen` is told of each as it comes.

    Raises nothing of the model's: what it does wrong is in the result. Cancelling it ends it.
    """
    bounds = bounds or RunLimits()
    running = _Run(tests.suite.questions, ask, bounds, seen)
    try:
        async with asyncio.timeout(bounds.total_s), asyncio.TaskGroup() as group:
            for _ in range(bounds.at_once):
                group.create_task(running.work())
    except TimeoutError:
        running.given_up = True  # what is not in the results counts as not asked
    return SuiteResult(
        suite=tests.digest, model=model, weights=weights, cases=tuple(running.cases())
    )


class _Run:
    """The state that the workers of one run share."""

    def __init__(
        self,
        questions: tuple[Question, ...],
        ask: Ask,
        bounds: RunLimits,
        seen: Callable[[CaseResult], None] | None,
    ) -> None:
        self._questions = questions
        self._waiting = iter(questions)
        self._ask = ask
        self._bounds = bounds
        self._seen = seen
        self._results: dict[str, CaseResult] = {}
        self._silent = 0
        self.given_up = False

    async def work(self) -> None:
        """Take the next question until there is none, or nobody answers."""
        for question in self._waiting:
            if self.given_up:
                return
            case = await self._case(question)
            self._silent = self._silent + 1 if case.outcome is Outcome.UNANSWERED else 0
            self.given_up = self.given_up or self._silent >= self._bounds.silent_max
            self._results[case.name] = case
            if self._seen is not None:
                self._seen(case)

    async def _case(self, question: Question) -> CaseResult:
        try:
            async with asyncio.timeout(self._bounds.question_s):
                reply = await self._ask(question.messages, limits.SUITE_REPLY_TOKENS)
        except TimeoutError:
            return _unanswered(question, "timeout", f"no reply in {self._bounds.question_s:g} s")
        except TimmyError as error:
            return _unanswered(question, "no-reply", str(error))
        except Exception as error:  # noqa: BLE001 - whatever it is, the model has not passed
            return _unanswered(question, "error", type(error).__name__)
        if not isinstance(reply, str):
            return _unanswered(question, "error", type(reply).__name__)
        found = await asyncio.to_thread(grade, question, reply)  # the longest takes 0.3 s
        return CaseResult(
            name=question.name,
            outcome=Outcome.PASSED if found.passed else Outcome.FAILED,
            reasons=found.reasons,
            reply_sha256=hashlib.sha256(reply.encode("utf-8", "surrogatepass")).digest(),
            findings=found.findings,
        )

    def cases(self) -> Iterator[CaseResult]:
        """Yield a result for every question, asked or not, in the order of the file."""
        for question in self._questions:
            found = self._results.get(question.name)
            yield found or _unanswered(question, "not-asked", "the run ended before")


def _unanswered(question: Question, reason: str, why: str) -> CaseResult:
    return CaseResult(
        name=question.name,
        outcome=Outcome.UNANSWERED,
        reasons=(reason,),
        findings=(Finding(reason=reason, rule="unanswered", passage=why),),
    )
