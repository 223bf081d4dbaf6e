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
MIGRATION = '''

def reduce_seen(entries, event):
    """Count what was ever seen of each author."""
    author = event.payload.get("author")
    if isinstance(author, str):
        key = f"seen/{author}"
        return ((key, entries.get(key, 0) + 1),)
    return ()
'''
"""A reducer more: the state folds anew, and has a part that it had not."""


@cache
def software():
    return present_software()


@cache
def architecture():
    tree = {AGENT_PREFIX + path: data for path, data in agent_tree().items()}
    reducers = reducer_files()
    return Architecture({**tree, **reducers}, frozenset(reducers))


def migration():
    """The files of a migration: `todos` counts what it passes over, too."""
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
        TODOS: files[TODOS] + MIGRATION.encode(),
        "runtime/core/reducers.py": owned.encode(),
    }


def diff(changes):
    """The diff that makes these files of the software's; None deletes one."""
    old = {path: software()[path] for path in changes if path in software()}
    new = {path: data for path, data in changes.items() if data is not None}
    return diff_of(old, new)
