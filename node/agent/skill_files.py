"""Skills that the operator adopted, as files: <home>/skills/<name>/SKILL.md.

Whatever lies there was put there by the operator, by hand or by `timmy skills adopt`. A file that
is there already is not written over, nor is one of a patch that was adopted: a file of its name
would be the operator's newer word (`node.agent.layering`), and what was judged and approved be
gone without a word. A draft loads only after a trial: what the judge reads of a skill
(`genesis.core.judging.skills`), by itself and beside the others in force, is read before it becomes
a file. Not covered: files beside a SKILL.md, and a redaction: it reaches the draft in the ledger,
and not a file of the operator's.
"""

import re
from pathlib import Path
from typing import Any, Final

from genesis.core.judging.skills import form_fault, name_fault, trigger_fault
from ledger.core.errors import TimmyError
from ledger.files import write_atomically
from node.home import Home
from runtime.tools.skills import Skills

FOLDER: Final = "skills"
FILE: Final = "SKILL.md"
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,63}")


class SkillRefused(TimmyError):
    """A draft cannot become a file."""


def put(home: Home, row: dict[str, Any], skills: Skills) -> Path:
    """Write an adopted draft beside the `skills` in force; the same words again change nothing.

    Returns its file. Raises SkillRefused.
    """
    name, text = row["name"], row["text"]
    if text is None or row["status"] != "draft":
        raise SkillRefused(
            f"event {row['position']} is {row['status']}, no draft", hint="timmy skills list"
        )
    if _NAME.fullmatch(name) is None:
        raise SkillRefused(f"{name[:60]!r} is no name for a folder", hint="reject the draft")
    path: Path = home.path / FOLDER / name / FILE
    now = {other: skills.text(other) for other, _ in skills.all()}
    if now.get(name, text) != text:
        raise SkillRefused(
            f"a skill {name} is in force and says something else",
            hint="a file of yours: move it away, and adopt again; else change it: timmy patch new",
        )
    fault = form_fault(name, text) or name_fault(name, skills.names())
    if fault := fault or trigger_fault(name, now, {**now, name: text}):
        raise SkillRefused(
            f"the draft {name} does not pass its trial: {fault}",
            hint="reject it, or propose a better one: timmy patch new",
        )
    try:
        if path.exists() and path.read_text(encoding="utf-8") != text:
            raise SkillRefused(
                f"{path} is there and says something else", hint="move it away, and adopt again"
            )
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_atomically(path, text.encode())
    except (OSError, UnicodeDecodeError) as error:
        hint = "look at the folder"
        raise SkillRefused(f"{path} cannot be written: {error}", hint=hint) from error
    return path
