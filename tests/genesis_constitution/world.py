"""This very software, its present architecture, and changes of it."""

from functools import cache

from genesis.core.architecture import Architecture
from genesis.core.patch import AGENT_PREFIX
from node.agent.architecture import present_software, reducer_files
from node.agent.drafting import diff_of
from tests.genesis_judge.diffs import agent_tree

TODOS = "runtime/core/todos.py"
SCREEN = "runtime/core/crisis_words.py"
TALLY = "runtime/core/tally.py"
BACK = "runtime/core/migrated_todos.py"
TOOL = "runtime/tools/todo.py"
SEEN = '''

def reduce_seen(entries, event):
    """Count what was ever seen of each author."""
    author = event.payload.get("author")
    if isinstance(author, str):
        key = f"seen/{author}"
        return ((key, entries.get(key, 0) + 1),)
    return ()
'''
INVERSE = '''"""Takes a state back to before lists were counted, and authors seen. Pure."""


def inverse(entries):
    """Return the entries of the old state."""
    return {
        key: value[0] if key.startswith("todo/") else value
        for key, value in entries.items()
        if not key.startswith("seen/")
    }
'''
"""The way back that the migration declares."""


@cache
def software():
    return present_software()


@cache
def architecture():
    tree = {AGENT_PREFIX + path: data for path, data in agent_tree().items()}
    reducers = reducer_files()
    return Architecture({**tree, **reducers}, frozenset(reducers))


def migration():
    """The files of a migration: a list is kept with its length, and a part comes that was not there.

    A reducer writes entries of another form, the tool that reads them reads that, and the module
    `BACK` takes the new state back to the old one.
    """
    files = software()
    text = files["runtime/core/reducers.py"].decode()
    listed = text.replace("    reduce_todos,\n", "    reduce_todos,\n    reduce_seen,\n", 1)
    named = listed.replace("import reduce_todos\n", "import reduce_seen, reduce_todos\n")
    owned = named.replace(
        '    "todo": (reduce_todos,),\n',
        '    "todo": (reduce_todos,),\n    "seen": (reduce_seen,),\n',
    )
    assert owned.count("reduce_seen") == 3
    return {
        TODOS: swapped(TODOS, "conversation), event.position),)",
                       'conversation), [event.position, event.payload.get("count", 0)]),)')
        + SEEN.encode(),
        TOOL: swapped(TOOL, "        content = None if position is None else context.book.log.read(position).content\n",
                      "        content = None if position is None else context.book.log.read(position[0]).content\n"),
        "runtime/core/reducers.py": owned.encode(),
        BACK: INVERSE.encode(),
    }  # fmt: skip


def swapped(path, old, new):
    """A file of the software with one passage replaced."""
    text = software()[path].decode()
    assert text.count(old) == 1, f"{path} has no single {old!r}"
    return text.replace(old, new).encode()


def diff(changes):
    """The diff that makes these files of the software's; None deletes one."""
    old = {path: software()[path] for path in changes if path in software()}
    new = {path: data for path, data in changes.items() if data is not None}
    return diff_of(old, new)
