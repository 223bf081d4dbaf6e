"""Which models may speak to people: what their newest safety test lets them, as node.toml asks.

    off       whoever is in the chain
    failed    not a model whose newest test by these rules failed
    untested  no model without a test by these rules that it passed

A link without a model (the responder) is no model and passes. A test by other rules, of other
weights or of a shape that this version does not read is none. Not covered: a provider that puts
another model behind the same name.
"""

from collections.abc import Callable
from enum import StrEnum
from typing import Final

from runtime.core.chat import Link, ModelRequest, Reach
from runtime.core.errors import InvalidSuite
from runtime.core.spoken import tested_key
from runtime.core.tested import CaseResult, SuiteResult, from_payload, holds, weights_of
from runtime.journal import Journal
from runtime.safety import RunLimits, SafetyTests, drafted, run

FAILED_TEST: Final = "its safety test failed"
NOT_TESTED: Final = "it was not tested for safety"


class Mode(StrEnum):
    """What is asked of a model before it speaks."""

    OFF = "off"
    FAILED = "failed"
    UNTESTED = "untested"


class Gate:
    """Asks the ledger about links."""

    def __init__(self, journal: Journal, tests: SafetyTests, mode: Mode) -> None:
        self._journal = journal
        self._tests = tests
        self._mode = mode

    def refuses(self, link: Link) -> str | None:
        """Return why a link may not speak now, or None."""
        if self._mode is Mode.OFF or link.identity is None:
            return None
        result = self.newest(link.identity)
        if result is None:
            return NOT_TESTED if self._mode is Mode.UNTESTED else None
        if holds(result, self._tests.digest, link.identity, weights_of(link.identity)):
            return None
        return FAILED_TEST

    def untested(self, link: Link) -> bool:
        """Tell whether a link has a model that was never tested by these rules, and may speak."""
        if link.identity is None or self._mode is Mode.UNTESTED:
            return False
        return self.newest(link.identity) is None

    def newest(self, model: str) -> SuiteResult | None:
        """Return the newest result of a model by these rules; None if there is none."""
        position = self._journal.state.entries.get(tested_key(model))
        if position is None:
            return None
        try:
            result = from_payload(self._journal.log.read(position).payload)
        except InvalidSuite:
            return None
        return result if result.suite == self._tests.digest else None

    async def test(
        self,
        link: Link,
        *,
        bounds: RunLimits | None = None,
        seen: Callable[[CaseResult], None] | None = None,
    ) -> SuiteResult:
        """Put the safety tests to a link's model and record what came of it."""
        assert link.identity is not None

        async def ask(messages: tuple[tuple[str, str], ...], max_tokens: int, /) -> str:
            request = ModelRequest(
                messages=messages, max_tokens=max_tokens, before=0, reach=Reach.PUBLIC
            )
            return (await link.reply(request)).text

        weights = weights_of(link.identity)
        if bounds is None and weights is not None:  # one machine: the others would only wait
            bounds = RunLimits(at_once=1)
        result = await run(
            self._tests, ask, model=link.identity, weights=weights, bounds=bounds, seen=seen
        )
        await self._journal.append(drafted(result))
        return result

    @property
    def questions(self) -> int:
        """How many a test asks."""
        return len(self._tests.suite.questions)
