"""Holds one program by Landlock and seccomp, and ends it with all that it started.

    main.py BRIEF GO INFO      numbers of inherited descriptors

Started by `runtime.warding`, which computes all of it: BRIEF has the settings (marshal), GO a byte
once this process is in its control group, INFO is told the program's number when it runs. This
file runs by itself under a bare interpreter: it imports the standard library and nothing of ours.

Two processes, two domains. The warden, this one, enters a Landlock domain that holds signals and
nothing else. The program is its child, in a second domain below the first, with every other right
taken as well. So the program can reach no process but its own, the warden neither; and the warden's
kill(-1, SIGKILL), which is one step of the kernel, reaches all of the program's processes and no
other on the machine, whatever sessions and groups they made. Before it is used it is shown once
more that a signal to the starter is refused. As subreaper the warden is the parent of every orphan:
when it has no child left, nothing is left.

It ends the program when that ends itself, on SIGTERM, when its starter dies, and when the room, if
it is watched, has grown beyond its bound.

Not covered: a warden that is killed with SIGKILL from outside. Its child dies with it, and what
that started only where a control group names it (`runtime.cgroups`).
"""

from __future__ import annotations

import ctypes
import errno
import marshal
import os
import resource
import signal
import stat
import sys
from contextlib import suppress

TYPE_CHECKING = False
if TYPE_CHECKING:  # typing, json and base64 would be half of what a start takes
    from typing import Any, NoReturn

_LIBC = ctypes.CDLL(None, use_errno=True)
_PR_SET_PDEATHSIG, _PR_CAPBSET_DROP = 1, 24
_PR_SET_SECCOMP, _PR_SET_CHILD_SUBREAPER, _PR_SET_NO_NEW_PRIVS = 22, 36, 38
_SECCOMP_MODE_FILTER = 2
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF, _OPENAT2 = 444, 445, 446, 437
"""System calls younger than 2019 have one number on every machine."""
_RULE_PATH_BENEATH = 1
_RIGHT_REFER, _SCOPE_SIGNAL = 1 << 13, 2
_O_PATH = 0o10000000
_RESOLVE_NO_SYMLINKS, _RESOLVE_NO_MAGICLINKS = 4, 2
_CAPABILITY_VERSION_3 = 0x20080522
_LAST_CAPABILITY_MAX = 63
_CANNOT_START, _NO_PROGRAM = 125, 127
_WATCH_S = 0.5
_ENTRY_BYTES = 1024
"""What a name costs beside its file's bytes: a million empty files are no empty room."""
_BLOCK_BYTES = 512
_WAITED = {signal.SIGTERM, signal.SIGCHLD}


class _RulesetAttr(ctypes.Structure):
    _fields_ = (
        ("handled_access_fs", ctypes.c_uint64),
        ("handled_access_net", ctypes.c_uint64),
        ("scoped", ctypes.c_uint64),
    )


class _PathBeneathAttr(ctypes.Structure):
    _pack_ = 1
    _fields_ = (("allowed_access", ctypes.c_uint64), ("parent_fd", ctypes.c_int32))


class _OpenHow(ctypes.Structure):
    _fields_ = (
        ("flags", ctypes.c_uint64),
        ("mode", ctypes.c_uint64),
        ("resolve", ctypes.c_uint64),
    )


class _Filter(ctypes.Structure):
    _fields_ = (("len", ctypes.c_ushort), ("filter", ctypes.c_void_p))


def _checked(result: int, what: str) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
    return result


def _prctl(option: int, argument: int, more: int = 0) -> None:
    words = [ctypes.c_ulong(one) for one in (argument, more, 0, 0)]
    _checked(_LIBC.prctl(ctypes.c_int(option), *words), f"prctl {option}")


def _call(number: int, *args: Any, what: str) -> int:
    words = [ctypes.c_long(one) if isinstance(one, int) else one for one in args]
    return _checked(_LIBC.syscall(ctypes.c_long(number), *words), what)


# ---- the two domains ----------------------------------------------------------------------------


def _ruleset(fs: int, net: int, scoped: int) -> int:
    attr = _RulesetAttr(fs, net, scoped)
    size = ctypes.sizeof(attr)
    return _call(_CREATE_RULESET, ctypes.byref(attr), size, 0, what="landlock_create_ruleset")


def _enter(ruleset: int) -> None:
    _call(_RESTRICT_SELF, ruleset, 0, what="landlock_restrict_self")
    os.close(ruleset)


def _opened(path: str) -> int:
    """Open what a path names, and nothing that a link put in its place leads to."""
    how = _OpenHow(
        flags=_O_PATH | os.O_CLOEXEC, mode=0, resolve=_RESOLVE_NO_SYMLINKS | _RESOLVE_NO_MAGICLINKS
    )
    name = ctypes.c_char_p(os.fsencode(path))
    return _call(
        _OPENAT2, -100, name, ctypes.byref(how), ctypes.sizeof(how), what=f"{path} cannot be opened"
    )


def _grant(ruleset: int, path: str, of_folder: int, of_file: int) -> None:
    descriptor = _opened(path)
    is_folder = stat.S_ISDIR(os.fstat(descriptor).st_mode)
    attr = _PathBeneathAttr(of_folder if is_folder else of_file, descriptor)
    what = f"landlock_add_rule for {path}"
    _call(_ADD_RULE, ruleset, _RULE_PATH_BENEATH, ctypes.byref(attr), 0, what=what)
    os.close(descriptor)


def _signals_only() -> int:
    """The warden's own domain. Every domain refuses renaming across folders unless it grants it."""
    ruleset = _ruleset(_RIGHT_REFER, 0, _SCOPE_SIGNAL)
    _grant(ruleset, "/", _RIGHT_REFER, 0)
    return ruleset


def _drop_capabilities() -> None:
    """None is left, nor can be had again: root's files stay root's, root's powers do not."""
    for number in range(_LAST_CAPABILITY_MAX + 1):
        with suppress(OSError):  # not root, or no such capability here
            _prctl(_PR_CAPBSET_DROP, number)
    header, none = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0), (ctypes.c_uint32 * 6)()
    _checked(_LIBC.capset(header, none), "capset")


def _holds_signals(starter: int) -> bool:
    try:
        os.kill(starter, 0)
    except PermissionError:
        return True
    except ProcessLookupError:  # it died meanwhile: what was shown at the start holds for good
        return True
    return False


# ---- the program --------------------------------------------------------------------------------


def _become(brief: dict[str, Any], warden: int) -> NoReturn:
    """Take everything from this process, then be the program. Raises OSError, ValueError."""
    os.setsid()
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != warden:
        os._exit(_CANNOT_START)
    with suppress(OSError), open("/proc/self/oom_score_adj", "w") as file:  # noqa: PTH123 - no Path
        file.write("1000")  # if memory runs out, it goes and not its warden
    folder = _opened(brief["folder"])
    handled = brief["handled"]
    ruleset = _ruleset(*handled)
    for path, of_folder, of_file in brief["grants"]:
        _grant(ruleset, path, of_folder, of_file)
    os.fchdir(folder)
    for name, value in brief["rlimits"].items():
        kind = getattr(resource, "RLIMIT_" + name)
        hard = resource.getrlimit(kind)[1]
        wanted = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(kind, (wanted, wanted))
    _enter(ruleset)
    os.closerange(3, brief["error_fd"])
    os.closerange(brief["error_fd"] + 1, 1 << 20)
    for number in (signal.SIGPIPE, signal.SIGXFSZ):  # the interpreter ignores them
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, set())
    _load_filter(brief["filter"])
    error = _run(brief["argv"], brief["env"])  # held, and not to be run: its end, not ours
    os.write(2, f"{brief['argv'][0]}: {error.strerror}\n".encode(errors="replace"))
    os._exit(_NO_PROGRAM)


def _run(argv: list[str], env: dict[str, str]) -> OSError:
    """Be this program, or return why not.

    As os.execvpe, which imports a module before that: a program held here cannot read it.
    """
    found: OSError = FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
    folders = env.get("PATH", os.defpath).split(":")
    for place in [argv[0]] if "/" in argv[0] else [f"{folder}/{argv[0]}" for folder in folders]:
        try:
            os.execve(place, argv, env)  # noqa: S606 - no shell is meant
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            found = error  # one further on may be granted
    return found


def _load_filter(code: bytes) -> None:
    buffer = ctypes.create_string_buffer(code, len(code))
    program = _Filter(len(code) // 8, ctypes.cast(buffer, ctypes.c_void_p))
    _prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.addressof(program))


def _start(brief: dict[str, Any]) -> tuple[int, str]:
    """Return the program's number and, if it could not be started, why."""
    warden = os.getpid()
    told, tell = os.pipe()
    number = os.fork()
    if number == 0:
        try:
            _become(brief | {"error_fd": tell}, warden)
        except BaseException as error:  # noqa: BLE001 - whatever it is, the warden must hear it
            os.write(tell, str(error).encode(errors="replace")[:2000])
        os._exit(_CANNOT_START)
    os.close(tell)
    said = b""
    while data := os.read(told, 4096):
        said += data
    os.close(told)
    return number, said.decode(errors="replace")


# ---- the warden ---------------------------------------------------------------------------------


def _takes(room: str) -> int:
    """Bytes that a folder takes, names included; what was removed while it is open is not seen."""
    taken, folders = 0, [room]
    while folders:
        with suppress(OSError), os.scandir(folders.pop()) as entries:
            for entry in entries:
                with suppress(OSError):
                    taken += _ENTRY_BYTES
                    taken += _BLOCK_BYTES * entry.stat(follow_symlinks=False).st_blocks
                    if entry.is_dir(follow_symlinks=False):
                        folders.append(entry.path)
    return taken


def _reaped(program: int) -> int | None:
    """Take the dead; return the program's exit status once it is among them."""
    status = None
    while True:
        try:
            number, how = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return status
        if number == 0:
            return status
        if number == program:
            code = os.waitstatus_to_exitcode(how)
            status = code if code >= 0 else 128 - code


def _watch(program: int, room: str | None, room_bytes: int) -> int:
    """Wait for a reason to end, and return the exit status."""
    while True:
        if room is None:
            woken: Any = signal.sigwaitinfo(_WAITED)
        else:
            woken = signal.sigtimedwait(_WAITED, _WATCH_S)
        status = _reaped(program)
        if status is not None:
            return status
        if woken is not None and woken.si_signo == signal.SIGTERM:
            return 128 + signal.SIGKILL
        if room is not None and woken is None and _takes(room) > room_bytes:
            os.write(2, f"No space left: more than {room_bytes} bytes in {room}\n".encode())
            return 128 + signal.SIGKILL


def _end_all(starter: int) -> None:
    """Kill until nothing is left. Never if a signal would reach beyond the domain."""
    while True:
        if not _holds_signals(starter):
            os._exit(_CANNOT_START)
        with suppress(ProcessLookupError):
            os.kill(-1, signal.SIGKILL)
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            return
        signal.sigtimedwait({signal.SIGCHLD}, 0.05)


def main() -> int:
    """Hold one program; return its exit status."""
    brief_fd, go, info = (int(one) for one in sys.argv[1:4])
    _prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    with os.fdopen(brief_fd, "rb") as file:
        brief = marshal.load(file)  # noqa: S302 - our starter wrote it
    starter = brief["starter"]
    if os.getppid() != starter or not os.read(go, 1):
        return _CANNOT_START
    os.close(go)
    signal.pthread_sigmask(signal.SIG_BLOCK, _WAITED)
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)
    _drop_capabilities()
    _enter(_signals_only())
    if not _holds_signals(starter):
        os.write(2, b"this kernel says that Landlock holds signals, and it does not\n")
        return _CANNOT_START
    program, why = _start(brief)
    nothing = os.open("/dev/null", os.O_RDONLY)
    os.dup2(nothing, 0)  # the channel is the program's alone
    if why:
        os.write(2, why.encode())
        _end_all(starter)
        return _CANNOT_START
    os.write(info, b'{"child-pid": %d}' % program)
    os.close(info)
    status = _watch(program, brief["room"], brief["room_bytes"])
    _end_all(starter)
    return status


if __name__ == "__main__":
    os._exit(main())
