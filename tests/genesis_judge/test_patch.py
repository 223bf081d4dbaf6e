"""Unified diffs: applied exactly, or refused with the reason."""

import difflib
import shutil
import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genesis.core import limits
from genesis.core.errors import Constitutional, InvalidPatch
from genesis.core.patch import PatchClass, apply, parse
from genesis.core.tree import Tree

from .diffs import diff

OLD = b"".join(b"line %d\n" % n for n in range(1, 31))
TREE = Tree({"main.py": b"import a\n", "a.py": OLD, "empty.py": b""})
NEW = (
    OLD.replace(b"line 3\n", b"LINE 3\n")
    .replace(b"line 20\n", b"")
    .replace(b"line 29\n", b"line 29\nmore\n")
)
GOOD = diff("runtime/agent/a.py", OLD, NEW)
HEAD = b"--- a/runtime/agent/a.py\n+++ b/runtime/agent/a.py\n"
GIT = b"diff --git a/runtime/agent/a.py b/runtime/agent/a.py\n"
HUNK = b"@@ -1,2 +1,2 @@\n-line 1\n+first\n line 2\n"


def test_modify_create_delete():
    patch = (
        GOOD
        + diff("runtime/agent/new/b.md", b"", b"# b\n\ntext\n")
        + diff("runtime/agent/main.py", b"import a\n", b"import a  # no end")
    )
    tree = apply(parse(patch), TREE)
    assert tree["a.py"] == NEW
    assert tree["new/b.md"] == b"# b\n\ntext\n"
    assert tree["main.py"] == b"import a  # no end"
    gone = apply(parse(diff("runtime/agent/a.py", OLD, b"")), TREE)
    assert sorted(gone) == ["empty.py", "main.py"]


def test_what_git_prints_is_read(tmp_path):
    if shutil.which("git") is None:
        pytest.skip("no git here")

    def git(*args):
        command = ["git", "-c", "user.name=t", "-c", "user.email=t@t", *args]
        return subprocess.run(command, cwd=tmp_path, check=True, capture_output=True).stdout

    folder = tmp_path / "runtime" / "agent"
    folder.mkdir(parents=True)
    for path, data in TREE.items():
        (folder / path).write_bytes(data)
    git("init", "-q")
    git("add", ".")
    git("commit", "-qm", "parent")
    (folder / "a.py").write_bytes(NEW)
    (folder / "b.py").write_bytes(b"new\n")
    (folder / "c.py").write_bytes(b"")
    (folder / "empty.py").unlink()
    git("add", "-A")
    patch = parse(git("diff", "--cached", "--no-renames"))
    assert apply(patch, TREE).files == {
        "a.py": NEW,
        "b.py": b"new\n",
        "c.py": b"",
        "main.py": b"import a\n",
    }


LINES = st.lists(
    st.sampled_from(
        [
            b"a\n",
            b"b\n",
            b"c\n",
            b"\n",
            b" \n",
            b"-x\n",
            b"+x\n",
            b"@@\n",
            b"\\ n\n",
            b"--- a\n",
            b"x\r\n",
        ]
    ),
    max_size=25,
)


@given(LINES, LINES, st.booleans(), st.booleans(), st.integers(0, 4))
@settings(max_examples=300, deadline=None)
def test_every_diff_of_two_texts_leads_from_one_to_the_other(old, new, cut_old, cut_new, context):
    before, after = b"".join(old), b"".join(new)
    before = before[:-1] if cut_old and before.endswith(b"\n") else before
    after = after[:-1] if cut_new and after.endswith(b"\n") else after
    if before == after or not before or not after:
        return
    tree = Tree({"main.py": before})
    lines = difflib.diff_bytes(
        difflib.unified_diff,
        [line + b"\n" for line in before.split(b"\n")[:-1]] + ([before.split(b"\n")[-1]] if before.split(b"\n")[-1] else []),
        [line + b"\n" for line in after.split(b"\n")[:-1]] + ([after.split(b"\n")[-1]] if after.split(b"\n")[-1] else []),
        b"a/runtime/agent/main.py", b"b/runtime/agent/main.py", n=context,
    )  # fmt: skip
    data = b"".join(
        line if line.endswith(b"\n") else line + b"\n\\ No newline at end of file\n"
        for line in lines
    )
    assert apply(parse(data), tree)["main.py"] == after


@given(st.data())
@settings(max_examples=400, deadline=None)
def test_a_spoilt_diff_raises_documented_errors_only(data):
    spoilt = bytearray(GOOD)
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(spoilt) - 1))
        spoilt[at] = data.draw(st.integers(0, 255))
    try:
        apply(parse(bytes(spoilt)), TREE)
    except (InvalidPatch, Constitutional):
        return


@given(st.binary(max_size=200))
def test_any_bytes_are_refused_or_read(data):
    try:
        parse(data)
    except InvalidPatch:
        return


REFUSED = {
    # name: (patch, part of the reason)
    "empty": (b"", "empty"),
    "cut": (GOOD[:-1], "cut"),
    "cut in a hunk": (HEAD + b"@@ -1,2 +1,2 @@\n-line 1\n", "too early"),
    "prose before": (b"Dear all,\n" + GOOD, "expected '---'"),
    "prose after": (GOOD + b"-- \n2.39\n", "expected '---'"),
    "prose between": (HEAD + HUNK + b"\n" + HEAD + HUNK, "expected '---'"),
    "no hunk": (HEAD, "no hunk"),
    "cut in a character": (b"--- a/x\nx" + "é".encode() * 40 + b"\n", "expected '+++'"),
    "not utf-8": (HEAD + HUNK.replace(b"first", b"\xff"), "UTF-8"),
    "absolute path": (HEAD.replace(b"a/runtime/agent/a.py", b"/etc/passwd") + HUNK, "does not begin"),
    "absolute below": (HEAD.replace(b"/runtime/agent/a.py", b"//etc/passwd") + HUNK, "plain path"),
    "parent folder": (HEAD.replace(b"agent/a.py", b"agent/../a.py") + HUNK, "plain path"),
    "dot": (HEAD.replace(b"agent/a.py", b"agent/./a.py") + HUNK, "plain path"),
    "backslash": (HEAD.replace(b"agent/a.py", b"agent\\a.py") + HUNK, "plain path"),
    "quoted": (HEAD.replace(b"a/runtime/agent/a.py", b'"a/runtime/agent/a.py"') + HUNK, "does not begin"),
    "space": (HEAD.replace(b"a.py", b"a b.py") + HUNK, "plain path"),
    "no prefixes": (HEAD.replace(b" a/", b" ").replace(b" b/", b" ") + HUNK, "does not begin"),
    "another name": (HEAD.replace(b"b/runtime/agent/a.py", b"b/runtime/agent/c.py") + HUNK, "another name"),
    "nowhere to nowhere": (b"--- /dev/null\n+++ /dev/null\n" + HUNK, "another name"),
    "git names differ": (GIT.replace(b"b/runtime/agent/a", b"b/runtime/agent/b") + HEAD + HUNK, "one plain path"),
    "git contradicts": (GIT.replace(b"a.py", b"c.py") + HEAD + HUNK, "contradict"),
    "git says new": (GIT + b"new file mode 100644\n" + HEAD + HUNK, "contradict"),
    "only named": (GIT, "not changed"),
    "mode change": (GIT + b"old mode 100644\nnew mode 100755\n", "'old mode 100644' is not allowed"),
    "executable": (GIT + b"new file mode 100755\n" + HEAD + HUNK, "not allowed"),
    "symlink": (GIT + b"new file mode 120000\n" + HEAD + HUNK, "not allowed"),
    "submodule": (GIT + b"new file mode 160000\n" + HEAD + HUNK, "not allowed"),
    "rename": (GIT + b"similarity index 90%\nrename from a\n", "'similarity index 90%' is not allowed"),
    "copy": (GIT + b"copy from a\n", "'copy from a' is not allowed"),
    "binary": (GIT + b"GIT binary patch\nliteral 1\n", "binary"),
    "binary differ": (GIT + b"Binary files a and b differ\n", "'Binary files a and b differ' is not allowed"),
    "index of a link": (GIT + b"index 0000000..1111111 120000\n" + HEAD + HUNK, "not allowed"),
    "twice": (GOOD + GOOD, "changed twice"),
    "count too small": (HEAD + HUNK.replace(b"-1,2 +1,2", b"-1,1 +1,1"), "expected '---'"),
    "count too large": (HEAD + HUNK.replace(b"-1,2 +1,2", b"-1,3 +1,3"), "too early"),
    "counts differ": (HEAD + b"@@ -1,1 +1,2 @@\n-line 1\n line 2\n", "stated"),
    "line numbers drift": (HEAD + HUNK.replace(b"+1,2", b"+2,2"), "do not follow"),
    "hunks overlap": (HEAD + HUNK + b"@@ -2,1 +2,1 @@\n-line 2\n+x\n", "do not follow"),
    "hunks backwards": (HEAD + b"@@ -5 +5 @@\n-line 5\n+x\n" + HUNK, "do not follow"),
    "combined diff": (HEAD + b"@@@ -1,2 -1,2 +1,2 @@@\n", "not a hunk header"),
    "huge number": (HEAD + b"@@ -99999999 +1 @@\n-a\n+b\n", "not a hunk header"),
    "odd line": (HEAD + b"@@ -1,2 +1,2 @@\n*line 1\n", "begins with"),
    "blank context": (HEAD + b"@@ -1,2 +1,2 @@\n\n", "begins with"),
    "changes nothing": (HEAD + b"@@ -1 +1 @@\n line 1\n", "changes nothing"),
    "swaps for the same": (HEAD + b"@@ -1 +1 @@\n-line 1\n+line 1\n", "changes nothing"),
    "line after the last": (HEAD + b"@@ -1,2 +1,2 @@\n-line 1\n\\ No newline at end of file\n-line 2\n", "without an end"),
    "not a text file": (HEAD.replace(b"a.py", b"a.so") + HUNK, "none of"),
    "hidden file": (HEAD.replace(b"a.py", b".pth.py") + HUNK, "not plain"),
    "not ascii": (HEAD.replace(b"a.py", "ä.py".encode()) + HUNK, "plain path"),
    "too large": (b"x" * limits.PATCH_BYTES_MAX + b"\n", "at most"),
    "too many files": (b"".join(diff(f"runtime/agent/n{n}.py", b"", b"x\n") for n in range(65)), "more than"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_plain_diff_is_refused(name):
    data, reason = REFUSED[name]
    with pytest.raises(InvalidPatch) as caught:
        parse(data)
    assert reason in str(caught.value)


UNFIT = {
    "other context": (HEAD + HUNK.replace(b" line 2", b" line two"), "line 6: 'runtime/agent/a.py' differs from the diff at line 2"),
    "other line": (HEAD + HUNK.replace(b"-line 1", b"-line one"), "differs"),
    "one line off": (HEAD + HUNK.replace(b"-1,2 +1,2", b"-2,2 +2,2"), "differs"),
    "beyond the end": (HEAD + b"@@ -40 +40 @@\n-line 40\n+x\n", "ends before line 40"),
    "trailing space": (HEAD + HUNK.replace(b" line 2", b" line 2 "), "differs"),
    "no end expected": (HEAD + b"@@ -30 +30 @@\n-line 30\n\\ No newline at end of file\n+x\n", "differs"),
    "loses an end inside": (HEAD + b"@@ -3 +3 @@\n-line 3\n+x\n\\ No newline at end of file\n", "line's end"),
    "inserts beyond the end": (HEAD + b"@@ -31,0 +32 @@\n+x\n", "ends before line 32"),
    "joins two lines": (
        HEAD + b"@@ -30 +30 @@\n-line 30\n+x\n\\ No newline at end of file\n@@ -30,0 +31 @@\n+y\n",
        "line's end at line 30",
    ),
    "no such file": (HEAD.replace(b"a.py", b"zz.py") + HUNK, "does not exist"),
    "file exists": (diff("runtime/agent/a.py", b"", b"x\n"), "exists"),
    "empty file exists": (GIT.replace(b"a.py", b"empty.py") + b"new file mode 100644\n", "exists"),
    "half deleted": (b"--- a/runtime/agent/a.py\n+++ /dev/null\n@@ -1 +0,0 @@\n-line 1\n", "not all of its lines"),
    "entry deleted": (diff("runtime/agent/main.py", b"import a\n", b""), "there is no main.py"),
    "case collision": (diff("runtime/agent/A.py", b"", b"x\n"), "differ in case"),
}  # fmt: skip


@pytest.mark.parametrize("name", UNFIT)
def test_what_does_not_fit_is_refused(name):
    data, reason = UNFIT[name]
    with pytest.raises(InvalidPatch) as caught:
        apply(parse(data), TREE)
    assert reason in str(caught.value)


@pytest.mark.parametrize(
    "path",
    [
        "runtime/agentx/a.py",
        "runtime/host.py",
        "Makefile",
        "runtime/agent",
        "tests/x.py",
        ".github/x.yml",
        "RUNTIME/agent/a.py",
    ],
)
def test_outside_the_agent_s_tree_is_constitutional(path):
    patch = parse(GOOD + diff(path, b"a\n", b"b\n"))
    assert patch.patch_class is PatchClass.CONSTITUTIONAL
    with pytest.raises(Constitutional, match="pinned") as caught:
        apply(patch, TREE)
    assert "signed by people" in caught.value.hint
    assert parse(GOOD).patch_class is PatchClass.ROUTINE
