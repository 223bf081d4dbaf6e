"""Manners: data on stdout, `timmy: error:` and `timmy: hint:` on stderr, `--json` for programs."""

import json
import os
import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

from attest.verify.plain import jsonable, one_line
from ledger.core.errors import TimmyError
from ledger.core.event import Event
from ledger.core.upcast import UPCASTERS

_WIDTH_PIPED = 200
"""Columns of a table that no person looks at directly: wide enough that grep finds whole lines."""


def fail(error: TimmyError) -> None:
    """Say what went wrong and what to do about it."""
    print(f"timmy: error: {one_line(str(error))}", file=sys.stderr)
    if error.hint:
        print(f"timmy: hint: {one_line(error.hint)}", file=sys.stderr)


def say(text: str) -> None:
    """Print progress or a remark for a person, on stderr."""
    print(f"timmy: {text}", file=sys.stderr, flush=True)


def aside(text: str) -> None:
    """Print a remark for a person at a terminal, dimly, on stderr; nothing where nobody looks."""
    if sys.stdout.isatty():
        plain = "NO_COLOR" in os.environ or not sys.stderr.isatty()
        shown = text if plain else f"\x1b[2m{text}\x1b[0m"
        print(shown, file=sys.stderr, flush=True)


def out(text: str) -> None:
    """Print data."""
    print(text, flush=True)


def more(text: str) -> None:
    """Print data that goes on."""
    print(text, end="", flush=True)


def out_json(value: Any) -> None:
    """Print one JSON document; bytes become hex."""
    json.dump(jsonable(value), sys.stdout, ensure_ascii=False, indent=2)
    sys.stdout.write("\n")
    sys.stdout.flush()


class Progress:
    """A line on a terminal that is written again and again; nothing where nobody looks."""

    def __init__(self, what: str, unit: str = "events") -> None:
        self._what = what
        self._unit = unit
        self._shown = False

    def __call__(self, done: int, total: int) -> None:
        """Say how much is done."""
        if sys.stderr.isatty():
            text = f"timmy: {self._what}: {done} of {total} {self._unit}"
            print(f"\r{text}\x1b[K", end="", file=sys.stderr, flush=True)
            self._shown = True

    def end(self) -> None:
        """Leave the line, so that the next one stands alone."""
        if self._shown:
            self._shown = False
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)


def caught_up(taken: int, total: int) -> str:
    """Say how much of the ledger search knows."""
    return "up to date" if taken >= total else f"caught up to {taken} of {total} events"


def safe(text: str) -> str:
    """Escape controls but line ends and tabs: what others wrote must not drive this terminal."""
    return "".join(c if c in "\n\t" else one_line(c) for c in text)


def when(ts_ms: int) -> str:
    """Local time to the second."""
    moment = datetime.fromtimestamp(ts_ms / 1000, tz=UTC).astimezone()
    return moment.strftime("%Y-%m-%d %H:%M:%S")


def engine_line(engine: str, why: str) -> str:
    """The sandbox's engine, and why it is no stronger one."""
    return f"{engine} ({why})" if why else engine


def handed_in(found: dict[str, Any]) -> str:
    """Say what an aggregator was given, or why it was not."""
    told = [f"{found['to']} ({found['every']})"]
    if found["size"] is not None and found["done"]:
        told.append(f"it has {found['size']} events, asked for {when(found['asked_ms'])}")
    elif found["size"] is not None:
        told.append(f"{found['size']} events wait, next attempt {when(found['next_ms'])}")
    elif not found["trouble"]:
        told.append("nothing yet")
    if found["trouble"]:
        told.append(found["trouble"])
    return one_line("; ".join(told))


def row(event: Event) -> dict[str, Any]:
    """Show an event as the JSON row that scripts rely on: `payload` as this version reads it."""
    envelope = event.envelope
    reading = UPCASTERS.read(event)
    return {
        "position": event.position,
        "id": event.id,
        "type": event.type,
        "schema": envelope.schema,
        "read_as": reading.standing.value,
        "ts_ms": event.ts_ms,
        "stream": event.stream,
        "stream_sequence": envelope.stream_sequence,
        "causes": [
            {"position": cause.position, "id": cause.id}
            | ({"ledger": cause.ledger} if cause.ledger else {})
            for cause in envelope.causes
        ],
        "payload": reading.event.payload,
        "content": event.content,
        "redacted": event.redacted,
    }


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print rows in columns as wide as they need; the last column takes the rest of the line."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    grid = Table(box=None, pad_edge=False, header_style="bold", show_header=bool(columns))
    for index, column in enumerate(columns):
        last = index == len(columns) - 1
        grid.add_column(column, no_wrap=not last, overflow="fold" if last else "ellipsis")
    for cells in rows:
        grid.add_row(*(Text(one_line(" ".join(cell.split()))) for cell in cells))
    width = None if sys.stdout.isatty() else _WIDTH_PIPED
    Console(width=width, highlight=False).print(grid)
