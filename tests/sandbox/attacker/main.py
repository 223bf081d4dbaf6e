"""Tries to get out, one named attempt at a time, and reports over file descriptor 0.

An attempt that returns has got out; one that raises OSError (or Blocked) was stopped; anything
else is a broken attempt, which the suite refuses. `config.json` beside this file names targets.
"""

# The attempts are system calls, not paths:
# ruff: noqa: PTH101, PTH102, PTH104, PTH106, PTH108, PTH123, PTH202, PTH208, PTH211

import ctypes
import json
import os
import resource
import signal
import socket
import sys
import traceback
from pathlib import Path

ATTEMPTS = {}
LIBC = ctypes.CDLL(None, use_errno=True)


class Blocked(Exception):
    pass


def attempt(function):
    ATTEMPTS[function.__name__] = function
    return function


def call(number, *args):
    result = LIBC.syscall(
        ctypes.c_long(number), *[ctypes.c_long(a) if isinstance(a, int) else a for a in args]
    )
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


def check(condition, why):
    if not condition:
        raise Blocked(why)


# ---- files: `home` is writable by the whole world, and mounted although nobody should mount it
@attempt
def overwrite_file(t):
    with open(t.home + "/ledger.db", "r+b") as file:
        file.write(b"GENESIS")


@attempt
def truncate_file(t):
    os.truncate(t.home + "/ledger.db", 7)


@attempt
def create_file(t):
    with open(t.home + "/created", "w"):
        pass
    os.unlink(t.home + "/created")


@attempt
def unlink_file(t):
    os.unlink(t.home + "/spare-1")


@attempt
def rename_file(t):
    os.rename(t.home + "/spare-2", t.home + "/spare-3")


@attempt
def chmod_file(t):
    os.chmod(t.home + "/ledger.db", 0o666)


@attempt
def utime_file(t):
    os.utime(t.home + "/ledger.db")


@attempt
def make_folder(t):
    os.mkdir(t.home + "/folder")
    os.rmdir(t.home + "/folder")


@attempt
def write_through_symlink(t):
    os.symlink(t.home + "/ledger.db", "link")
    with open("link", "r+b") as file:
        file.write(b"GENESIS")


@attempt
def write_through_hard_link(t):
    os.link(t.home + "/ledger.db", t.same_disk + "/hard")
    os.unlink(t.same_disk + "/hard")


@attempt
def write_by_real_path(t):
    with open(t.real_home + "/ledger.db", "r+b") as file:
        file.write(b"GENESIS")


@attempt
def read_secret_outside(t):
    Path(t.secret).read_bytes()


@attempt
def read_passwd(t):
    Path("/etc/passwd").read_bytes()


@attempt
def list_homes(t):
    check(os.listdir("/home") or os.listdir("/tmp"), "nothing there")


@attempt
def proc_1_root(t):
    os.listdir("/proc/1/root")


@attempt
def proc_environ(t):
    Path(f"/proc/{t.victim}/environ").read_bytes()


@attempt
def sys_tree(t):
    os.listdir("/sys/fs/cgroup")


@attempt
def write_own_tree(t):
    with open(__file__, "ab"):
        pass


@attempt
def write_standard_library(t):
    with open(os.__file__, "ab"):
        pass


@attempt
def write_shared_memory(t):
    with open("/dev/shm/x", "w"):
        pass
    os.unlink("/dev/shm/x")


@attempt
def open_kernel_log(t):
    os.close(os.open("/dev/kmsg", os.O_RDONLY))


@attempt
def open_terminal(t):
    os.close(os.open("/dev/ptmx", os.O_RDWR | os.O_NOCTTY))


@attempt
def name_to_handle(t):
    handle = ctypes.create_string_buffer(bytes([128, 0, 0, 0]) + bytes(140))
    mount = ctypes.c_int()
    path = ctypes.c_char_p(t.home.encode())
    call(t.calls["name_to_handle_at"], -100, path, handle, ctypes.byref(mount), 0)


# ---- network and sockets
@attempt
def tcp_host_loopback(t):
    socket.create_connection(("127.0.0.1", t.tcp_port), 1).close()


@attempt
def udp_host_loopback(t):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.sendto(b"x", ("127.0.0.1", t.tcp_port))


@attempt
def tcp6_socket(t):
    socket.socket(socket.AF_INET6).close()


@attempt
def resolve_name(t):
    check(socket.getaddrinfo("localhost", 80), "no address")
    socket.socket(socket.AF_INET, socket.SOCK_DGRAM).close()


@attempt
def netlink_socket(t):
    socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0).close()


@attempt
def raw_socket(t):
    socket.socket(socket.AF_INET, socket.SOCK_RAW, 1).close()


@attempt
def packet_socket(t):
    socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0).close()


@attempt
def vsock_socket(t):
    socket.socket(40, socket.SOCK_STREAM).close()


@attempt
def abstract_unix_socket(t):
    with socket.socket(socket.AF_UNIX) as s:
        s.connect("\0" + t.abstract)


@attempt
def path_unix_socket(t):
    with socket.socket(socket.AF_UNIX) as s:
        s.connect(t.home + "/node.sock")


@attempt
def datagram_pair_to_path(t):
    one, two = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with one, two:
        one.sendto(b"x", t.home + "/datagram.sock")


@attempt
def channel_to_path(t):
    with socket.socket(fileno=os.dup(0)) as s:
        s.connect(t.home + "/node.sock")


# ---- processes
@attempt
def fork(t):
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)


@attempt
def spawn_program(t):
    pid = os.posix_spawn(sys.executable, [sys.executable, "-c", ""], {})
    os.waitpid(pid, 0)


@attempt
def clone3(t):
    args = (ctypes.c_uint64 * 8)(0, 0, 0, 0, signal.SIGCHLD)
    pid = call(435, ctypes.byref(args), 64)
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)


@attempt
def signal_host_process(t):
    os.kill(t.victim, signal.SIGCONT)


@attempt
def pidfd_of_host_process(t):
    os.close(os.pidfd_open(t.victim))


@attempt
def trace_host_process(t):
    call(t.calls["ptrace"], 16, t.victim, 0, 0)
    os.waitpid(t.victim, 0x40000000)
    call(t.calls["ptrace"], 17, t.victim, 0, 0)


@attempt
def trace_itself(t):
    call(t.calls["ptrace"], 0, 0, 0, 0)


# ---- kernel doors
@attempt
def mount_tmpfs(t):
    if LIBC.mount(b"tmpfs", t.home.encode(), b"tmpfs", 0, None):
        raise OSError(ctypes.get_errno(), "mount")
    LIBC.umount2(t.home.encode(), 2)


@attempt
def remount_writable(t):
    if LIBC.mount(None, t.home.encode(), None, 32 | 4096, None):
        raise OSError(ctypes.get_errno(), "remount")


@attempt
def fsopen(t):
    os.close(call(t.calls["fsopen"], ctypes.c_char_p(b"tmpfs"), 0))


@attempt
def open_tree(t):
    os.close(call(t.calls["open_tree"], -100, ctypes.c_char_p(b"/"), 1))


@attempt
def key_ring(t):
    call(t.calls["keyctl"], 0, -3, 1)


@attempt
def io_uring(t):
    os.close(call(t.calls["io_uring_setup"], 1, ctypes.create_string_buffer(120)))


@attempt
def bpf_map(t):
    attributes = ctypes.create_string_buffer(
        bytes([2, 0, 0, 0, 4, 0, 0, 0, 4, 0, 0, 0, 1, 0, 0, 0]) + bytes(112)
    )
    os.close(call(t.calls["bpf"], 0, attributes, 128))


@attempt
def perf_event(t):
    attributes = ctypes.create_string_buffer(bytes([1, 0, 0, 0, 112, 0, 0, 0]) + bytes(104))
    os.close(call(t.calls["perf_event_open"], attributes, 0, -1, -1, 0))


@attempt
def user_fault(t):
    os.close(call(t.calls["userfaultfd"], 0))


@attempt
def memory_file(t):
    os.close(os.memfd_create("x"))


@attempt
def shared_memory_segment(t):
    segment = call(t.calls["shmget"], 0, 4096, 0o1600)
    LIBC.shmctl(segment, 0, None)


@attempt
def personality(t):
    call(t.calls["personality"], 0xFFFFFFFF)


@attempt
def set_host_name(t):
    socket.sethostname(socket.gethostname())


@attempt
def young_system_call(t):
    call(463, 0, 0, 0, 0, 0)


@attempt
def become_root(t):
    check(os.getuid() != 0, "is root already")
    os.setuid(0)


@attempt
def is_root(t):
    check(os.getuid() == 0, f"user id {os.getuid()}")


@attempt
def capabilities(t):
    header, data = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()
    if LIBC.capget(header, data):
        raise OSError(ctypes.get_errno(), "capget")
    check(any(data), "none held")


@attempt
def new_privileges(t):
    check(LIBC.prctl(39, 0, 0, 0, 0) == 0, "no_new_privs is set")


@attempt
def raise_limits(t):
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (4096, 4096))
    except ValueError as error:
        raise Blocked(str(error)) from error


@attempt
def environment(t):
    check(set(os.environ) - {"PWD", "LC_CTYPE"}, "nothing in it")


@attempt
def inherited_descriptors(t):
    def is_open(number):
        try:
            os.fstat(number)
        except OSError:
            return False
        return True

    check([n for n in range(3, 1024) if is_open(n)], "none open")


# last: outside a sandbox these change what the rest could do
@attempt
def chroot(t):
    os.chroot("/")


@attempt
def unshare_mounts(t):
    if LIBC.unshare(0x00020000):
        raise OSError(ctypes.get_errno(), "unshare")


@attempt
def unshare_user(t):
    if LIBC.unshare(0x10000000):
        raise OSError(ctypes.get_errno(), "unshare")


# ---- what must go on working
def own_state():
    with open("mine", "w") as file:
        file.write("x" * 1000)
    return os.path.getsize("mine") == 1000


def event_loop():
    import asyncio

    return asyncio.run(asyncio.sleep(0, True))


def threads():
    import threading

    done = []
    thread = threading.Thread(target=done.append, args=(1,))
    thread.start()
    thread.join()
    return done == [1]


def database():
    import sqlite3

    connection = sqlite3.connect("views.db")
    connection.execute("create table t (x)")
    connection.close()
    return True


ALLOWED = {f.__name__: f for f in (own_state, event_loop, threads, database)}


def outcome(function, *args):
    try:
        return ["done", repr(function(*args))]
    except (OSError, Blocked) as error:
        return ["blocked", f"{type(error).__name__}: {error}"]
    except BaseException:
        return ["broken", traceback.format_exc()]


if __name__ == "__main__":
    from types import SimpleNamespace

    targets = SimpleNamespace(**json.loads((Path(__file__).parent / "config.json").read_text()))
    report = {name: outcome(function) for name, function in ALLOWED.items()}
    report |= {name: outcome(function, targets) for name, function in ATTEMPTS.items()}
    with socket.socket(fileno=0) as channel:
        channel.sendall(json.dumps(report).encode())
