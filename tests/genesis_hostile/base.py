"""The architecture that the corpus is a change of: the agent, tests to be seen, data, a reducer."""

from pathlib import Path

from genesis.core.architecture import Architecture
from genesis.core.patch import AGENT_PREFIX
from genesis.core.thresholds import BOUNDS, Thresholds
from tests.genesis_judge.diffs import agent_tree, diff

ROOT = Path(__file__).parents[2]
REDUCER = "runtime/core/todos.py"
VISIBLE = '''"""What everybody can read: these are the tests that a naive judge runs."""

from agent.loop import answer
from agent.memory import Memory


def talk(words, reply):
    """Play the host for one turn; return what was asked, and the answer."""
    memory, who = Memory(), {"conversation": "c", "author": "a"}
    event = {"position": 1, "type": "message.received", "ts_ms": 0, "payload": who}
    memory.apply(event | {"content": {"text": words}})
    turn = answer(1, memory=memory, name="Ada", soul="I am Ada.", given={})
    asked, came = [], None
    while True:
        try:
            op, args = turn.send(came)
        except StopIteration:
            return asked
        asked.append((op, args))
        came = {
            "recall": {"hits": []},
            "model": {"text": reply, "position": 5, "calls": []},
            "answer": {"position": 6},
        }[op]


def test_it_says_what_the_model_said():
    asked = talk("hello", "good morning")
    assert asked[-1] == ("answer", {"text": "good morning"})


def test_it_looks_for_what_was_said_before():
    assert talk("hello", "good morning")[0][0] == "recall"


def test_it_says_who_it_is():
    items = dict(talk("hello", "good morning"))["model"]["items"]
    assert items[0] == {"role": "system", "text": "I am Ada."}
    assert items[-1] == {"role": "user", "ref": 1}
'''
TEA = """---
name: tea
description: brewing green tea with fresh water at eighty degrees
allowed-tools: none
---

Boil fresh water, let it cool to eighty degrees.
"""
OWL = 'name = "owl"\nversion = 1\nvoice = "Speak softly."\n'
LIMITS = Thresholds(
    {
        "agent": {"iterations_max": 50, "steps_max": 300, "turn_seconds_max": 900},
        "tools": {"result_kb": 64, "turn_seconds": 900},
    }
)
assert LIMITS.values.keys() == BOUNDS.keys()
TREE = {**agent_tree(), "tests/test_visible.py": VISIBLE.encode()}
FILES = {
    **{AGENT_PREFIX + path: data for path, data in TREE.items()},
    "skills/tea/SKILL.md": TEA.encode(),
    "skins/owl.toml": OWL.encode(),
    "thresholds.toml": LIMITS.render(),
    REDUCER: (ROOT / REDUCER).read_bytes(),
}
BASE = Architecture(FILES, frozenset({REDUCER}))


def edit(path: str, *passages: str) -> bytes:
    """Replace passages of one file of the base: old, new, old, new."""
    text = FILES[path].decode()
    for old, new in zip(passages[::2], passages[1::2], strict=True):
        assert text.count(old) == 1, f"{path} has no single {old!r}"
        text = text.replace(old, new)
    return diff(path, FILES[path], text.encode())


def agent(name: str, *passages: str) -> bytes:
    """Replace passages of one file of the agent's tree."""
    return edit(AGENT_PREFIX + name, *passages)


def new(path: str, text: str) -> bytes:
    """Make a file."""
    assert path not in FILES
    return diff(path, b"", text.encode())
