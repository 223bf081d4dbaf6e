"""The grammar of rules: what each covers, read wide and read narrow, and what is refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.core.errors import CallRefused, RuleRefused
from runtime.core.permission_globs import ANY, Glob, matches
from runtime.core.permission_rules import TOOLS, Effect, Scope, parse_rule
from runtime.core.permissions import Named, Policy, hidden
from tests.runtime.permission_world import bash, fetch, other, policy, rules, touch

# rule ; call ; what an allow of it says ; what a deny of it says
COMMANDS = """
Bash(git)              ; git               ; allow ; deny
Bash(git)              ; git status        ; ask   ; deny
Bash(git)              ; gitk              ; ask   ; ask
Bash(git:*)            ; git               ; allow ; deny
Bash(git:*)            ; git a b           ; allow ; deny
Bash(git:*)            ; gitk              ; ask   ; ask
Bash(git *)            ; git               ; allow ; deny
Bash(git *)            ; /usr/bin/git x    ; ask   ; deny
Bash(git*)             ; gitk              ; allow ; deny
Bash(git*)             ; gitk x            ; ask   ; deny
Bash(git push:*)       ; git push          ; allow ; deny
Bash(git push:*)       ; git pushx         ; ask   ; ask
Bash(git * push)       ; git push          ; allow ; deny
Bash(git * push)       ; git -C x push     ; allow ; deny
Bash(git * push)       ; git -C x push y   ; ask   ; deny
Bash(git * --force*)   ; git push --force-with-lease ; allow ; deny
Bash(* --version)      ; git --version     ; allow ; deny
Bash(npm run x*:*)     ; npm run a:b       ; refused ; refused
Bash(npm run x\\:*)     ; npm run x:b       ; allow ; deny
Bash(npm run t-*)      ; npm run t-a       ; allow ; deny
Bash(npm run t-*)      ; npm run t-a b     ; ask   ; deny
Bash(npm run t-*)      ; npm run t-        ; allow ; deny
Bash(cat a\\ b)        ; cat 'a b'         ; allow ; deny
Bash(cat a\\ b)        ; cat a b           ; ask   ; ask
Bash(cat \\*)          ; cat '*'           ; allow ; deny
Bash(cat \\*)          ; cat x             ; ask   ; ask
Bash(straße)           ; STRASSE           ; ask   ; deny
Bash                   ; make all          ; allow ; deny
Bash(*)                ; make all          ; allow ; deny
Bash(./x.sh)           ; ./x.sh            ; allow ; deny
Bash(./x.sh)           ; x.sh              ; ask   ; ask
""".strip().splitlines()


@pytest.mark.parametrize("row", COMMANDS)
def test_a_rule_for_commands_covers_what_it_says(row):
    rule, line, allowed, denied = (part.strip() for part in row.split(";"))
    for effect, expected in (("allow", allowed), ("deny", denied)):
        if expected == "refused":
            with pytest.raises(RuleRefused):
                policy(**{effect: rule})
        else:
            assert bash(line, policy(**{effect: rule})).effect == expected


PATHS = """
FileEdit(*.md)       ; a.md          ; allow ; deny
FileEdit(*.md)       ; x/y/a.md      ; allow ; deny
FileEdit(*.md)       ; a.md/x        ; ask   ; deny
FileEdit(*.md)       ; A.MD          ; ask   ; deny
FileEdit(*.md)       ; ../a.md       ; ask   ; ask
FileEdit(./a.md)     ; a.md          ; allow ; deny
FileEdit(src/*.py)   ; src/a.py      ; allow ; deny
FileEdit(src/*.py)   ; src/x/a.py    ; ask   ; ask
FileEdit(src/*.py)   ; x/src/a.py    ; ask   ; ask
FileEdit(src/**)     ; src/x/a.py    ; allow ; deny
FileEdit(src/**)     ; src           ; ask   ; deny
FileEdit(src/)       ; src/x/a.py    ; allow ; deny
FileEdit(src)        ; src/a.py      ; ask   ; deny
FileEdit(src)        ; x/src         ; allow ; deny
FileEdit(src/**/a)   ; src/a         ; allow ; deny
FileEdit(src/**/a)   ; src/x/y/a     ; allow ; deny
FileEdit(**)         ; x/y           ; allow ; deny
FileEdit(a?.txt)     ; ab.txt        ; allow ; deny
FileEdit(a?.txt)     ; a.txt         ; ask   ; ask
FileEdit(a\\[1\\].x) ; a[1].x        ; allow ; deny
FileEdit(//etc/**)   ; /etc/x        ; allow ; deny
FileEdit(//**)       ; /etc/x        ; allow ; deny
FileEdit(~/n/*)      ; /home/u/n/a   ; allow ; deny
FileEdit(~/n/*)      ; /home/v/n/a   ; ask   ; ask
FileEdit(straße/**)  ; STRASSE/a     ; ask   ; deny
FileEdit(é.md)       ; e\u0301.md    ; ask   ; deny
FileEdit             ; /any/thing    ; allow ; deny
FileEdit(*)          ; /any/thing    ; allow ; deny
""".strip().splitlines()


@pytest.mark.parametrize("row", PATHS)
def test_a_rule_for_paths_covers_what_it_says(row):
    rule, path, allowed, denied = (part.strip() for part in row.split(";"))
    assert touch("FileEdit", path, policy(allow=rule)).effect == allowed
    assert touch("FileEdit", path, policy(deny=rule)).effect == denied


HOSTS = """
WebFetch(domain:a.org)        ; https://a.org/       ; allow ; deny
WebFetch(domain:a.org)        ; https://b.a.org/     ; ask   ; deny
WebFetch(domain:a.org)        ; http://a.org:8080/   ; ask   ; deny
WebFetch(domain:*.a.org)      ; https://b.a.org/     ; allow ; deny
WebFetch(domain:*.a.org)      ; https://a.org/       ; ask   ; ask
WebFetch(domain:*.a.org)      ; https://ba.org/      ; ask   ; ask
WebFetch(domain:a.org:8080)   ; http://a.org:8080/   ; allow ; deny
WebFetch(domain:a.org:8080)   ; http://a.org/        ; ask   ; ask
WebFetch(domain:a.org:*)      ; http://a.org:9/      ; allow ; deny
WebFetch(domain:A.ORG.)       ; https://a.org/       ; allow ; deny
WebFetch(domain:bücher.de)    ; https://xn--bcher-kva.de ; allow ; deny
WebFetch(domain:xn--bcher-kva.de) ; https://BÜCHER.de ; allow ; deny
WebFetch                      ; https://x.y/         ; allow ; deny
""".strip().splitlines()


@pytest.mark.parametrize("row", HOSTS)
def test_a_rule_for_hosts_covers_what_it_says(row):
    rule, url, allowed, denied = (part.strip() for part in row.split(";"))
    assert fetch(url, policy(allow=rule)).effect == allowed
    assert fetch(url, policy(deny=rule)).effect == denied


OTHERS = """
mcp__git                 ; mcp__git__log      ; allow ; deny
mcp__git                 ; mcp__github__log   ; ask   ; ask
mcp__git__get_*          ; mcp__git__get_x    ; allow ; deny
mcp__git__get_*          ; mcp__git__put_x    ; ask   ; ask
mcp__git__log            ; mcp__git__log      ; allow ; deny
mcp__git__log            ; mcp__git__log2     ; ask   ; ask
mcp__*                   ; mcp__git__log      ; refused ; deny
*                        ; mcp__git__log      ; refused ; deny
Skill(release-*)         ; Skill release-1    ; allow ; deny
Skill(release-*)         ; Skill other        ; ask   ; ask
Ledger                   ; Ledger             ; allow ; deny
M*                       ; Memory             ; refused ; deny
""".strip().splitlines()


@pytest.mark.parametrize("row", OTHERS)
def test_a_rule_for_other_tools_covers_what_it_says(row):
    rule, call, allowed, denied = (part.strip() for part in row.split(";"))
    tool, _, name = call.partition(" ")
    for effect, expected in (("allow", allowed), ("deny", denied)):
        if expected == "refused":
            with pytest.raises(RuleRefused):
                policy(**{effect: rule})
        else:
            assert other(tool, policy(**{effect: rule}), name).effect == expected


REFUSED = """
Read(a)                     ; write FileRead
Write                       ; write FileEdit
bash(git)                   ; write Bash
Nothing                     ; the tools are
Bash(                       ; write Tool
Bash()                      ; every call of it
Bash(a && b)                ; rule for each command
Bash(a | b)                 ; rule for each command
Bash(a > b)                 ; FileEdit
Bash(echo "a")              ; without|write the words
Bash(echo $HOME)            ; write the words
Bash(a:* b)                 ; in the middle
Bash(a\\)                   ;
FileEdit(/etc/passwd)       ; //etc/passwd
FileEdit(../x)              ; from its root
FileEdit(a/./b)             ; from its root
FileEdit(a//b)              ; from its root
FileEdit(~root/x)           ; //home
FileEdit(*.{js,ts})         ; one rule each
FileEdit([ab].md)           ; one rule each
FileEdit(!a)                ; one rule each
FileEdit(a**)               ; folder/**/name
FileEdit(~/)                ; every path
WebFetch(example.org)       ; domain:
WebFetch(domain:a.org/x)    ; host alone
WebFetch(domain:u@a.org)    ; host alone
WebFetch(domain:*)          ; without brackets|write WebFetch
WebFetch(domain:a..org)     ;
WebFetch(domain:a.org:99999);
Ledger(x)                   ; write Ledger
mcp__a__b(x)                ; write mcp__a__b
mcp__                       ; mcp__server__tool
Skill( )                    ; every call of it
Bash(a\u200bb)              ;
Bash\u00a0(a)               ;
""".strip().splitlines()


@pytest.mark.parametrize("row", REFUSED)
def test_what_no_author_can_mean_is_refused_with_a_way_out(row):
    text, _, hints = row.partition(";")
    with pytest.raises(RuleRefused) as found:
        parse_rule(text.strip(), effect=Effect.ALLOW, scope=Scope.USER, file="f", line=1)
    assert any(hint.strip() in (found.value.hint or "") for hint in hints.split("|"))


def test_deny_wins_over_ask_and_ask_over_allow_whatever_the_scope_and_order():
    for scopes in (
        (Scope.NODE, Scope.PROJECT, Scope.USER),
        (Scope.USER, Scope.NODE, Scope.PROJECT),
    ):
        made = [
            parse_rule("Bash(git status)", effect=effect, scope=scope, file="f", line=1)
            for effect, scope in zip(Effect, scopes, strict=True)
        ]
        for ordered in (made, made[::-1]):
            assert bash("git status", Policy(rules=tuple(ordered))).effect == "deny"
            assert bash("git status", Policy(rules=tuple(ordered[:2]))).effect in {"ask", "deny"}
        assert bash("git status", Policy(rules=tuple(made[:2]))).effect == "ask"
        assert bash("git status", Policy(rules=tuple(made[:1]))).effect == "allow"


def test_what_no_rule_names():
    none = policy()
    assert bash("ls", none).effect == "ask"
    assert touch("FileRead", "a", none).effect == "allow"
    assert touch("FileRead", "/etc/passwd", none).effect == "ask"
    assert touch("FileRead", "a", Policy()).effect == "ask"
    assert touch("FileEdit", "a", none).effect == "ask"
    assert fetch("https://a.org", none).effect == "ask"
    assert other("mcp__a__b", none).effect == "ask"
    assert other("Unknown", none).effect == "ask"
    assert other("Patch", none).effect == "ask"
    assert {name for name in TOOLS if other(name, none).effect == "allow"} == {
        "Architecture", "Ledger", "Memory", "Todo"
    }  # fmt: skip


def test_a_rule_that_cannot_be_read_leaves_nothing_allowed():
    broken = Policy(rules=rules(allow="Bash(ls); Ledger", deny="Bash(rm)"), faults=("f:3: bad",))
    found = bash("ls", broken)
    assert (found.effect, "f:3: bad" in found.why) == ("ask", True)
    assert other("Ledger", broken).effect == "ask"
    assert bash("rm x", broken).effect == "deny"


def test_a_tool_that_is_denied_whole_is_hidden():
    made = policy(deny="Bash; mcp__a; FileEdit(x)")
    assert hidden(made, "Bash").text == "Bash"
    assert hidden(made, "mcp__a__b").text == "mcp__a"
    assert hidden(made, "FileEdit") is None
    assert bash("a | b", made).rule.text == "Bash"


def test_a_decision_names_the_rule_and_each_part():
    found = bash("git a && rm b > c", policy(allow="Bash(git:*)", deny="Bash(x); Bash(rm)"))
    value = found.to_value()
    assert value["effect"] == "deny"
    assert value["rule"] == {"effect": "deny", "text": "Bash(rm)", "scope": "user", "file": "f", "line": 2}  # fmt: skip
    assert [(part["effect"], part["call"]) for part in value["parts"]] == [
        ("allow", "Bash git a"), ("deny", "Bash rm b"), ("ask", "redirection > c"),
    ]  # fmt: skip
    assert "f:2" in value["why"]


@pytest.mark.parametrize(
    "path", ["a", "", "/a/../b", "/a//b", "/a/", "/a/.", "/a\0", "/" + "x" * 5000]
)
def test_a_path_that_is_not_resolved_is_refused(path):
    with pytest.raises(CallRefused):
        Named(named=path, resolved="/a")


# ---- the one algorithm, against the dumbest one ------------------------------------------------------


def dumb(pattern, text):
    if not pattern:
        return not text
    if pattern[0] is ANY:
        return any(dumb(pattern[1:], text[at:]) for at in range(len(text) + 1))
    return bool(text) and pattern[0] == text[0] and dumb(pattern[1:], text[1:])


@given(st.lists(st.sampled_from(["a", "b", ANY]), max_size=7), st.text(alphabet="ab", max_size=8))
def test_wildcards_match_as_the_definition_says(pattern, text):
    assert matches(pattern, text, lambda token, sign: token == sign) == dumb(pattern, text)


@given(st.text(max_size=20), st.text(max_size=20))
def test_a_glob_accepts_or_refuses_and_wide_is_wider(pattern, text):
    try:
        glob = Glob.parse(pattern, one=True)
    except RuleRefused:
        return
    if glob.matches(text):
        assert glob.matches(text, wide=True)
    if glob.plain:
        assert glob.matches(glob.specimen)
