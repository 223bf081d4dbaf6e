"""What a verdict of this node says, as a person is told it before he answers.

    facts      as JSON values: decision, with words or without, which try, effect, how much past
    lines_of   the same for people, a name and a text each

All but `words` is in the signed statement; `words` the event of the verdict says. Not covered: what
the change is: the document (`timmy patch show`).
"""

from collections.abc import Iterator, Mapping
from typing import Any

from genesis.core.errors import InvalidVerdict
from genesis.core.verdict import Decision, Verdict, signing_keys, verify_envelope
from ledger.core.event import Event


def facts(verdict: Verdict, *, words: bool) -> dict[str, Any]:
    """Return what a verdict says. `words`: whether its judge was shown what people said.

    `effect` is what was measured, or why nothing can be, None for nothing; `replayed` counts the
    turns of the ledger's past that were told once more, None where that was not asked or did not
    come so far.
    """
    measured = verdict.measured
    effect, replayed = measured.get("effect"), measured.get("replayed")
    return {
        "decision": verdict.decision.value,
        "for_people": verdict.findings.for_people,
        "digest": verdict.digest.hex(),
        "words": words,
        "tries": verdict.findings.inputs.tries,
        "reason": str(measured.get("reason") or ""),
        "effect": effect if isinstance(effect, dict) else None,
        "replayed": replayed if type(replayed) is int else None,
    }


def facts_of(judged: Event) -> dict[str, Any] | None:
    """Return the facts of an event `patch.judged`; None where it holds no verdict that opens."""
    envelope, words = judged.payload.get("envelope"), judged.payload.get("words")
    if not isinstance(envelope, bytes):
        return None
    try:
        found = verify_envelope(envelope, trusted=signing_keys(envelope))
    except InvalidVerdict:
        return None
    return {"position": judged.position, **facts(found.verdict, words=words is True)}


def lines_of(told: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield what people are told of these facts."""
    yield "try", f"{told['tries']} of its lineage, or on this architecture"
    yield from found_lines(told)
    if not told["words"]:
        yield "words", "without words: it speaks for nothing"


def found_lines(told: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield of them what was found: why, and what was measured of its promise."""
    effect, replayed = told["effect"], told["replayed"]
    said = "" if effect is None else str(effect.get("said", ""))
    if told["reason"] and told["reason"] != said:
        yield "reason", told["reason"]
    accepted = told["decision"] == Decision.ACCEPT
    if accepted or said:  # else it may not have come so far
        yield "effect", said or "not measured: what it promises is words"
    if accepted and replayed is not None:
        turns = "1 turn" if replayed == 1 else f"{replayed} turns"
        told_again = f"{turns} of its own told once more"
        yield "past", told_again if replayed else "nothing of its past"
