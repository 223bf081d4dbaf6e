"""A bug that shows itself where a thread must live on: logged by its place, told as an error."""

import logging
import traceback
from pathlib import Path

from ledger.core.errors import StoreError


def unforeseen(error: Exception) -> StoreError:
    """Log where a bug showed itself, without its message, which may quote words; wrap it."""
    frames = traceback.extract_tb(error.__traceback__)
    where = " < ".join(f"{Path(f.filename).name}:{f.lineno} {f.name}" for f in reversed(frames))
    logging.getLogger(__name__).error("unforeseen %s: %s", type(error).__name__, where)
    failed = StoreError(
        f"an unforeseen {type(error).__name__} in the ledger's writer, nothing was appended",
        hint="its place is in the log; please report it",
    )
    failed.__cause__ = error
    return failed
