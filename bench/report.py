"""Medians, ratios, verdicts; a table for the terminal, JSON, and the section of docs/BENCHMARKS.md.

A ratio is taken within a round and says how many times better ours is; the median of the rounds'
ratios is compared with the goal. Absolute rates of a shared machine are not compared.
"""

import json
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.table import Table

from bench.contest import Result
from bench.figures import Figure
from bench.rows import OURS, Row, Side

BEGIN: Final = "<!-- begin: written by make bench -->"
END: Final = "<!-- end: written by make bench -->"
PASS: Final = "PASS"
SHORT: Final = "FALLS SHORT"
COLUMNS: Final = (
    "who",
    "setting",
    "median",
    "min..max",
    "CPU µs",
    "syncs",
    "ours/it",
    "goal",
    "verdict",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One contestant of one row, ready to print."""

    row: str
    who: str
    setting: str
    unit: str
    values: Sequence[float]
    cpu_us: Sequence[float] = ()
    syncs: float | None = None
    ratios: Sequence[float] = ()
    goal: float | None = None
    goal_text: str = ""
    verdict: str = ""
    absent: str = ""

    def cells(self) -> tuple[str, ...]:
        """The columns after the row's title."""
        if self.absent:
            return self.who, f"not measured: {self.absent}", *[""] * 5, self.goal_text, ""
        low, high = min(self.values), max(self.values)
        return (
            self.who,
            self.setting,
            f"{number(statistics.median(self.values))} {self.unit}",
            f"{number(low)}..{number(high)}" if len(self.values) > 1 else "",
            number(statistics.median(self.cpu_us)) if self.cpu_us else "",
            "" if self.syncs is None else f"{self.syncs:.3g}",
            f"{statistics.median(self.ratios):.2f}x" if self.ratios else "",
            self.goal_text,
            self.verdict,
        )


def number(value: float) -> str:
    """Three digits or more, thousands apart."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def judged(result: Result) -> list[Line]:
    """The lines of one row."""
    row, ours = result.row, result.values.get(OURS, [])
    lines = []
    for name, side in row.sides.items():
        values = result.values.get(name, [])
        if not values and name not in result.absent:
            continue
        ratios = (
            _ratios(ours, values, low_is_good=row.low_is_good) if not name.startswith(OURS) else []
        )
        lines.append(
            Line(
                row=row.title,
                who=name,
                setting=side.setting,
                unit=row.unit,
                values=values,
                cpu_us=result.cpu_us.get(name, ()),
                syncs=result.syncs.get(name),
                ratios=ratios,
                goal=side.goal if side.most is None else side.most,
                goal_text=_goal_text(side, row),
                verdict=_verdict(ratios, side.goal) or _within(values, side.most),
                absent=result.absent.get(name, ""),
            )
        )
    return lines


def _ratios(ours: list[float], theirs: list[float], *, low_is_good: bool) -> list[float]:
    return [
        their / our if low_is_good else our / their
        for our, their in zip(ours, theirs, strict=False)
    ]


def _verdict(ratios: Sequence[float], goal: float | None) -> str:
    if goal is None or not ratios:
        return ""
    return PASS if statistics.median(ratios) >= goal else SHORT


def _within(values: Sequence[float], most: float | None) -> str:
    if most is None or not values:
        return ""
    return PASS if statistics.median(values) <= most else SHORT


def _goal_text(side: Side, row: Row) -> str:
    if side.most is not None:
        return f"at most {side.most:g} {row.unit}"
    return "" if side.goal is None else f"{side.goal:g}x"


def stated(figure: Figure) -> Line:
    """The line of a figure of ours alone."""
    most = figure.most
    return Line(
        row=figure.title,
        who=OURS,
        setting="",
        unit=figure.unit,
        values=figure.values,
        goal=most,
        goal_text="" if most is None else f"at most {most:g} {figure.unit}",
        verdict=_within(figure.values, most),
    )


def show(lines: Sequence[Line], disk: Sequence[float], console: Console) -> None:
    """Print one row, or one group of figures."""
    table = Table(box=None, pad_edge=False, title_justify="left", title=lines[0].row)
    alone = all(line.who == OURS and not line.setting for line in lines)
    if alone:
        table.title = None
        table.add_column("")
    for at, column in enumerate(COLUMNS):
        table.add_column(column, justify="right" if at in {2, 3, 4, 5, 6, 7} else "left")
    for line in lines:
        style = "red" if line.verdict == SHORT else "green" if line.verdict == PASS else None
        cells = line.cells()
        table.add_row(*((line.row, *cells) if alone else cells), style=style)
    console.print(table)
    if disk:
        console.print(f"disk alone: {spread(disk)} fdatasync/s\n", style="dim")


def spread(values: Sequence[float]) -> str:
    """Median, with the range in brackets."""
    return f"{number(statistics.median(values))} ({number(min(values))}..{number(max(values))})"


def save(path: Path, about: dict[str, Any], results: list[Result], figures: list[Figure]) -> None:
    """Write everything that was measured."""
    rows = [
        {
            "name": result.row.name,
            "title": result.row.title,
            "unit": result.row.unit,
            "values": result.values,
            "cpu_us_each": result.cpu_us,
            "syncs_per_commit": result.syncs,
            "disk_fdatasync_per_s": result.disk,
            "not_measured": result.absent,
            "verdicts": {line.who: line.verdict for line in judged(result) if line.verdict},
        }
        for result in results
    ]
    alone = [
        {
            "name": figure.name,
            "title": figure.title,
            "unit": figure.unit,
            "values": figure.values,
            "at_most": figure.most,
            "disk_fdatasync_per_s": figure.disk,
            "verdict": stated(figure).verdict,
        }
        for figure in figures
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(about | {"rows": rows, "figures": alone}, indent=1) + "\n")


def section(about: dict[str, Any], lines: list[Line], disk: Sequence[float]) -> str:
    """The generated part of the page."""
    short = [line for line in lines if line.verdict == SHORT]
    passed = sum(line.verdict == PASS for line in lines)
    head = [
        f"Measured on {about['date']} by `{about['command']}`, {about['rounds']} rounds.",
        f"Machine: {about['machine']}. {about['versions']}.",
        f"Load average {about['load']} before and after, on {about['cores']} cores, the measuring",
        f"included. The disk alone, beside the rounds: {spread(disk)} fdatasync/s.",
        "",
        f"Goals reached: {passed} of {passed + len(short)}."
        + (" What falls short:" if short else ""),
        "",
        *(f"- {line.row}, {_against(line)}." for line in short),
        "",
    ]
    body = ["| what | " + " | ".join(COLUMNS) + " |", "|---" * (len(COLUMNS) + 1) + "|"]
    shown = ""
    for line in lines:
        body.append(f"| {'' if line.row == shown else line.row} | {' | '.join(line.cells())} |")
        shown = line.row
    return "\n".join([BEGIN, *head, *body, END])


def _against(line: Line) -> str:
    if line.ratios:
        ratio = statistics.median(line.ratios)
        return f"against {line.who}: {ratio:.2f}x, goal {line.goal:g}x"
    return f"{number(statistics.median(line.values))} {line.unit}, goal {line.goal_text}"


def write(page: Path, text: str) -> None:
    """Replace what stands between the markers."""
    before, _, rest = page.read_text().partition(BEGIN)
    _, end, after = rest.partition(END)
    if not end:
        raise SystemExit(f"{page.name} has no markers to write between")
    page.write_text(before + text + after)
