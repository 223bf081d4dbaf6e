"""What a program that a tool was let run may try, one named attempt at a time.

Run by the shell tool's sandbox in a folder that it may write to. An attempt that returns has got
what it wanted; OSError or Blocked: it was stopped; anything else is a broken attempt, which the
suite refuses. The first line of its docstring is its row in docs/SANDBOX.md.
"""

# The attempts are system calls, not paths:
# ruff: noqa: PTH101, PTH103, PTH104, PTH108, PTH123, PTH202, PTH208, PTH211

import ctypes
import errno
import fcntl
import json
import os
import resource
import signal
import socket
import subprocess
import sys
import traceback
from types import SimpleNamespace

ATTEMPTS = {}
LIBC = ctypes.CDLL(None, use_errno=True)


class Blocked(Exception):
    pass


def attempt(function):
    ATTEMPTS[function.__name__] = function
    return function


def checked(result):
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


def call(number, *args):
    words = [ctypes.c_long(a) if isinstance(a, int) else a for a in args]
    return checked(LIBC.syscall(ctypes.c_long(number), *words))


def check(condition, why):
    if not condition:
        raise Blocked(why)


def read(path):
    with open(path, "rb") as file:
        return file.read()


# ---- files
@attempt
def read_operator_key(t):
    """read the operator's key"""
    check(b"SECRET" in read(t.secret), "another file")


@attempt
def read_operator_key_through_a_link(t):
    """read it through a link in the working folder"""
    os.symlink(t.secret, "link")
    check(b"SECRET" in read("link"), "another file")


@attempt
def read_operator_key_from_a_descriptor_of_a_path(t):
    """open it for its place only (O_PATH), then again by that"""
    fd = os.open(t.secret, 0o10000000)
    check(b"SECRET" in read(f"/proc/self/fd/{fd}"), "another file")


@attempt
def list_operator_home(t):
    """list the operator's home"""
    check("ledger.db" in os.listdir(t.home), "another folder")


@attempt
def read_passwords(t):
    """read the system's accounts"""
    check(b"root" in read("/etc/passwd"), "another file")


@attempt
def write_outside(t):
    """write beside the working folder"""
    with open(t.home + "/created", "w") as file:
        file.write("x")
    os.unlink(t.home + "/created")


@attempt
def overwrite_ledger(t):
    """open the ledger for writing"""
    with open(t.home + "/ledger.db", "r+b") as file:
        file.write(b"GENESIS")


@attempt
def truncate_ledger(t):
    """cut the ledger by its path"""
    os.truncate(t.home + "/ledger.db", 7)


@attempt
def remove_outside(t):
    """remove a file of the operator's"""
    os.unlink(t.home + "/spare-1")


@attempt
def rename_outside(t):
    """rename one"""
    os.rename(t.home + "/spare-2", t.home + "/spare-3")


@attempt
def take_inside(t):
    """move one into the working folder"""
    os.rename(t.home + "/spare-4", "taken")


@attempt
def hard_link_inside(t):
    """give one a second name in the working folder"""
    os.link(t.home + "/ledger.db", "hard")
    os.unlink("hard")


@attempt
def change_mode_outside(t):
    """let everybody read the key (chmod)"""
    os.chmod(t.secret, 0o644)


@attempt
def change_owner_outside(t):
    """change the owner of one"""
    os.chown(t.home + "/ledger.db", os.getuid(), os.getgid())


@attempt
def change_times_outside(t):
    """change when one was written"""
    os.utime(t.home + "/ledger.db", (1, 1))


@attempt
def set_attribute_outside(t):
    """attach an attribute to one"""
    os.setxattr(t.home + "/ledger.db", "user.x", b"x")


@attempt
def watch_operator_home(t):
    """watch the names of the home (inotify)"""
    fd = checked(LIBC.inotify_init1(0))
    checked(LIBC.inotify_add_watch(fd, t.home.encode(), 0xFFF))


@attempt
def write_system(t):
    """write a program of the system's"""
    with open("/usr/bin/timmy-attack", "w"):
        pass
    os.unlink("/usr/bin/timmy-attack")


@attempt
def make_device(t):
    """make a device of the disk's number"""
    os.mknod("disk", 0o60600, os.makedev(8, 0))


@attempt
def open_by_handle(t):
    """name a file by its handle"""
    handle = ctypes.create_string_buffer(bytes([128, 0, 0, 0]) + bytes(140))
    mount = ctypes.c_int()
    path = ctypes.c_char_p(t.home.encode())
    call(t.calls["name_to_handle_at"], -100, path, handle, ctypes.byref(mount), 0)


# ---- other processes
@attempt
def list_processes(t):
    """list the processes of the machine"""
    check(str(t.victim) in os.listdir("/proc"), "not in it")


@attempt
def read_environment_of_another(t):
    """read the environment of the node"""
    check(b"PASSPHRASE" in read(f"/proc/{t.victim}/environ"), "nothing in it")


@attempt
def read_memory_of_another(t):
    """read the memory of the node, by file"""
    with open(f"/proc/{t.victim}/maps") as maps, open(f"/proc/{t.victim}/mem", "rb") as memory:
        memory.seek(int(maps.readline().split("-")[0], 16))
        check(memory.read(4), "nothing in it")


@attempt
def read_memory_of_another_by_call(t):
    """read it by process_vm_readv"""
    buffer = ctypes.create_string_buffer(8)
    local = (ctypes.c_void_p * 2)(ctypes.addressof(buffer), 8)
    remote = (ctypes.c_void_p * 2)(t.address, 8)
    call(t.calls["process_vm_readv"], t.victim, local, 1, remote, 1, 0)


@attempt
def walk_through_another(t):
    """walk through /proc/PID/root"""
    os.listdir(f"/proc/{t.victim}/root")


@attempt
def take_descriptor_of_another(t):
    """take an open file of the node (pidfd_getfd)"""
    fd = call(t.calls["pidfd_open"], t.victim, 0)
    call(t.calls["pidfd_getfd"], fd, 0, 0)


@attempt
def trace_another(t):
    """attach to the node as a debugger (ptrace)"""
    call(t.calls["ptrace"], 16, t.victim, 0, 0)
    os.waitpid(t.victim, 0x40000000)
    call(t.calls["ptrace"], 17, t.victim, 0, 0)


@attempt
def signal_another(t):
    """send the node a signal"""
    os.kill(t.victim, signal.SIGCONT)


@attempt
def signal_starter(t):
    """send a signal to what holds it"""
    os.kill(os.getppid(), 0)
    check(os.getppid() not in (0, 1), "nobody of the host's")


@attempt
def limit_another(t):
    """lower the limits of the node (prlimit)"""
    hard = resource.prlimit(t.victim, resource.RLIMIT_CORE)[1]
    resource.prlimit(t.victim, resource.RLIMIT_CORE, (0, hard))


@attempt
def slow_another(t):
    """lower the priority of the node"""
    os.setpriority(os.PRIO_PROCESS, t.victim, 5)


@attempt
def slow_all_of_the_user(t):
    """lower the priority of all that the user runs"""
    os.setpriority(os.PRIO_USER, 0, 1)
    check(os.getpriority(os.PRIO_PROCESS, t.victim) > 0, "none of the host's")


@attempt
def move_another(t):
    """put the node onto one core"""
    os.sched_setaffinity(t.victim, {min(os.sched_getaffinity(0))})


# ---- network and sockets
def connected(family, address):
    with socket.socket(family, socket.SOCK_STREAM) as s:
        s.settimeout(2)
        s.connect(address)


@attempt
def reach_port_of_host(t):
    """connect to a port of this machine"""
    connected(socket.AF_INET, ("127.0.0.1", t.tcp_port))


@attempt
def reach_port_by_ipv6(t):
    """the same by IPv6"""
    connected(socket.AF_INET6, ("::1", t.tcp6_port))


@attempt
def send_datagram(t):
    """send a datagram to a port of this machine"""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.connect(("127.0.0.1", t.udp_port))
        s.send(b"x")
    check(t.shares_network, "a network of its own")


@attempt
def listen_on_host(t):
    """listen where others of this machine connect"""
    with socket.socket(socket.AF_INET) as s:
        s.bind(("127.0.0.1", t.free_port))
        s.listen()
        check(t.shares_network, "a network of its own")


@attempt
def unix_socket_of_home(t):
    """connect to a UNIX socket in the home"""
    connected(socket.AF_UNIX, t.home + "/node.sock")


@attempt
def abstract_socket(t):
    """connect to an abstract UNIX socket (a desktop's)"""
    connected(socket.AF_UNIX, "\0" + t.abstract)


@attempt
def datagram_pair_to_home(t):
    """point a pair of datagram sockets at one in the home"""
    one, two = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with one, two:
        one.sendto(b"x", t.home + "/datagram.sock")


@attempt
def netlink(t):
    """ask the kernel about networks and devices (netlink)"""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 15) as s:
        s.bind((0, 0))
        check(t.shares_network, "a network of its own")


@attempt
def raw_socket(t):
    """make raw packets"""
    socket.socket(socket.AF_INET, socket.SOCK_RAW, 1).close()


@attempt
def packet_socket(t):
    """listen to packets of a device"""
    socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0).close()


@attempt
def vsock(t):
    """speak to the machine that this one runs in (vsock)"""
    socket.socket(40, socket.SOCK_STREAM).close()


@attempt
def bluetooth(t):
    """speak by radio (bluetooth)"""
    socket.socket(31, socket.SOCK_RAW, 1).close()


@attempt
def crypto_socket(t):
    """use the kernel's ciphers (AF_ALG), a large surface"""
    socket.socket(38, socket.SOCK_SEQPACKET).close()


# ---- memory and queues of others
@attempt
def shared_memory_of_another(t):
    """attach a shared memory segment of the user's (System V)"""
    LIBC.shmat.restype = ctypes.c_void_p
    at = LIBC.shmat(t.segment, None, 0)
    check(at != ctypes.c_void_p(-1).value, os.strerror(ctypes.get_errno()))


@attempt
def remove_shared_memory(t):
    """remove one"""
    checked(LIBC.shmctl(t.spare_segment, 0, None))


@attempt
def semaphore_of_another(t):
    """raise a semaphore of the user's"""
    operation = (ctypes.c_short * 3)(0, 1, 0)
    checked(LIBC.semop(t.semaphore, operation, 1))


@attempt
def queue_of_another(t):
    """put a message into a queue of the user's"""
    checked(LIBC.msgsnd(t.queue, (ctypes.c_char * 16)(1), 1, 0o4000))


@attempt
def shared_memory_folder(t):
    """list the memory that others share as files"""
    os.listdir("/dev/shm")


@attempt
def key_ring(t):
    """search the user's key ring"""
    call(t.calls["keyctl"], 0, -4, 0)


@attempt
def add_key(t):
    """leave a key in it"""
    text = ctypes.c_char_p(b"timmy-attack")
    call(t.calls["add_key"], ctypes.c_char_p(b"user"), text, text, 3, -4)


# ---- rights
@attempt
def setuid_program(t):
    """run a program with the set-user-ID bit of root"""
    said = subprocess.run([t.suid, "-u"], capture_output=True, text=True, check=False).stdout
    check(os.getuid() != 0 and said.strip() == "0", f"user {said}")


@attempt
def capabilities(t):
    """hold a capability"""
    header, data = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()
    checked(LIBC.capget(header, data))
    check(any(data), "none")


@attempt
def new_privileges(t):
    """get privileges by running a program (no_new_privs off)"""
    check(LIBC.prctl(39, 0, 0, 0, 0) == 0, "no_new_privs is set")


@attempt
def become_root(t):
    """become root"""
    check(os.getuid() != 0, "is root already")
    os.setuid(0)


@attempt
def become_another(t):
    """become another user"""
    if os.fork() == 0:
        leave(os.setresuid, 12345, 12345, 12345)
    wait()


@attempt
def namespace_of_users(t):
    """make a user namespace"""
    if os.fork() == 0:
        os._exit(0 if LIBC.unshare(0x10000000) == 0 else 1)
    wait()


@attempt
def namespace_by_clone(t):
    """make one with a new process"""
    pid = LIBC.syscall(
        ctypes.c_long(t.clone), ctypes.c_long(0x10000000 | 17), None, None, None, None
    )
    if pid == 0:
        os._exit(0)
    checked(pid)
    os.waitpid(pid, 0)


@attempt
def enter_namespace(t):
    """enter a namespace of another process"""
    fd = os.open("/proc/self/ns/net", os.O_RDONLY)
    call(t.calls["setns"], fd, 0)


@attempt
def mount_over(t):
    """mount something over the home"""
    checked(LIBC.mount(b"tmpfs", t.home.encode(), b"tmpfs", 0, None))
    LIBC.umount2(t.home.encode(), 2)


@attempt
def detached_mount(t):
    """mount by descriptors (open_tree, fsopen)"""
    os.close(call(t.calls["fsopen"], ctypes.c_char_p(b"tmpfs"), 0))


@attempt
def change_root(t):
    """change its root folder"""
    if os.fork() == 0:
        leave(os.chroot, "/")
    wait()


# ---- doors of the kernel
@attempt
def io_uring(t):
    """make system calls past the filter (io_uring)"""
    os.close(call(t.calls["io_uring_setup"], 1, ctypes.create_string_buffer(120)))


@attempt
def user_fault(t):
    """stop the kernel in the middle of a copy (userfaultfd)"""
    os.close(call(t.calls["userfaultfd"], 1))


@attempt
def bpf_program(t):
    """load a program into the kernel (bpf)"""
    attributes = ctypes.create_string_buffer(
        bytes([2, 0, 0, 0, 4, 0, 0, 0, 4, 0, 0, 0, 1, 0, 0, 0]) + bytes(112)
    )
    os.close(call(t.calls["bpf"], 0, attributes, 128))


@attempt
def performance_counters(t):
    """watch the processor (perf_event_open)"""
    attributes = ctypes.create_string_buffer(bytes([1, 0, 0, 0, 112, 0, 0, 0]) + bytes(104))
    os.close(call(t.calls["perf_event_open"], attributes, 0, -1, -1, 0))


@attempt
def load_module(t):
    """load a module into the kernel"""
    call(t.calls["init_module"], ctypes.c_char_p(b""), 0, ctypes.c_char_p(b""))


@attempt
def kernel_log(t):
    """read the kernel's log"""
    os.close(os.open("/dev/kmsg", os.O_RDONLY))


@attempt
def disk_device(t):
    """open the disk"""
    for name in ("sda", "vda", "nvme0n1", "mem", "loop0"):
        with open(f"/dev/{name}", "rb") as file:
            file.read(1)
            return


@attempt
def kernel_settings(t):
    """change a setting of the kernel"""
    with open("/proc/sys/kernel/core_pattern", "r+") as file:
        file.read(1)


@attempt
def control_groups(t):
    """leave its control group"""
    with open("/sys/fs/cgroup/memory/cgroup.procs", "a"):
        pass


@attempt
def type_into_terminal(t):
    """type into the terminal that the node was started from (TIOCSTI)"""
    try:
        fcntl.ioctl(0, 0x5412, b"x")
    except OSError as error:
        if error.errno != errno.ENOTTY:  # that would be the kernel's answer, and not the filter's
            raise


@attempt
def open_terminal(t):
    """open a terminal"""
    os.close(os.open("/dev/ptmx", os.O_RDWR | os.O_NOCTTY))


@attempt
def young_system_call(t):
    """make a system call that nobody reviewed here"""
    call(463, 0, 0, 0, 0, 0)


# ---- what it inherits
@attempt
def inherited_environment(t):
    """find the passphrase in its environment"""
    check("never to be seen" in os.environ.values(), "it is not in it")


@attempt
def inherited_descriptors(t):
    """find an open file of the node"""

    def is_secret(number):
        try:
            return b"SECRET" in os.pread(number, 99, 0)
        except OSError:
            return False

    check([n for n in range(3, 1024) if is_secret(n)], "none open")


@attempt
def raise_limits(t):
    """raise its own limits"""
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (4096, 4096))
    except ValueError as error:
        raise Blocked(str(error)) from error


def leave(function, *args):
    """In a child: it alone has what it got."""
    try:
        function(*args)
    except OSError:
        os._exit(1)
    os._exit(0)


def wait():
    check(os.wait()[1] == 0, "refused")


# ---- what must go on working
def own_file(t):
    with open("mine", "w") as file:
        file.write("x" * 1000)
    os.rename("mine", "mine-2")
    os.makedirs("a/b", exist_ok=True)
    os.rename("mine-2", "a/b/mine")
    return os.path.getsize("a/b/mine") == 1000


def processes(t):
    line = "seq 3 | sort -r | head -n 1"
    return subprocess.run(["bash", "-c", line], capture_output=True, check=True).stdout == b"3\n"


def temporary_file(t):
    import tempfile

    with tempfile.NamedTemporaryFile() as file:
        file.write(b"x")
    return True


def threads(t):
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(4) as pool:
        return list(pool.map(abs, [-1, -2])) == [1, 2]


def pool_of_processes(t):
    """Pipes and socket pairs, as build tools use them."""
    one, two = socket.socketpair()
    with one, two:
        one.send(b"x")
        return two.recv(1) == b"x"


def touch(t):
    done = [subprocess.run(["touch", "t"], check=False).returncode for _ in range(2)]
    return done == [0, 0]


def kill_own_child(t):
    child = subprocess.Popen(["sleep", "60"])
    child.kill()
    return child.wait() == -9


ALLOWED = {f.__name__: f for f in (
    own_file, processes, temporary_file, threads, pool_of_processes, touch, kill_own_child,
)}  # fmt: skip


def outcome(function, targets):
    try:
        return ["done", repr(function(targets))]
    except (OSError, Blocked) as error:
        return ["blocked", f"{type(error).__name__}: {error}"]
    except BaseException:
        return ["broken", traceback.format_exc()]


if __name__ == "__main__":
    with open("config.json") as file:
        targets = SimpleNamespace(**json.load(file))
    report = {name: outcome(function, targets) for name, function in ALLOWED.items()}
    report |= {name: outcome(function, targets) for name, function in ATTEMPTS.items()}
    print("REPORT" + json.dumps(report), flush=True)
    sys.exit(0)
