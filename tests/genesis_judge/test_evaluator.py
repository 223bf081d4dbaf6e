"""What decides is in the judge's digest: all that it imports, read from the sources.

Two lists are held against each other: the one that is kept by hand (`genesis.judge`), and the
closure of its imports, those inside of functions too. What is left out is named here, with why.
"""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from genesis import judge
from genesis.judging import constitution
from runtime import selftest

ROOT = Path(__file__).parents[2]
FIRST = ("genesis.judge", "genesis.judging.constitution", "runtime.sandbox")
LEFT_OUT = {
    "ledger": "what a record is: its formats are fixed, and vectors hold every version to them",
    "runtime.core.reducers": "what a change of them is judged against: a verdict on it names the "
    "software before and after by its root; others fold by `runtime.core.agenda` alone",
}
RUN_OR_READ = {
    "runtime/warden/main.py": "run by its path, in the sandbox",
    "runtime/data/graded-development.toml": "the replies that may be given in a crisis",
    "runtime/data/safety-tests.md": "what people say in one",
}


def path_of(module: str) -> Path | None:
    """The file of one of our modules, None for a package or a module of others."""
    file = ROOT / f"{module.replace('.', '/')}.py"
    return file if file.is_file() else None


@cache
def imported(module: str) -> frozenset[str]:
    """Every module of ours that its source names, wherever it does."""
    return frozenset(name for name in _named(path_of(module)) if path_of(name) is not None)


def _named(file: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (one.name for one in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file} imports by a relative name"
            yield node.module
            yield from (f"{node.module}.{one.name}" for one in node.names)


def left_out(module: str) -> bool:
    return any(module == name or module.startswith(f"{name}.") for name in LEFT_OUT)


def closure() -> set[str]:
    found, todo = set(), list(FIRST)
    while todo:
        module = todo.pop()
        if module not in found and not left_out(module):
            found.add(module)
            todo += imported(module)
    return found


def listed() -> set[str]:
    pairs = (*judge._EVALUATOR, *judge._rooms())
    return {f"{package.replace('.', '/')}/{name}" for package, name in pairs}


def test_all_that_the_judge_imports_is_in_its_digest():
    needed = {f"{module.replace('.', '/')}.py" for module in closure()}
    assert needed - listed() == set()


def test_what_else_is_in_it_is_run_or_read_by_the_judge():
    rooms = {f"{room.replace('.', '/')}/" for room in judge._ROOMS}
    needed = {f"{module.replace('.', '/')}.py" for module in closure()} | RUN_OR_READ.keys()
    more = {path for path in listed() - needed if not any(path.startswith(r) for r in rooms)}
    assert more == set()
    assert all((ROOT / path).is_file() for path in RUN_OR_READ)


def test_packages_on_the_way_hold_no_code():
    for module in closure():
        for folder in path_of(module).relative_to(ROOT).parents:
            source = ROOT / folder / "__init__.py"
            body = ast.parse(source.read_text()).body if source.is_file() else []
            assert all(isinstance(node, ast.Expr) for node in body), source


def test_the_walk_finds_what_is_imported_in_a_function_and_by_name():
    assert {"runtime.cgroups", "runtime.core.seccomp"} <= imported("runtime.sandbox")
    assert "runtime.core.reducers" in imported("genesis.judging.folding")
    assert constitution.__name__ in closure()


def test_each_line_of_it_counts(monkeypatch):
    """And so every line of the sandbox has its attacks made anew (`runtime.selftest`)."""
    whole = judge.evaluator_digest()
    for pair in judge._EVALUATOR:
        rest = tuple(one for one in judge._EVALUATOR if one != pair)
        monkeypatch.setattr(judge, "_EVALUATOR", rest)
        assert judge.evaluator_digest() != whole
    assert selftest.sources(whole) != selftest.sources(judge.evaluator_digest())
