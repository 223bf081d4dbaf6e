"""Style that a machine can hold: sizes, names that betray unfinished work, what may not be named."""

import ast
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("node", "genesis", "runtime", "mesh", "attest", "ledger")
FUNCTION_LINES_MAX = 70
MODULE_LINES_MAX = 500
LEFTOVERS = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b|NotImplementedError|pytest\.(skip|xfail)\(")
HOSTS = re.compile(r"files\.pythonhosted|pypi\.org/simple|registry\.npmjs")


def tracked(*suffixes):
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    ).stdout.splitlines()  # fmt: skip
    return [ROOT / name for name in listed if name.endswith(suffixes) and (ROOT / name).is_file()]


def modules():
    return [path for path in tracked(".py") if path.relative_to(ROOT).parts[0] in PACKAGES]


def name(path):
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", modules(), ids=name)
def test_modules_and_functions_stay_small(path):
    text = path.read_text()
    assert text.count("\n") <= MODULE_LINES_MAX
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert node.end_lineno - node.lineno < FUNCTION_LINES_MAX, f"{path}: {node.name}"


@pytest.mark.parametrize("path", modules(), ids=name)
def test_modules_say_what_they_are_and_leave_nothing_unfinished(path):
    text = path.read_text()
    assert ast.get_docstring(ast.parse(text)), f"{path} has no module docstring"
    assert not LEFTOVERS.search(text), f"{path}: unfinished work"


@pytest.mark.parametrize("package", [p for p in PACKAGES if p != "node"])
def test_consensus_critical_code_is_marked(package):
    first = ast.get_docstring(ast.parse((ROOT / package / "core/__init__.py").read_text()))
    assert first


def works_at_import(node):
    """Loops, with blocks and bare calls at module level are work."""
    bare = isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)
    return bare or isinstance(node, ast.For | ast.While | ast.With | ast.Try)


def test_no_module_does_work_at_import():
    for path in modules():
        if path.name not in {"__main__.py", "main.py"}:
            lines = [n.lineno for n in ast.parse(path.read_text()).body if works_at_import(n)]
            assert lines == [], path


def test_nothing_names_a_host_of_a_package_index():
    for path in tracked(".txt", ".toml", ".json", ".lock", ".in", ".md"):
        if "vectors" not in path.parts:
            assert not HOSTS.search(path.read_text(errors="replace")), path


def test_markdown_has_one_title():
    for path in tracked(".md"):
        if "vectors" in path.parts:
            continue
        text = re.sub(r"```.*?```", "", path.read_text(), flags=re.DOTALL)
        assert len(re.findall(r"^# ", text, flags=re.MULTILINE)) == 1, path
