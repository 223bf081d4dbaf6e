"""Proposals: the same changes for everybody, each visible; what is not so is refused by its line."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genesis.core import limits
from genesis.core.errors import Constitutional, InvalidPatch, Reason
from genesis.core.front import Budget, Front, hidden_in, parse_front, render_front
from genesis.core.patch import PatchClass, apply_to, parse
from genesis.core.proposal import parse_proposal, render_proposal, weigh
from tests.genesis_judge.diffs import diff

from .world import BASE, DIFF, FRONT, LINES, NEW, THRESHOLDS, document, fenced


def test_a_document_is_read_whole():
    added = b"---\nname: tea\n---\nBoil water.\n"
    data = document(
        fenced(DIFF),
        b"And, for tea:\n",
        fenced(added, "file skills/tea/SKILL.md"),
        fenced(b"$ timmy patch propose\n", "console"),
    )
    proposal = parse_proposal(data)
    assert proposal.front == FRONT
    assert proposal.data == data
    weighed = weigh(proposal, BASE)
    assert weighed.result["runtime/agent/a.py"] == NEW
    assert weighed.result["skills/tea/SKILL.md"] == added
    assert [kind.value for kind in weighed.classes] == ["agent-code", "skill"]
    lines = data.decode().split("\n")
    for change in proposal.patch.changes:
        assert change.path in lines[change.line - 1]


def test_the_changes_are_one_diff_in_the_order_of_the_document():
    """Also behind an empty file, whose header has no end of its own."""
    git = b"diff --git a/skins/x.md b/skins/x.md\nnew file mode 100644\n"
    blocks = [
        fenced(b"", "file runtime/agent/first.py"), fenced(DIFF), fenced(git),
        fenced(b"one\n", "file runtime/agent/last.py"),
        fenced(diff("skins/y.md", b"y", b"")),
    ]  # fmt: skip
    read = parse_proposal(document(*blocks)).patch
    again = parse(read.data)
    assert [(c.path, c.created, c.deleted) for c in again.changes] == [
        (c.path, c.created, c.deleted) for c in read.changes
    ]
    base = {"runtime/agent/a.py": LINES, "skins/y.md": b"y"}
    assert apply_to(again, base) == apply_to(read, base)
    assert len(again.changes) == 5


def test_a_diff_alone_keeps_its_bytes():
    assert parse_proposal(document(fenced(DIFF))).patch.data == DIFF
    assert parse_proposal(render_proposal(FRONT, "", DIFF)).patch.data == DIFF


def seen(text):
    return bool(text.strip()) and hidden_in(text) is None


@given(
    st.text(st.characters(exclude_categories=("Cs", "Cc", "Cf", "Zl", "Zp")), min_size=1, max_size=99)
    .filter(seen),
    st.text(
        st.characters(exclude_categories=("Cs", "Cc", "Cf", "Zl", "Zp"), include_characters="\n\t"),
        min_size=1, max_size=300,
    ).filter(seen),
    st.none() | st.binary(min_size=32, max_size=32),
    st.none() | st.integers(0, 2**40),
    st.integers(0, limits.BUDGET_SECONDS_MAX),
)  # fmt: skip
def test_a_front_matter_reads_as_it_was_rendered(title, text, base, follows, seconds):
    front = Front(
        title=title, rationale=text, patch_class=PatchClass.ROUTINE, evaluation=title,
        expected=text, base=base, follows=follows, budget=Budget(seconds=seconds),
    )  # fmt: skip
    rendered = render_front(front).split("\n")
    assert rendered[0] == rendered[-2] == "+++"
    assert parse_front("\n".join(rendered[1:-2]) + "\n", first_line=2) == front


@given(st.data())
@settings(max_examples=400, deadline=None)
def test_a_spoilt_document_raises_documented_errors_only(data):
    spoilt = bytearray(document(fenced(DIFF), fenced(b"x\n", "file skins/a.toml")))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(spoilt) - 1))
        spoilt[at] = data.draw(st.sampled_from(b"`~+-@ \n\t<#\"'=\r\0\xffa1") | st.integers(0, 255))
    line = 0
    try:
        weigh(parse_proposal(bytes(spoilt)), BASE)
    except (InvalidPatch, Constitutional) as error:
        line = error.line
    assert line <= spoilt.count(b"\n") + 1


@given(st.text(alphabet="`~ \n+=\"'[]diffle<", max_size=60))
def test_any_words_behind_the_front_matter_are_read_or_refused(words):
    data = render_proposal(FRONT, "", DIFF) + words.encode() + b"\n"
    line = 1
    try:
        parse_proposal(data)
    except InvalidPatch as error:
        line = error.line
    assert 1 <= line <= data.count(b"\n") + 1


TOML = render_front(FRONT)


def front(text: str) -> bytes:
    return text.encode() + b"\n" + fenced(DIFF)


def swapped(old: str, new: str) -> bytes:
    assert TOML.count(old) == 1, old
    return front(TOML.replace(old, new))


GIT = b"diff --git a/runtime/agent/a.py b/runtime/agent/a.py\n"
REFUSED = {
    # name: (document, reason, line, part of the message)
    "empty": (b"", Reason.FRONT, 1, "begins with front matter"),
    "no front matter": (fenced(DIFF), Reason.FRONT, 1, "begins with front matter"),
    "yaml": (b"---\ntitle: x\n---\n" + fenced(DIFF), Reason.FRONT, 1, "begins with front matter"),
    "front matter that does not end": (b"+++\ntitle = 'x'\n", Reason.FRONT, 1, "no second +++"),
    "not TOML": (swapped('title = "', "title = "), Reason.FRONT, 2, "not TOML"),
    "an anchor of YAML": (swapped("seconds = 600", "seconds: &a 600"), Reason.FRONT, 9, "not TOML"),
    "nested deep": (swapped("seconds = 600", "x = " + "[" * 6000), Reason.FRONT, 2, "not TOML"),
    "a number without end": (swapped("= 600", "= " + "9" * 9000), Reason.FRONT, 2, "not TOML"),
    "a key twice": (swapped("[budget]", 'title = "x"\n[budget]'), Reason.FRONT, 8, "not TOML"),
    "front matter too long": (swapped("[budget]", "#" * 17_000), Reason.SIZE, 2, "at most 16384"),
    "unknown key": (swapped("[budget]", "mode = 1\n[budget]"), Reason.FRONT, 8, "unknown key 'mode'"),
    "unknown budget": (swapped("tokens", "cents"), Reason.FRONT, 10, "unknown key 'budget.cents'"),
    "budget out of bounds": (swapped("= 600", "= 86401"), Reason.FRONT, 9, "0 to 86400"),
    "budget below nothing": (swapped("= 600", "= -1"), Reason.FRONT, 9, "0 to 86400"),
    "budget of truth": (swapped("= 600", "= true"), Reason.FRONT, 9, "0 to 86400"),
    "budget is a number": (swapped("[budget]\nseconds = 600\ntokens = 0\nusd = 0\n", "budget = 1\n"),
                           Reason.FRONT, 8, "not of type dict"),
    "no title": (swapped('title = "Say line three aloud"\n', ""), Reason.FRONT, 2, "no title"),
    "title is a number": (swapped('"Say line three aloud"', "3"), Reason.FRONT, 2, "not of type str"),
    "empty rationale": (swapped('"Nobody heard it."', '" "'), Reason.FRONT, 4, "rationale is empty"),
    "long title": (swapped("Say", "S" * 121), Reason.FRONT, 2, "at most 120"),
    "title of two lines": (swapped("Say line", "Say\\nline"), Reason.FRONT, 2, "more than one line"),
    "long rationale": (swapped("Nobody", "N" * 2_000), Reason.FRONT, 4, "at most 2000"),
    "class of its own": (swapped('"routine"', '"mine"'), Reason.FRONT, 3, "neither routine nor"),
    "base that is none": (swapped("[budget]", 'base = "A0"\n[budget]'), Reason.FRONT, 8, "not a root"),
    "follows nothing": (swapped("[budget]", "follows = -1\n[budget]"), Reason.FRONT, 8, "position"),
    "a migration of what is routine": (swapped("[budget]", 'migration = "ledger/x.py"\n[budget]'),
                                       Reason.FRONT, 8, "this is routine"),
    "a migration that is no text": (swapped("[budget]", "migration = 1\n[budget]"), Reason.FRONT, 8,
                                    "not of type str"),
    "follows truth": (swapped("[budget]", "follows = true\n[budget]"), Reason.FRONT, 8, "type int"),
    "escaped right to left": (swapped("Nobody", "\\u202ENobody"), Reason.HIDDEN, 4, "cannot be seen"),
    "right to left": (swapped("Nobody", "\u202eNobody"), Reason.HIDDEN, 4, "U+202E"),
    "zero width in a path": (document(fenced(DIFF.replace(b"agent/a", b"agent/\xe2\x80\x8ba"))),
                             Reason.HIDDEN, 17, "U+200B"),
    "words in variation signs": (
        document("Look.\U000e0150\n".encode(), fenced(DIFF)),
        Reason.HIDDEN,
        16,
        "U+E0150",
    ),
    "a letter that is blank": (
        document("a\u3164b\n".encode(), fenced(DIFF)),
        Reason.HIDDEN,
        16,
        "U+3164",
    ),
    "escape sequence": (document(b"\x1b[2J\n", fenced(DIFF)), Reason.HIDDEN, 16, "U+001B"),
    "carriage returns": (document(fenced(DIFF)).replace(b"\n", b"\r\n"), Reason.ENCODING, 1, "LF alone"),
    "one carriage return": (document(fenced(DIFF.replace(b"+LINE 3", b"+LINE 3\r"))), Reason.ENCODING,
                            23, "LF alone"),
    "no end": (document(fenced(DIFF))[:-1], Reason.ENCODING, 27, "does not end"),
    "not UTF-8": (document(fenced(DIFF.replace(b"LINE", b"L\xffNE"))), Reason.ENCODING, 23, "not UTF-8"),
    "enormous": (document(b"x" * limits.DOCUMENT_BYTES_MAX + b"\n"), Reason.SIZE, 0, "at most 262144"),
    "lines without end": (b"\n" * 20_001, Reason.SIZE, 20_001, "at most 20000"),
    "no change": (document(), Reason.NOTHING, 14, "no ```diff"),
    "only another label": (document(fenced(b"x\n", "text")), Reason.NOTHING, 18, "no ```diff"),
    "an empty diff": (document(fenced(b"")), Reason.NOTHING, 16, "an empty diff"),
    "a block that does not end": (document(b"```diff\n" + DIFF), Reason.FENCE, 16, "does not end"),
    "another block that does not end": (document(fenced(DIFF), b"~~~\n"), Reason.FENCE, 29, "does not end"),
    "capital label": (document(fenced(DIFF, "Diff")), Reason.FENCE, 16, "'Diff' is no label"),
    "label patch": (document(fenced(DIFF, "patch")), Reason.FENCE, 16, "'patch' is no label"),
    "label with more": (document(fenced(DIFF, "diff x")), Reason.FENCE, 16, "no label"),
    "label with a space": (document(fenced(DIFF, " diff")), Reason.FENCE, 16, "no label"),
    "file without a path": (document(fenced(b"x\n", "file")), Reason.FENCE, 16, "no label"),
    "file with two": (document(fenced(b"x\n", "file a b")), Reason.FENCE, 16, "no label"),
    "indented fence": (
        document(b" " + fenced(DIFF)),
        Reason.FENCE,
        16,
        "where the line begins",
    ),
    "a fence in a list": (
        document(b"- ```diff\n", fenced(DIFF)),
        Reason.FENCE,
        16,
        "where the line begins",
    ),
    "a fence in a quotation": (
        document(b"> > ~~~\n", fenced(DIFF)),
        Reason.FENCE,
        16,
        "where the line begins",
    ),
    "a fence under a number": (
        document(b"1. x\n\n   ```\n   ```\n", fenced(DIFF)),
        Reason.FENCE,
        18,
        "where the line begins",
    ),
    "tildes": (document(fenced(DIFF, mark="~~~")), Reason.FENCE, 16, "no label"),
    "backtick in a label": (document(b"```diff `x`\n"), Reason.FENCE, 16, "a label with a backtick"),
    "hidden in a comment": (document(b"<!--\n", fenced(DIFF), b"-->\n"), Reason.HIDDEN, 16, "raw HTML"),
    "hidden in details": (document(b"  <details>\n", fenced(DIFF)), Reason.HIDDEN, 16, "raw HTML"),
    "file that leads out": (document(fenced(b"x\n", "file ../x.py")), Reason.PATH, 16, "plain path"),
    "file from the root": (document(fenced(b"x\n", "file /etc/x")), Reason.PATH, 16, "plain path"),
    "file in another script": (document(fenced(b"x\n", "file skіlls/x/SKILL.md")), Reason.PATH, 16,
                               "plain path"),
    "one file in two blocks": (document(fenced(DIFF), fenced(DIFF)), Reason.DUPLICATE, 30, "twice"),
    "file there and changed": (document(fenced(DIFF), fenced(b"x\n", "file runtime/agent/a.py")),
                               Reason.DUPLICATE, 29, "twice"),
    "binary": (document(fenced(b"Binary files a/x and b/x differ\n")), Reason.BINARY, 17, "binary"),
    "a mode": (document(fenced(GIT + b"old mode 100644\nnew mode 100755\n")), Reason.MODE, 18, "mode"),
    "a link": (document(fenced(GIT + b"new file mode 120000\n")), Reason.MODE, 18, "'new file mode 1"),
    "a submodule": (document(fenced(GIT + b"new file mode 160000\n")), Reason.MODE, 18, "not allowed"),
    "a rename": (document(fenced(GIT + b"similarity index 90%\n")), Reason.RENAME, 18, "similarity"),
    "a copy": (document(fenced(GIT + b"copy from a\n")), Reason.RENAME, 18, "copy"),
    "a file under another name": (document(fenced(DIFF.replace(b"b/runtime/agent/a", b"b/runtime/agent/b"))),
                                  Reason.RENAME, 18, "another name"),
    "binary of git": (document(fenced(GIT + b"GIT binary patch\n")), Reason.BINARY, 18, "binary"),
    "words in a diff": (document(fenced(b"Dear all,\n" + DIFF)), Reason.HEADER, 17, "expected '---'"),
    "a path with ..": (document(fenced(DIFF.replace(b"agent/a.py", b"agent/../a.py"))), Reason.PATH, 17,
                       "plain path"),
    "a path from the root": (document(fenced(DIFF.replace(b"a/runtime", b"/runtime"))), Reason.PATH, 17,
                             "begin with"),
    "hunks that overlap": (document(fenced(DIFF + b"@@ -5,2 +5,2 @@\n line 5\n-line 6\n+x\n")), Reason.ORDER,
                           27, "do not follow"),
    "a hunk of nothing": (document(fenced(DIFF + b"@@ -9 +9 @@\n line 9\n")), Reason.NOTHING, 28,
                          "changes nothing"),
    "a hunk that ends too early": (document(fenced(DIFF[:-8])), Reason.HUNK, 25, "too early"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_proposal_is_refused_by_its_line(name):
    data, reason, line, words = REFUSED[name]
    with pytest.raises(InvalidPatch) as caught:
        parse_proposal(data)
    error = caught.value
    assert words in str(error)
    assert (error.reason, error.line) == (reason, line), str(error)


OTHER = replace(FRONT, base=bytes(32))
LEGAL = replace(FRONT, patch_class=PatchClass.CONSTITUTIONAL)
PINNED = diff("genesis/judge.py", b"a\n", b"b\n")
HURRIED = diff("thresholds.toml", THRESHOLDS, THRESHOLDS.replace(b"max = 900", b"max = 299"))
UNFIT = {
    "another base": (document(fenced(DIFF), front=OTHER), Reason.BASE, "it was made against"),
    "calls itself more": (document(fenced(DIFF), front=LEGAL), Reason.CLASS, "all it touches is"),
    "calls itself less": (document(fenced(PINNED)), Reason.PINNED, "'genesis/judge.py' is pinned"),
    "is what it says, and pinned": (document(fenced(PINNED), front=LEGAL), Reason.PINNED, "pinned"),
    "a fuzzy context": (document(fenced(DIFF.replace(b" line 5", b" line V"))), Reason.CONTEXT,
                        "line 25: 'runtime/agent/a.py' differs from the diff at line 5"),
    "a file that is there": (document(fenced(b"x\n", "file runtime/agent/a.py")), Reason.EXISTS, "exists"),
    "a file that is not": (document(fenced(DIFF.replace(b"a.py", b"z.py"))), Reason.MISSING, "does not"),
    "no skin": (document(fenced(b"x\n", "file skins/x.toml")), Reason.RESULT, "not TOML"),
    "two that are one on a Mac": (document(fenced(b"x\n", "file runtime/agent/A.py")), Reason.RESULT,
                                  "differ in case only"),
    "too little time": (document(fenced(HURRIED)), Reason.RESULT,
                        "thresholds.toml:4: agent.turn_seconds_max is 299, and no patch takes it below"),
}  # fmt: skip


@pytest.mark.parametrize("name", UNFIT)
def test_what_does_not_fit_is_refused_and_harms_nothing(name):
    data, reason, words = UNFIT[name]
    before = dict(BASE.files)
    with pytest.raises((InvalidPatch, Constitutional)) as caught:
        weigh(parse_proposal(data), BASE)
    assert words in str(caught.value)
    assert caught.value.reason is reason
    assert caught.value.line > 0
    assert dict(BASE.files) == before


def test_made_against_this_base_it_fits():
    data = document(fenced(DIFF), front=replace(FRONT, base=BASE.root))
    assert weigh(parse_proposal(data), BASE).result["runtime/agent/a.py"] == NEW
