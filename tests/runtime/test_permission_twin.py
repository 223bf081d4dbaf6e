"""What the shell reader says a line runs, against what a real bash runs."""

import random
from collections import Counter

import pytest
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st

from tests.runtime.permission_world import bash, policy
from tests.runtime.shell_twin import REAL, STUBS, Twin, foretold

NO_DEADLINE = settings(
    deadline=None, max_examples=150,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)  # fmt: skip


@pytest.fixture(scope="module")
def twin(tmp_path_factory):
    return Twin(tmp_path_factory.mktemp("twin"))


def check(twin, line):
    """Nothing runs and no file appears that was not foretold. Returns what ran, or None."""
    said = foretold(line)
    if said is None:
        return None
    ran, files = twin.run(line)
    assert not ran - said[0], (line, ran, said)
    assert files <= said[1], (line, files, said)
    return ran


# ---- lines made of known parts -----------------------------------------------------------------------

QUOTED = [
    lambda w: w, lambda w: f"'{w}'", lambda w: f'"{w}"', lambda w: f"{w[0]}'{w[1:]}'",
    lambda w: "\\" + "\\".join(w), lambda w: "$'" + "".join(f"\\x{ord(c):02x}" for c in w) + "'",
    lambda w: f'{w[:-1]}"{w[-1]}"', lambda w: f"{w[0]}\\\n{w[1:]}", lambda w: f"''{w}\"\"",
    lambda w: "$'" + "".join(f"\\{ord(c):03o}" for c in w) + "'",
]  # fmt: skip
NAMES = st.sampled_from(STUBS)
PLAIN = st.sampled_from(["a", "push", "-n", "x y", "$HOME", "a;b", "#c", "a#b", "it's", "--", "é", "*", "if", "\\", "{}", "a=b", "!", "}", "~"])  # fmt: skip
BLANK = st.sampled_from([" ", "  ", "\t", " \\\n"])


@st.composite
def arguments(draw):
    word = draw(PLAIN)
    how = draw(st.integers(0, 3))
    if how == 0 and word.replace("-", "").isalnum() and word.isascii():
        return word
    if how == 1 and "'" not in word:
        return f"'{word}'"
    if how == 2:
        return '"' + "".join(f"\\{c}" if c in '"$`\\' else c for c in word) + '"'
    return "$'" + "".join(f"\\{c}" if c in "'\\" else c for c in word) + "'"


@st.composite
def commands(draw, depth=0):
    words = [draw(st.sampled_from(QUOTED))(draw(NAMES)), *draw(st.lists(arguments(), max_size=3))]
    if draw(st.integers(0, 3)) == 0:
        target = draw(st.sampled_from([">f", "> f", ">>g", "2>h", "2>&1", "</dev/null", "&>'k l'", ">|f", "<<<'a b'", "3>i"]))  # fmt: skip
        words.insert(draw(st.integers(0, len(words))), target)
    line = "".join(word + draw(BLANK) for word in words)
    if depth < 2 and draw(st.integers(0, 3)) == 0:
        line = draw(wrapped(line, depth))
    return line


@st.composite
def wrapped(draw, line, depth):
    starter = draw(st.sampled_from(["env ", "timeout 30 ", "nice -n 1 ", "nohup ", "command ", "exec ", "time ", "! ", "stdbuf -o0 ", 'env -i PATH="$PATH" ', "TZ=UTC ", "env LANG=C ", "'bash' -c ", "sh -c ", "( {} )", "{{ {}; }}", "if {}; then {}; fi"]))  # fmt: skip
    if "-c" in starter and starter.endswith("c "):
        return starter + "'" + draw(lines(depth + 1)).replace("'", "'\\''") + "'"
    if "{" in starter or "(" in starter:
        inner = [draw(lines(depth + 1)) for _ in range(starter.count("{}"))]
        return starter.format(*inner)
    return starter + line


@st.composite
def lines(draw, depth=0):
    line = draw(commands(depth))
    for _ in range(draw(st.integers(0, 2))):
        line += draw(st.sampled_from([" && ", "||", ";", "|", "\n", " & ", " |& ", "; # c ' \n"]))
        line += draw(commands(depth))
    if draw(st.integers(0, 9)) == 0:
        line += draw(
            st.sampled_from([" # rm x", "\n# rm\n", " <<'E'\nrm x\nE\n", " <<-E\n\trm\n\tE\ngit z"])
        )
    return line


@NO_DEADLINE
@given(lines())
@example(line="""sh -c "env >f git $'x y'" """)
def test_nothing_runs_that_was_not_foretold(twin, line):
    check(twin, line)


@NO_DEADLINE
@given(st.lists(commands(depth=2), min_size=1, max_size=3), st.sampled_from([";", "|", "\n"]))
def test_of_plain_lines_all_that_is_foretold_runs(twin, parts, separator):
    """The other direction: the list is not merely large enough."""
    line = separator.join(part.replace("no", "yes") for part in parts)
    assume(";&" not in line and "|&" not in line)  # other signs, that no shell reads there
    said = foretold(line)
    assume(said is not None)
    ran, _ = twin.run(line)
    assert ran == said[0]


# ---- noise -----------------------------------------------------------------------------------------

NOISE = [
    "git", "rm", "ls", "no", "'", '"', "\\", "$", "`", "(", ")", "{", "}", "<", ">", "&", "|", ";", "\n", " ",
    " ", " ", "#", "=", "!", "~", "*", "[", "]", ",", "a", "f", "2", "$(", "<<", "E", "\t", "if ", "then ",
    "; fi", "; do ", "done", "for x in ", "case x in a) ", ";; esac", "function ", "() ", "\\\n", "é", "$'",
    '$"', "{a,b}", "${x}", "$x", ">&", "<<<", "2>&1", "x=", "+=", "[[ ", " ]]", "((", "))", "time ", "env ",
    "eval ", "exec ", "command ", "bash -c ", "nohup ", "timeout 9 ", ":", "-", "--", "^", "%", "@", "?",
    "coproc ", "trap ", "EXIT", "; ", " && ", " || ", "<(", ">(", "\\x67", "export ", "PATH", "-c", "!!", "1",
]  # fmt: skip


@settings(NO_DEADLINE, max_examples=400)
@given(st.lists(st.sampled_from(NOISE), max_size=14).map("".join))
def test_no_noise_runs_anything_that_was_not_foretold(twin, line):
    assume("/" not in line)
    check(twin, line)


def test_noise_that_is_near_to_sense(twin):
    """Good lines with one piece put in or taken out: where readers disagree most."""
    source = random.Random("near")
    known = 0
    for _ in range(250):
        parts = [
            source.choice(["git push", "ls 'a b'", 'make "x"', "rm a\\ b", "yes >f", "npm 2>&1 t"])
        ]
        while source.random() < 0.6:
            parts += [
                source.choice(["; ", " && ", " | ", "\n", " & "]),
                source.choice(["git", "ls -l"]),
            ]
        line = "".join(parts)
        at = source.randrange(len(line) + 1)
        line = line[:at] + source.choice(NOISE) + line[at + source.choice([0, 0, 1]) :]
        known += check(twin, line) is not None
    assert known > 60


def test_what_is_denied_never_runs_unasked(twin):
    """Lines in which a real bash runs rm: none is allowed, and most are denied, not only asked."""
    source, effects = random.Random("denied"), Counter()
    rules = policy(allow="; ".join(f"Bash({name}:*)" for name in (*STUBS, *REAL)), deny="Bash(rm)")
    for _ in range(250):
        noise = "".join(source.choice(NOISE) for _ in range(source.choice([1, 3, 6])))
        tail = source.choice([" rm x", "\nrm", "; \\rm", "`rm`", "$(r''m)", " && rm", " <(rm)"])
        line = source.choice(["git ", "ls; ", "env ", "sh -c 'ls' "]) + noise + tail
        if "/" not in line and any(words[0] == "rm" for words in twin.run(line)[0]):
            effects[bash(line, rules).effect.value] += 1
    assert "allow" not in effects
    assert effects["deny"] > 20 * effects["ask"]
