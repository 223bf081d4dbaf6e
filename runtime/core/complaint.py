"""What may be kept of what a dying agent process said: where it failed, none of its words.

A traceback's last line often quotes the value that was wrong, which may be what a person said; a
log file is beyond the reach of a redaction. So only the frames and the name of the exception stay.
"""

import re
from typing import Final

_FRAMES_MAX: Final = 6
"""The innermost ones: where it failed, and who called."""
_FRAME: Final = re.compile(
    r'^  File "(?:[^"\n]*/)?([\w.<>-]{1,64})", line (\d{1,7}), in ([\w.<>]{1,64})$'
)
_ERROR: Final = re.compile(
    r"^([A-Za-z_][\w.]{0,63}(?:Error|Exception|Interrupt|Exit|Closed))(?::|$)"
)


def traceback_of(said: str) -> str:
    """Return the frames and the exception of the last traceback in `said`; empty without one."""
    frames: list[str] = []
    error = ""
    for line in said.splitlines():
        if line.startswith("Traceback (most recent call last)"):
            frames, error = [], ""
        elif frame := _FRAME.match(line):
            frames.append(f"{frame[1]}:{frame[2]} {frame[3]}")
        elif frames and (found := _ERROR.match(line)):
            error = found[1]
    return " < ".join([*([error] if error else []), *reversed(frames[-_FRAMES_MAX:])])
