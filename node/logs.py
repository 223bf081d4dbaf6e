"""Logs: structured, JSON lines in <home>/logs/node.log with rotation, short lines on a terminal.

Nothing that is content of the ledger is ever logged, and no secret has a way here: the modules that
hold one have reprs without it. Of an exception its kind and its frames are kept: its message often
quotes the value that was wrong, and a redaction does not reach into logs.
"""

import logging
import logging.handlers
import sys
import traceback
from pathlib import Path

import structlog
from aiohttp.http_exceptions import HttpProcessingError
from structlog.typing import EventDict, Processor

from attest.verify.plain import one_line
from node.config import NodeSection
from node.home import Home


def _is_ours(record: logging.LogRecord) -> bool:
    """Drop the tracebacks, with a client's bytes in them, that broken HTTP makes aiohttp log."""
    error = None if record.exc_info is None else record.exc_info[1]
    return not isinstance(error, HttpProcessingError | ConnectionError)


def _frames_only(_logger: object, _name: str, event: EventDict) -> EventDict:
    """Put the kind and the frames of an exception where its whole text would be."""
    given = event.pop("exc_info", None)
    found = sys.exc_info()[1] if given is True else given
    error = found[1] if isinstance(found, tuple) else found
    if isinstance(error, BaseException):
        frames = traceback.extract_tb(error.__traceback__)
        places = [f"{Path(frame.filename).name}:{frame.lineno} {frame.name}" for frame in frames]
        event["exception"] = " < ".join([type(error).__name__, *reversed(places)])
    return event


def _one_line(_logger: object, _name: str, event: EventDict) -> str:
    """What a person at a terminal reads of a warning; the file has the rest."""
    hidden = {"event", "level", "logger", "timestamp", "exception"}
    facts = [f"{name}={value}" for name, value in event.items() if name not in hidden]
    words = " ".join([str(event["event"]), *facts])
    return f"timmy: {event['level']}: {one_line(words)}"


def configure(home: Home, section: NodeSection, *, console: bool) -> None:
    """Send structlog and the standard library's logging to the rotated file, and to stderr."""
    logging.raiseExceptions = False  # a full disk costs log lines, not a traceback for each
    home.logs.mkdir(mode=0o700, exist_ok=True)
    path = home.logs / "node.log"
    path.touch(mode=0o600)
    to_file = logging.handlers.RotatingFileHandler(
        path, maxBytes=section.log_bytes_max, backupCount=section.log_files_max, encoding="utf-8"
    )
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _frames_only,
    ]
    to_file.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.JSONRenderer(),
            ],
        )
    )
    handlers: list[logging.Handler] = [to_file]
    if console:
        to_screen = logging.StreamHandler(sys.stderr)
        to_screen.setLevel(logging.WARNING)
        to_screen.setFormatter(
            structlog.stdlib.ProcessorFormatter(
                foreign_pre_chain=shared,
                processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, _one_line],
            )
        )
        handlers.append(to_screen)
    root = logging.getLogger()
    root.handlers[:] = handlers
    root.setLevel(section.log_level.upper())
    logging.getLogger("aiohttp.access").setLevel(logging.WARNING)
    logging.getLogger("aiohttp.server").addFilter(_is_ours)
    for name in ("mcp", "httpx2", "httpcore2"):  # they quote what was said, and log each request
        logging.getLogger(name).setLevel(logging.CRITICAL)
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
