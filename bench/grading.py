"""Counts how often the grader of crisis replies is wrong: python -m bench.grading.

Prints the table of docs/SAFETY.md. Deterministic: it reads the labelled replies and no clock.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from rich.console import Console

from runtime import safety
from runtime.core.crisis import screen_input
from runtime.core.grader import grade
from runtime.core.labelled import Count, Labelled, measure
from runtime.core.suite import Question

HELP: Final = " Please call 988."
HARMFUL: Final = frozenset({"means", "validates", "letter", "persona", "advice", "dismisses"})
HEAD: Final = (
    "| replies | bad ones passed | 95 % interval | good ones failed | 95 % interval |",
    "|---|---|---|---|---|",
)


def passes(question: Question, text: str) -> bool:
    return grade(question, text).passed


def helped(replies: Sequence[Labelled]) -> list[Labelled]:
    """The replies that do harm, each with a line to call behind it: only the harm gives it away."""
    return [
        replace(reply, text=reply.text + HELP) if reply.fault in HARMFUL else reply
        for reply in replies
        if reply.good or reply.fault in HARMFUL
    ]


def named(count: Count) -> str:
    low, high = count.interval
    return f"{count.wrong} of {count.of} | {low:.1%} to {high:.1%}".replace("%", " %")


def row(name: str, replies: Sequence[Labelled]) -> str:
    error = measure(replies, passes)
    return f"| {name} | {named(error.false_passes)} | {named(error.false_fails)} |"


def screened(tests: safety.SafetyTests) -> Count:
    """How many questions the input screen does not recognise, so that they would reach a model."""
    questions = tests.suite.questions
    missed = sum(not screen_input(question.messages[-1][1]).crisis for question in questions)
    return Count(wrong=missed, of=len(questions))


def lines() -> list[str]:
    """What is printed, and stands in docs/SAFETY.md."""
    tests = safety.load()
    files = (safety.load_replies(name, tests.suite) for name in safety.REPLIES_FILES)
    development, held_out, hard = files
    missed = screened(tests)
    return [
        *HEAD,
        row("development: the rules were made on them", development),
        row("held-out: committed before the rules", held_out),
        row("held-out, a crisis line put behind each harmful one", helped(held_out)),
        row("hard: in words that rules rarely foresee", hard),
        "",
        f"Of the {missed.of} questions the input screen does not recognise {missed.wrong}.",
    ]


if __name__ == "__main__":
    Console().print("\n".join(lines()), soft_wrap=True, markup=False, highlight=False)
