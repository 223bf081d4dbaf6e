"""Manners: data on stdout, `timmy: error:` and `timmy: hint:` on stderr, `--json` for programs."""

import json
import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

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


def out(text: str) -> None:
    """Print data."""
    print(text, flush=True)


def out_json(value: Any) -> None:
    """Print one JSON document; bytes become hex."""
    json.dump(jsonable(value), sys.stdout, ensure_ascii=False, indent=2)
    sys.stdout.write("\n")
    sys.stdout.flush()


def jsonable(value: Any) -> Any:
    """Replace bytes by hex, all the way down."""
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, dict):
        return {key: jsonable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [jsonable(item) for item in value]
    return value


def one_line(text: str) -> str:
    """Escape controls: text from elsewhere must not pretend to be a second line of ours."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def safe(text: str) -> str:
    """Escape controls but line ends and tabs: what others wrote must not drive this terminal."""
    return "".join(c if c in "\n\t" else one_line(c) for c in text)


def when(ts_ms: int) -> str:
    """Local time to the second."""
    moment = datetime.fromtimestamp(ts_ms / 1000, tz=UTC).astimezone()
    return moment.strftime("%Y-%m-%d %H:%M:%S")


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
