"""A small architecture, and documents that change it."""

from genesis.core.architecture import Architecture
from genesis.core.front import Front
from genesis.core.patch import PatchClass
from genesis.core.proposal import render_proposal
from tests.genesis_judge.diffs import diff

SKIN = b'name = "owl"\nversion = 1\nvoice = "Speak softly."\n'
SKILL = b"---\nname: roofs\ndescription: about roofs\n---\nLook up.\n"
THRESHOLDS = (
    b"[agent]\niterations_max = 50\nsteps_max = 300\nturn_seconds_max = 900\n\n"
    b"[tools]\nresult_kb = 64\nturn_seconds = 900\n"
)
LINES = b"".join(b"line %d\n" % n for n in range(1, 31))
FILES = {
    "runtime/agent/main.py": b"import a\n",
    "runtime/agent/a.py": LINES,
    "runtime/agent/empty.py": b"",
    "runtime/agent/ask.md": b"Be brief.\nBe kind.",
    "skills/roofs/SKILL.md": SKILL,
    "skins/owl.toml": SKIN,
    "thresholds.toml": THRESHOLDS,
    "runtime/core/todos.py": b"def reduce_todos(): ...\n",
}
BASE = Architecture(FILES, frozenset({"runtime/core/todos.py"}))
FRONT = Front(
    title="Say line three aloud",
    rationale="Nobody heard it.",
    patch_class=PatchClass.ROUTINE,
    evaluation="Ask for line three.",
    expected="It is LINE 3.",
)
NEW = LINES.replace(b"line 3\n", b"LINE 3\n")
DIFF = diff("runtime/agent/a.py", LINES, NEW)


def document(*blocks: bytes, front: Front = FRONT, prose: str = "Look at it.") -> bytes:
    """A proposal with these blocks behind its words."""
    return render_proposal(front, prose, b"") + b"".join(b"\n" + block for block in blocks)


def fenced(data: bytes, label: str = "diff", mark: str = "```") -> bytes:
    return f"{mark}{label}\n".encode() + data + f"{mark}\n".encode()
