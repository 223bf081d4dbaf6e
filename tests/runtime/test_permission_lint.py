"""Rules that can never fire are found, and none that can is called dead."""

import itertools

import pytest

from runtime.core.permission_lint import Weight, lint
from runtime.core.permissions import Policy
from tests.runtime.permission_world import HOME, PROJECT, bash, fetch, policy, rules, touch


def dead(found):
    return [one.text for one in found if one.weight is Weight.ERROR]


# lists ; the rule that is dead, or nothing ; words of the reason
CASES = """
deny=Bash(git:*) allow=Bash(git status)           ; allow Bash(git status)      ; denies all
deny=Bash(git) allow=Bash(git status:*)           ; allow Bash(git status:*)    ; denies all
deny=Bash(git status) allow=Bash(git:*)           ;                             ;
deny=Bash(git *) ask=Bash(git push)               ; ask Bash(git push)          ; denies all
ask=Bash(git push) allow=Bash(git push:*)         ; allow Bash(git push:*)      ; asks about all
ask=Bash(git push --force) allow=Bash(git push:*) ;                             ;
deny=Bash allow=Bash(ls)                          ; allow Bash(ls)              ; denies all
deny=Bash(*) allow=Bash(ls)                       ; allow Bash(ls)              ; denies all
deny=* allow=WebFetch(domain:a.org)               ; allow WebFetch(domain:a.org); denies all
deny=mcp__a allow=mcp__a__b                       ; allow mcp__a__b             ; denies all
deny=mcp__a__b allow=mcp__a                       ;                             ;
deny=mcp__a__* allow=mcp__a__get_*                ; allow mcp__a__get_*         ; denies all
deny=Bash(ls*) allow=Bash(lsof)                   ; allow Bash(lsof)            ; denies all
deny=Bash(lsof) allow=Bash(ls*)                   ;                             ;
deny=FileEdit(src/**) allow=FileEdit(src/a.py)    ; allow FileEdit(src/a.py)    ; denies all
deny=FileEdit(src) allow=FileEdit(src/**)         ; allow FileEdit(src/**)      ; denies all
deny=FileEdit(*.md) allow=FileEdit(docs/*.md)     ; allow FileEdit(docs/*.md)   ; denies all
deny=FileEdit(docs/*.md) allow=FileEdit(*.md)     ;                             ;
deny=FileEdit(//**) allow=FileEdit(src/a)         ; allow FileEdit(src/a)       ; denies all
deny=FileEdit(~/**) allow=FileEdit(src/a)         ; allow FileEdit(src/a)       ; denies all
deny=FileEdit(//home/u/proj/**) allow=FileEdit(a) ; allow FileEdit(a)           ; denies all
deny=FileEdit(~/x/**) allow=FileEdit(src/a)       ;                             ;
deny=FileRead(**) allow=FileEdit(a)               ;                             ;
deny=WebFetch(domain:a.org) allow=WebFetch(domain:*.a.org) ; allow WebFetch(domain:*.a.org) ; denies all
deny=WebFetch(domain:*.a.org) allow=WebFetch(domain:a.org) ;                    ;
deny=WebFetch(domain:a.org:8080) allow=WebFetch(domain:a.org) ;                 ;
deny=WebFetch(domain:a.org) allow=WebFetch(domain:a.org:8080) ; allow WebFetch(domain:a.org:8080) ; denies all
deny=Skill(a*) allow=Skill(ab)                    ; allow Skill(ab)             ; denies all
allow=Bash(ls),Bash(ls)                           ; allow Bash(ls)              ; there already
allow=Bash(ls:*),Bash(ls~*)                       ; allow Bash(ls *)            ; there already
allow=Bash(cd:*)                                  ; allow Bash(cd:*)            ; always asked
allow=Bash(eval:*)                                ; allow Bash(eval:*)          ; always asked
ask=Bash(cd:*)                                    ;                             ;
allow=Bash(timeout:*)                             ; allow Bash(timeout:*)       ; only starts
allow=Bash(timeout~5~make)                        ;                             ;
""".strip().splitlines()


def lists_of(text):
    pairs = (
        part.split("=", 1)
        for part in text.replace("Bash(git ", "Bash(git~").split(" ")
        if "=" in part
    )
    return {name: value.replace(",", ";").replace("~", " ").replace("( ", "(~").replace(" /", "~/") for name, value in pairs}  # fmt: skip


@pytest.mark.parametrize("row", CASES)
def test_a_dead_rule_is_found_and_a_live_one_is_not(row):
    lists, expected, why = (part.strip() for part in row.split(";"))
    for name in ("git status", "git push", "push --force", "git *"):
        lists = lists.replace(name, name.replace(" ", "~"))
    found = list(lint(policy(**lists_of(lists))))
    assert dead(found) == ([expected] if expected else []), found
    assert all(why in one.why and one.hint for one in found if one.weight is Weight.ERROR)


def test_a_path_rule_without_its_root_is_dead():
    nowhere = Policy(rules=rules(allow="FileEdit(a); FileEdit(~/a); FileEdit(//a)"))
    assert dead(lint(nowhere)) == ["allow FileEdit(a)", "allow FileEdit(~/a)"]


@pytest.mark.parametrize(
    ("rule", "loose"),
    [("Bash", True), ("Bash(*)", True), ("Bash(python3:*)", True), ("Bash(sudo:*)", True),
     ("Bash(* --version)", True), ("Bash(python3 x.py)", False), ("Bash(git:*)", False)],
)  # fmt: skip
def test_a_rule_that_allows_more_than_it_seems_is_a_warning(rule, loose):
    found = list(lint(policy(allow=rule)))
    assert [one.weight for one in found] == ([Weight.WARNING] if loose else [])


# ---- against brute force: a world small enough to try every call --------------------------------------

COMMANDS = ["Bash", "Bash(a)", "Bash(a:*)", "Bash(a b)", "Bash(a b:*)", "Bash(a * b)", "Bash(a*)", "Bash(* b)", "Bash(ab)", "Bash(a b*)"]  # fmt: skip
WORDS = ["a", "b", "ab", "ac", "c"]
LINES = [" ".join(words) for n in (1, 2, 3, 4) for words in itertools.product(WORDS, repeat=n)][
    :400
]
LINES += ["a b b b b", "ac x y b", "a b c b d", "ad e", "a bd e", "a bd", "c d e f b"]
FILES = ["FileEdit", "FileEdit(a)", "FileEdit(a/**)", "FileEdit(*/a)", "FileEdit(**/a)", "FileEdit(a*)", "FileEdit(a/b)", "FileEdit(//**)", "FileEdit(~/**)", "FileEdit(**)"]  # fmt: skip
PLACES = [
    "/".join(names) for n in (1, 2, 3) for names in itertools.product(["a", "b", "ab"], repeat=n)
]
PLACES += ["../a", "../../a", "/x/a", f"{HOME}/q"]
WEB = ["WebFetch", "WebFetch(domain:a.b)", "WebFetch(domain:*.a.b)", "WebFetch(domain:a.b:9)", "WebFetch(domain:a.b:*)", "WebFetch(domain:c.a.b)", "WebFetch(domain:a.b:443)"]  # fmt: skip
ADDRESSES = [f"{scheme}://{host}{port}/" for scheme in ("http", "https") for host in ("a.b", "c.a.b", "d.c.a.b", "x.a.b", "e") for port in ("", ":9", ":443", ":7")]  # fmt: skip
WORLDS = [(COMMANDS, LINES, bash), (FILES, PLACES, lambda p, r: touch("FileEdit", p, r)), (WEB, ADDRESSES, fetch)]  # fmt: skip


@pytest.mark.parametrize(("texts", "calls", "asked"), WORLDS, ids=["commands", "paths", "hosts"])
def test_a_rule_is_called_dead_if_and_only_if_no_call_is_decided_by_it(texts, calls, asked):
    assert PROJECT
    decided = {}
    for effect in ("allow", "deny"):
        for text in texts:
            one = policy(**{effect: text})
            decided[effect, text] = {call for call in calls if asked(call, one).effect == effect and asked(call, one).rule}  # fmt: skip
    for above, below in itertools.product(texts, repeat=2):
        left = decided["allow", below] - decided["deny", above]
        said = dead(lint(policy(deny=above, allow=below)))
        assert bool(said) == (not left), (above, below, sorted(left)[:3])
