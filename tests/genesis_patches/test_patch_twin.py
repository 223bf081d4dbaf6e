"""The exact applier beside git and GNU patch: what we accept, they accept, and make the same of it
(`errs` and `infers` name where they differ).

They accept more: offsets, fuzz, a file that is there already. That is why ours is not theirs.
"""

import difflib
import shutil
import subprocess

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from genesis.core.errors import InvalidPatch
from genesis.core.patch import apply_to, parse, split

PATH = "runtime/agent/main.py"
LINE = st.sampled_from(["a", "b", "c", "", " ", "-x", "+x", "@@ -1 +1 @@", "\\ n", "--- a", "é"])
TEXT = st.tuples(st.lists(LINE, max_size=14), st.booleans()).map(
    lambda made: "\n".join(made[0]) + ("\n" if made[1] and made[0] else "")
)
SLOW = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def made(before: bytes, after: bytes, context: int) -> bytes:
    """What diff -u would print."""
    lines = difflib.diff_bytes(
        difflib.unified_diff, split(before), split(after),
        f"a/{PATH}".encode() if before else b"/dev/null",
        f"b/{PATH}".encode() if after else b"/dev/null", n=context,
    )  # fmt: skip
    return b"".join(
        line if line.endswith(b"\n") else line + b"\n\\ No newline at end of file\n"
        for line in lines
    )


def ours(diff: bytes, base: bytes) -> bytes | None:
    """What we make of it, or None. An empty file is no file, as `made` means it."""
    try:
        return apply_to(parse(diff), {PATH: base} if base else {}).get(PATH, b"")
    except InvalidPatch:
        return None


def theirs(command: list[str], folder, diff: bytes, base: bytes) -> bytes | None:
    shutil.rmtree(folder, ignore_errors=True)
    file = folder / PATH
    file.parent.mkdir(parents=True)
    if base:
        file.write_bytes(base)
    (folder / "x.diff").write_bytes(diff)
    done = subprocess.run(command, cwd=folder, capture_output=True, check=False)
    if done.returncode:
        return None
    return file.read_bytes() if file.exists() else b""


TWINS = {
    "git": ["git", "apply", "--unidiff-zero", "--whitespace=nowarn", "x.diff"],
    "patch": ["patch", "-p1", "-s", "-f", "-N", "-F0", "--binary", "--no-backup-if-mismatch", "-i",
              "x.diff"],
}  # fmt: skip


@pytest.fixture(params=TWINS)
def twin(request):
    if shutil.which(request.param) is None:
        pytest.skip(f"no {request.param} here")
    return TWINS[request.param]


def errs(twin, old: bytes, context: int) -> bool:
    """Whether git is known to be wrong: it drops a last line that ends with no line feed, told without
    context, together with the line feed of the line before. GNU patch keeps it, as we do."""
    return twin is TWINS["git"] and context == 0 and not old.endswith(b"\n")


def infers(twin, diff: bytes) -> bool:
    """Whether GNU patch may look for the hunk elsewhere than at its line: it takes unequal context
    before and behind for a sign that the hunk is at an end of the file."""
    return twin is TWINS["patch"] and any(
        _leading(hunk) != _leading(hunk[::-1])
        for hunk in (part.split(b"\n")[1:-1] for part in diff.split(b"\n@@ ")[1:])
    )


def _leading(lines: list[bytes]) -> int:
    told = [line for line in lines if not line.startswith(b"\\")]
    return next((n for n, line in enumerate(told) if line[:1] != b" "), len(told))


@SLOW
@given(TEXT, TEXT, st.integers(0, 3))
def test_a_diff_of_two_texts_makes_the_same_everywhere(twin, tmp_path, before, after, context):
    old, new = before.encode(), after.encode()
    if old == new or errs(twin, old, context):
        return
    diff = made(old, new, context)
    assert ours(diff, old) == new
    assert theirs(twin, tmp_path / "twin", diff, old) == new


@SLOW
@example("a\n", "a\na\n", "a\na", 1)
@given(TEXT, TEXT, TEXT, st.integers(0, 3))
def test_on_another_base_we_refuse_or_make_what_they_make(
    twin, tmp_path, before, after, other, context
):
    old, new, base = before.encode(), after.encode(), other.encode()
    if old == new or errs(twin, old, context):
        return
    diff = made(old, new, context)
    result = ours(diff, base)
    if result is not None:
        found = theirs(twin, tmp_path / "twin", diff, base)
        assert found == result or (found is None and infers(twin, diff))


@SLOW
@given(TEXT, st.data())
def test_one_line_changed_in_the_base_is_refused_or_out_of_sight(twin, tmp_path, before, data):
    """A diff that names every line leaves no room: any change of the base is found, at its line."""
    old = before.encode()
    lines = split(old)
    if not lines:
        return
    at = data.draw(st.integers(0, len(lines) - 1))
    diff = made(old, b"first\n" + old, len(lines))
    base = b"".join([*lines[:at], b"z" + lines[at], *lines[at + 1 :]])
    with pytest.raises(InvalidPatch) as caught:
        apply_to(parse(diff), {PATH: base})
    assert caught.value.at == at + 1
    assert diff.split(b"\n")[caught.value.line - 1][1:] == lines[at].rstrip(b"\n")
    assert theirs(twin, tmp_path / "twin", diff, base) is None


def test_fuzz_and_offset_which_they_take_we_do_not(tmp_path):
    old = b"".join(b"line %d\n" % n for n in range(1, 20))
    diff = made(old, old.replace(b"line 9\n", b"LINE 9\n"), 3)
    moved = b"new\n" + old
    assert theirs(TWINS["git"], tmp_path / "twin", diff, moved) is not None
    assert ours(diff, moved) is None
