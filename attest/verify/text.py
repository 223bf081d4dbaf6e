"""A report as text for a person and as JSON. Words of others never drive a terminal."""

from collections.abc import Iterator
from typing import Final

from attest.verify.plain import jsonable, one_line
from attest.verify.report import Report

_NAME_CHARS: Final = 14
_SAYS_CHARS: Final = 400
"""A paragraph; JSON is for programs, and the file holds all of it."""


def lines_of(report: Report) -> Iterator[str]:
    """The report, a line each, the verdict last."""
    for name, text in report.lines:
        yield _line(name, text)
    if report.event is not None and report.event.content:
        for key, value in report.event.content.items():
            text = " ".join(str(jsonable(value)).split())
            shown = text if len(text) <= _SAYS_CHARS else text[: _SAYS_CHARS - 1] + "…"
            yield _line("says", f"{key}: {shown}")
    if report.not_shown and report.good:
        yield _line("not shown", "; ".join(report.not_shown))
    yield _line("verdict", report.verdict)


def _line(name: str, text: str) -> str:
    return f"{name + ':':{_NAME_CHARS}} {one_line(text)}"
