"""The permission door of what jobs run: the rules of the shell tool, and one yes for many runs.

A program of a job is decided as the line of shell that it would be (`Bash`), in the folder that
tools work in, each time it runs. A deny wins at any time. What the rules would ask about needs the
operator's yes, for nobody is there when it runs: he gives it once, when the job is added or
changed, and it is on record with the job (`allowed` of the event that has the job's words).

    by       "rule": every part was allowed by a rule; "operator": he said yes
    asked    the text of the ask rule that made the question; empty if no rule named the call

A yes covers these very words and this way to run them (confined or not). It does not cover a
question that was not put: an ask rule that is newer, or, where a rule had allowed, no rule any
more. A job of a version that wrote no `allowed` counts as one with the operator's yes to a call
that no rule names. Outside of the sandbox an allow is not enough: it was written for programs in
it.

Not covered: what an allowed program does; paths that a program outside of the sandbox names in
relation to the home, where it starts (rules take them from the folder of tools).
"""

import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from runtime.core.errors import CallRefused, JobRefused
from runtime.core.permission_rules import BASH, Effect
from runtime.core.permissions import Decision
from runtime.permitting import Gate

OPERATOR: Final = "operator"
RULE: Final = "rule"
ALLOWED: Final = "allowed"
"""The field of an event that has it."""
_BEFORE: Final = {"by": OPERATOR, "asked": ""}
_ASK_AGAIN: Final = "look at it (timmy jobs show NAME), then: timmy jobs change NAME --yes"


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What the rules say about a program of a job."""

    effect: Effect
    call: str
    """As it is shown to the operator."""
    why: str
    rule: str
    """The text of the rule that decided, or empty."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobDoor:
    """Decides about programs of jobs. `rules` gives the rules as they are now."""

    rules: Callable[[], Gate]
    folder: Path

    def asked(self, argv: tuple[str, ...], *, confined: bool) -> Asked:
        """Ask the rules about a program, as it would be run now."""
        gate, line = self.rules(), shlex.join(argv)
        try:
            decision = gate.rule_on(BASH, line, folder=self.folder).decision
        except CallRefused as error:
            decision = Decision(effect=Effect.ASK, call=f"{BASH} {line}", why=str(error))
        rule = "" if decision.rule is None else decision.rule.text
        if decision.effect is Effect.ALLOW and not confined:
            why = f"{rule or 'a rule'} allows it in the sandbox, and it is to run outside"
            return Asked(effect=Effect.ASK, call=decision.call, why=why, rule="")
        return Asked(effect=decision.effect, call=decision.call, why=decision.why, rule=rule)

    def admit(self, argv: tuple[str, ...], *, confined: bool, yes: bool) -> dict[str, str]:
        """Return what goes on record with a job that is to run this. `yes`: the operator's.

        Raises JobRefused if a rule denies it, or if it needs a yes and has none.
        """
        asked = self.asked(argv, confined=confined)
        if asked.effect is Effect.DENY:
            raise JobRefused(f"not allowed: {asked.why}", hint="timmy permissions list")
        if asked.effect is Effect.ALLOW:
            return {"by": RULE, "asked": ""}
        if not yes:
            raise JobRefused(
                f"nobody is there to ask when it runs: {asked.call}: {asked.why}",
                hint="say --yes to allow it each time it runs, or allow it by a rule",
            )
        return {"by": OPERATOR, "asked": asked.rule}

    def check(
        self, argv: tuple[str, ...], *, confined: bool, allowed: Mapping[str, Any] | None
    ) -> None:
        """Raise JobRefused unless this may run now, with what is on record about it.

        The words of the error have none of the job's: they become a fact that nothing erases.
        """
        faults = self.rules().policy.faults
        if faults:
            raise JobRefused(
                "not run: a rule cannot be read, and it may be one that denies",
                hint="timmy permissions lint",
            )
        asked = self.asked(argv, confined=confined)
        rule = f"by {asked.rule}" if asked.rule else "by the rules"
        if asked.effect is Effect.DENY:
            raise JobRefused(f"not run: denied {rule}", hint="timmy permissions list")
        if asked.effect is Effect.ASK and not _covers(allowed, asked.rule):
            raise JobRefused(f"not run: asked about {rule}, and nobody said yes", hint=_ASK_AGAIN)


def _covers(allowed: Mapping[str, Any] | None, rule: str) -> bool:
    """Whether a yes on record answers the question that this rule puts; empty: no rule at all."""
    given = _BEFORE if allowed is None else allowed
    return given.get("by") == OPERATOR and rule in ("", given.get("asked"))
