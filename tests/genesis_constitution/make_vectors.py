"""Writes tests/vectors/proposal/software.json: python -m tests.genesis_constitution.make_vectors

`base` is an architecture, as in proposals.json, and `software` its files by path, as text, with
their `root`. A case is a `document` (base64), with the `class` of why it is refused and the `line`,
or null and the `root` of the architecture and `software` root after it, and the `change` by which a
verdict names the two.
"""

import base64
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from genesis.core.architecture import Architecture
from genesis.core.constitution import Software, change_digest
from genesis.core.errors import PatchError
from genesis.core.patch import PatchClass
from genesis.core.proposal import parse_proposal, weigh
from tests.genesis_judge.diffs import diff
from tests.genesis_patches.world import DIFF, FILES, FRONT, document, fenced

FILE = Path(__file__).parent.parent / "vectors/proposal/software.json"
TODOS = "runtime/core/todos.py"
FILES_OF_SOFTWARE = {
    TODOS: FILES[TODOS],
    "genesis/judge.py": b"def judge(): ...\n",
    "node/api/page.css": b"a {}",
}
BASE = Architecture(FILES, frozenset({TODOS}))
SOFTWARE = Software(FILES_OF_SOFTWARE)
HEAD = replace(FRONT, patch_class=PatchClass.CONSTITUTIONAL)
BACK = "runtime/core/migrated.py"
MOVES = replace(HEAD, migration=BACK)
FOLD = diff(TODOS, FILES[TODOS], b"def reduce_todos(): return ()\n")


def told(*blocks: bytes, front=HEAD) -> bytes:
    return document(*blocks, front=front)


def new(path: str, text: bytes = b"x = 1\n") -> bytes:
    return fenced(text, f"file {path}")


CASES: dict[str, bytes] = {
    "a reducer": told(fenced(FOLD)),
    "against this base": told(fenced(FOLD), front=replace(HEAD, base=BASE.root)),
    "the judge": told(
        fenced(diff("genesis/judge.py", b"def judge(): ...\n", b"def judge(): pass\n"))
    ),
    "a module more": told(new("ledger/core/more.py")),
    "a reducer that goes": told(fenced(diff(TODOS, FILES[TODOS], b""))),
    "a folder named like a configuration": told(new("node/node.toml.py")),
    "not called constitutional": told(fenced(FOLD), front=FRONT),
    "all routine": told(fenced(DIFF)),
    "half routine": told(fenced(FOLD), fenced(DIFF)),
    "a test": told(new("tests/test_more.py")),
    "dependencies": told(new("requirements/run.txt")),
    "a package more": told(new("more/core.py")),
    "a package itself": told(new("ledger")),
    "the agent's folder as a file": told(new("runtime/agent")),
    "what an interpreter writes": told(new("ledger/__pycache__/x.pyc")),
    "the default configuration": told(new("node/node.toml")),
    "a file and a folder": told(new(f"{TODOS}/more.py")),
    "what is there": told(new("genesis/judge.py")),
    "what is not there": told(fenced(diff("genesis/no.py", b"x\n", b"y\n"))),
    "a reducer with its migration": told(fenced(FOLD), new(BACK), front=MOVES),
    "a migration that changes": told(fenced(FOLD), front=replace(HEAD, migration=TODOS)),
    "a migration that is not there": told(fenced(FOLD), front=MOVES),
    "a migration of before": told(fenced(FOLD), front=replace(HEAD, migration="genesis/judge.py")),
    "a migration that is no module": told(
        fenced(FOLD), new("node/way.css"), front=replace(HEAD, migration="node/way.css")
    ),
    "a migration that leads out": told(fenced(FOLD), front=replace(HEAD, migration="../x.py")),
    "another base": told(fenced(FOLD), front=replace(HEAD, base=bytes(32))),
}


def _case(name: str) -> dict[str, Any]:
    shown = {"name": name, "document": base64.b64encode(CASES[name]).decode()}
    try:
        made = weigh(parse_proposal(CASES[name]), BASE, SOFTWARE)
    except PatchError as error:
        return {**shown, "class": error.reason.value, "line": error.line}
    assert made.software is not None
    return {
        **shown, "class": None, "root": made.result.root.hex(),
        "software": made.software.root.hex(),
        "change": change_digest(SOFTWARE.root, made.software.root).hex(),
    }  # fmt: skip


def software() -> dict[str, Any]:
    """Return the file."""
    return {
        "base": {
            "files": {path: data.decode() for path, data in FILES.items()},
            "reducers": sorted(BASE.reducers),
            "root": BASE.root.hex(),
        },
        "software": {
            "files": {path: data.decode() for path, data in FILES_OF_SOFTWARE.items()},
            "root": SOFTWARE.root.hex(),
        },
        "cases": [_case(name) for name in CASES],
    }


def main() -> None:
    """Write it."""
    FILE.write_text(json.dumps(software(), indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
