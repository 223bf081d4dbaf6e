"""The dumb twin of runtime.core.shell: a real bash, with every word on its PATH a stub that logs."""

import fcntl
import os
import shutil
import subprocess
from collections import Counter

from runtime.core.shell import read

STUBS = ("git", "ls", "rm", "make", "npm", "yes", "no")
REAL = ("env", "timeout", "nice", "nohup", "stdbuf", "setsid", "xargs", "find", "bash", "sh")
SECONDS_MAX = 60
"""Guards against a line that hangs; nothing here is measured."""


class Twin:
    """A folder for PATH, a folder to run in, and the log of what ran."""

    def __init__(self, root):
        self.path, self.cwd, self.log = root / "bin", root / "cwd", root / "log"
        self.path.mkdir()
        for name in STUBS:
            stub = self.path / name
            code = int(name == "no")
            stub.write_text(
                f'#!/bin/sh\nprintf "%s\\000" "${{0##*/}}" "$@" "<end>" >>{self.log}\nexit {code}\n'
            )
            stub.chmod(0o755)
        for name in REAL:
            found = shutil.which(name)
            if found:
                (self.path / name).symlink_to(found)

    def run(self, line):
        """Run a line; return what the stubs were given, and the files that appeared."""
        shutil.rmtree(self.cwd, ignore_errors=True)
        self.cwd.mkdir()
        self.log.write_bytes(b"")
        ours, theirs = os.pipe()
        high = fcntl.fcntl(theirs, fcntl.F_DUPFD, 200)  # no line here redirects that one
        os.close(theirs)
        subprocess.run(
            ["/bin/bash", "--norc", "--noprofile", "-c", line],
            cwd=self.cwd, env={"PATH": str(self.path), "LC_ALL": "C.UTF-8"}, pass_fds=(high,),
            stdin=subprocess.DEVNULL, capture_output=True, timeout=SECONDS_MAX, check=False,
        )  # fmt: skip
        os.close(high)
        os.read(ours, 1)  # ends when the last process of the line has, those behind an & too
        os.close(ours)
        ran, words = Counter(), []
        for word in self.log.read_bytes().split(b"\0")[:-1]:
            if word == b"<end>":
                ran[tuple(words)] += 1
                words = []
            else:
                words.append(word.decode(errors="surrogateescape"))
        return ran, {file.name for file in self.cwd.iterdir()}


def foretold(line):
    """What the reader says a line may run and write; None where it does not claim to know."""
    found = read(line)
    if found.doubts or any(command.why for command in found.commands):
        return None
    if any(stream.path is None for stream in found.streams):
        return None
    return (
        Counter(command.words for command in found.commands),
        {stream.path for stream in found.streams if stream.writes},
    )
