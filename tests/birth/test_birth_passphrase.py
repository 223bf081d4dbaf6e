import os
import pty
import select
import stat
import subprocess
import sys
import textwrap
import time

import pytest

from genesis.core.errors import (
    PassphraseError,
    PassphraseMissing,
    PrivateFileExists,
    PrivateFileExposed,
)
from genesis.keys import private
from genesis.keys.passphrase import (
    BYTES_MAX,
    from_credentials,
    from_descriptor,
    from_environment,
    generate,
    obtain,
)


def pipe_with(data: bytes) -> int:
    reader, writer = os.pipe()
    os.write(writer, data)
    os.close(writer)
    return reader


def put_file(state, data=b"from file\n"):
    private.create(state / "passphrase", data)


def put_credential(folder, data=b"from systemd\n"):
    (folder / "timmy-passphrase").write_bytes(data)
    return {"CREDENTIALS_DIRECTORY": str(folder)}


def test_the_order_is_fixed(tmp_path):
    state, credentials = tmp_path / "state", tmp_path / "credentials"
    state.mkdir()
    credentials.mkdir()
    put_file(state)
    everything = put_credential(credentials) | {"TIMMY_PASSPHRASE": "from environment"}

    def ask(descriptor=None, **environ):
        return obtain(state=state, environ=environ, descriptor=descriptor, terminal=False)

    found = ask(descriptor=pipe_with(b"from pipe\n"), **everything)
    assert (found.text, found.source.split()[0]) == ("from pipe", "--passphrase-fd")
    assert ask(**everything).text == "from systemd"
    del everything["CREDENTIALS_DIRECTORY"]
    assert ask(**everything).text == "from environment"
    found = ask()
    assert (found.text, found.source) == ("from file", str(state / "passphrase"))
    (state / "passphrase").unlink()
    with pytest.raises(PassphraseMissing) as caught:
        ask()
    for name in ("TIMMY_PASSPHRASE", "--passphrase-fd N", "timmy-passphrase", str(state)):
        assert name in caught.value.hint


def test_the_environment_is_cleared_whoever_decides(tmp_path):
    environ = {"TIMMY_PASSPHRASE": "secret", "PATH": "/bin"}
    found = obtain(state=tmp_path, environ=environ, terminal=False)
    assert (found.text, environ) == ("secret", {"PATH": "/bin"})
    environ = {"TIMMY_PASSPHRASE": "secret"}
    obtain(state=tmp_path, environ=environ, descriptor=pipe_with(b"x"), terminal=False)
    assert environ == {}
    environ = {"TIMMY_PASSPHRASE": ""}
    with pytest.raises(PassphraseError, match="TIMMY_PASSPHRASE: the passphrase is empty"):
        obtain(state=tmp_path, environ=environ, terminal=False)
    assert environ == {}


def test_a_child_of_a_real_process_does_not_inherit_it(tmp_path):
    code = """
        import os, subprocess, sys
        from pathlib import Path
        from genesis.keys.passphrase import obtain
        assert obtain(state=Path(sys.argv[1]), environ=os.environ, terminal=False).text == "secret"
        print(subprocess.check_output(["env"], text=True))
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), str(tmp_path)],
        env=os.environ | {"TIMMY_PASSPHRASE": "secret"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "PATH=" in done.stdout
    assert "secret" not in done.stdout


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"abc", "abc"),
        (b"abc\n", "abc"),
        (b"abc\r\n", "abc"),
        (b" a b \n", " a b "),
        ("pässwörd".encode(), "pässwörd"),
        (b"x" * BYTES_MAX + b"\r\n", "x" * BYTES_MAX),
    ],
)
def test_one_line_end_is_dropped_and_nothing_else(data, text):
    assert from_descriptor(pipe_with(data)).text == text


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "passphrase is empty"),
        (b"\n", "passphrase is empty"),
        (b"a\n\n", "line end or a zero byte"),
        (b"a\nb\n", "line end or a zero byte"),
        (b"a\0b", "line end or a zero byte"),
        (b"ab\xff", "not UTF-8 at byte 2"),
        (b"x" * 1025, "1025 bytes, at most 1024"),
        (b"x" * 60_000, "1027 bytes or more, at most 1024"),
    ],
    ids=range(8),
)
def test_unusable_passphrases_are_named(tmp_path, data, message):
    with pytest.raises(PassphraseError, match=message):
        from_descriptor(pipe_with(data))
    put_file(tmp_path, data[:1026])
    with pytest.raises(PassphraseError):
        obtain(state=tmp_path, environ={}, terminal=False)
    with pytest.raises(PassphraseError):
        from_credentials(put_credential(tmp_path, data))


def test_a_descriptor_is_closed_after_reading_and_a_closed_one_is_named():
    reader = pipe_with(b"x")
    from_descriptor(reader)
    with pytest.raises(PassphraseError, match=f"--passphrase-fd {reader}: Bad file") as caught:
        from_descriptor(reader)
    assert "3<FILE" in caught.value.hint


def test_a_slow_writer_is_awaited(tmp_path):
    reader, writer = os.pipe()
    slow = "import os,sys,time; os.write(1, b'cor'); time.sleep(0.05); os.write(1, b'rect')"
    with subprocess.Popen([sys.executable, "-c", slow], stdout=writer):
        os.close(writer)
        assert from_descriptor(reader).text == "correct"


def test_bytes_of_the_environment_that_are_no_text():
    with pytest.raises(PassphraseError, match="TIMMY_PASSPHRASE: not UTF-8 at byte 1"):
        from_environment({"TIMMY_PASSPHRASE": os.fsdecode(b"a\xff")})


def test_systemd_without_our_credential_is_no_source_and_a_broken_one_an_error(tmp_path):
    environ = {"CREDENTIALS_DIRECTORY": str(tmp_path)}
    assert from_credentials(environ) is None
    (tmp_path / "timmy-passphrase").mkdir()
    with pytest.raises(PassphraseError, match="Is a directory"):
        from_credentials(environ)


def test_a_present_and_bad_source_is_not_skipped(tmp_path):
    put_file(tmp_path)
    (tmp_path / "passphrase").chmod(0o640)
    with pytest.raises(PrivateFileExposed, match="0640"):
        obtain(state=tmp_path, environ={}, terminal=False)


def test_an_unattended_birth_generates_one_file(tmp_path):
    state = tmp_path / "state"
    made = generate(state)
    path = state / "passphrase"
    assert (made.source, len(made.text)) == (str(path), 32)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert made.text not in repr(made)
    assert obtain(state=state, environ={}, terminal=False).text == made.text
    with pytest.raises(PrivateFileExists):
        generate(state)
    assert generate(tmp_path / "other").text != made.text


CHILD = """
    import fcntl, os, sys, termios
    from pathlib import Path
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    from genesis.core.errors import TimmyError
    from genesis.keys.passphrase import obtain
    try:
        found = obtain(
            state=Path("/nonexistent"), environ={}, terminal=sys.stdin.isatty(),
            confirm=sys.argv[1] == "birth",
        )
        print("GOT", found.text.encode().hex(), found.source, flush=True)
    except TimmyError as error:
        print("ERROR", type(error).__name__, error, flush=True)
"""


def talk(kind: str, answers: list[bytes]) -> str:
    """Run the prompt in a session of its own on a real pty; answer each question."""
    master, slave = pty.openpty()
    shown = b""
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(CHILD), kind],
        stdin=slave,
        stdout=slave,
        stderr=slave,
        start_new_session=True,
    ) as child:
        os.close(slave)
        asked, deadline = 0, time.monotonic() + 120
        while time.monotonic() < deadline and select.select([master], [], [], 120)[0]:
            try:
                shown += os.read(master, 4096)
            except OSError:  # the other side is gone: the end of a pty on Linux
                break
            questions = shown.count(b"passphrase: ") + shown.count(b"again: ")
            if asked < len(answers) and questions > asked:
                os.write(master, answers[asked])
                asked += 1
        child.kill()  # it has ended, unless a question was never answered
    os.close(master)
    return shown.decode()


def test_the_prompt_asks_once_and_shows_nothing():
    shown = talk("start", [b"hunter2 \xc3\xa9\n"])
    assert f"GOT {'hunter2 é'.encode().hex()} terminal" in shown
    assert "hunter2" not in shown


def test_a_birth_asks_twice_and_again_after_a_slip():
    shown = talk("birth", [b"one\n", b"two\n", b"three\n", b"three\n"])
    assert "the two were different" in shown
    assert f"GOT {b'three'.hex()} terminal" in shown


def test_a_birth_gives_up_after_three_slips():
    shown = talk("birth", [b"a\n", b"b\n"] * 3)
    assert "ERROR PassphraseError the two passphrases were different 3 times" in shown


def test_an_empty_answer_and_an_end_of_input_are_named():
    assert "ERROR PassphraseError terminal: the passphrase is empty" in talk("start", [b"\n"])
    assert "ERROR PassphraseMissing no passphrase was typed" in talk("start", [b"\x04"])
