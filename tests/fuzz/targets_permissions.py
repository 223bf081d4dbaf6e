"""Permission rules and shell lines: what operators and projects write, and what an agent asks for."""

from runtime.core import shell, shell_plain
from runtime.core.errors import NotRead, RuleRefused
from runtime.core.limits import SHELL_COMMANDS_MAX
from runtime.core.permission_lint import lint
from runtime.core.permission_rules import Effect, Scope, parse_rule
from runtime.core.permissions import FetchCall, Policy, ShellCall, decide
from tests.runtime.permission_world import named

from .engine import Target

LINES = (
    "git push && ls 'a b' | grep -q x", 'g\'i\'t st\\atus "$X" $(ls `rm`) ${a:-b}',
    "cat <<'E' > f\nrm\nE\nls", "for x in a b; do echo $x; done; f() { ls; }; f",
    "sudo -u x env A=b timeout 5 bash -c 'ls; rm'", "find . -exec rm {} \\; -delete",
    "ls | xargs -n1 rm 2>&1 >>log <in &", "if a; then b; elif c; then d; else e; fi; [[ a ]]",
    "case $x in a) b;; *) c;; esac; (( x++ )); a=(1 2)", "$'\\x67it' \\\n status # c",
)  # fmt: skip
RULES = (
    "Bash(git push:*)", "Bash(npm run t-*)", "FileEdit(src/**/*.py)", "FileRead(~/.ssh/**)",
    "FileEdit(//etc/*)", "WebFetch(domain:*.example.org:8443)", "mcp__git__get_*", "Skill(a\\*)",
    "WebFetch(domain:bücher.example)",
)  # fmt: skip
URLS = ("https://user@bücher.example:8443/a?b#c", "http://127.0.0.1/", "https://[::1]:1/x")
POLICY = Policy(
    rules=tuple(
        parse_rule(text, effect=effect, scope=Scope.USER, file="f", line=1)
        for effect in Effect for text in RULES
    ),
    project="/p", home="/h",
)  # fmt: skip


def run_line(data):
    """Never raises: a line is read, or a doubt says why not, and is then never allowed."""
    line = shell.read(data.decode(errors="surrogateescape"))
    assert len(line.commands) <= SHELL_COMMANDS_MAX + 1
    paths = {}
    for path in line.paths:
        if len(path) < 1000 and "\0" not in path:
            paths[path] = named(path)
    found = decide(POLICY, ShellCall(line=line, paths=paths))
    allow_all = Policy(rules=(parse_rule("Bash", effect=Effect.ALLOW, scope=Scope.USER, file="f", line=1),))  # fmt: skip
    known = not line.doubts and not any(command.why for command in line.commands)
    if not known or not line.commands:
        assert decide(allow_all, ShellCall(line=line, paths=paths)).effect is not Effect.ALLOW
        assert found.effect is not Effect.ALLOW
    return "accepted" if known else "refused"


def run_plain(data):
    return shell_plain.read(data.decode())


def run_rule(data):
    text = data.decode()
    for effect in Effect:
        rule = parse_rule(text, effect=effect, scope=Scope.USER, file="f", line=1)
        list(lint(Policy(rules=(*POLICY.rules, rule), project="/p")))


def run_address(data):
    decide(POLICY, FetchCall(url=data.decode(errors="surrogateescape")))


def encoded(texts):
    return [text.encode() for text in texts]


LINE_BULK = {
    "words": lambda n: b"ab " * (n // 3),
    "commands": lambda n: b"a;" * min(n // 2, 250),
    "quotes": lambda n: b"'a'" * (n // 3),
    "open brackets": lambda n: b"$(" * (n // 2),
}
TARGETS = [
    Target(name="shell-line", run=run_line, errors=(), kind="text", weight=8,
           specimens=lambda: encoded(LINES), bulk=LINE_BULK),
    Target(name="shell-plain", run=run_plain, errors=(NotRead, UnicodeDecodeError), kind="text",
           specimens=lambda: encoded(LINES), bulk={"words": lambda n: b"ab " * (n // 3)}),
    Target(name="permission-rule", run=run_rule, errors=(RuleRefused, UnicodeDecodeError),
           kind="text", specimens=lambda: encoded(RULES[6:]), weight=4,
           bulk={"stars": lambda n: b"Bash(" + b"*a" * min(n // 2, 250) + b")"}),
    Target(name="permission-address", run=run_address, errors=(), kind="text",
           specimens=lambda: encoded(URLS), bulk={"host": lambda n: b"https://" + b"a." * (n // 2)}),
]  # fmt: skip
