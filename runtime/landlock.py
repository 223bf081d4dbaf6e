"""What a child held by Landlock is let have: the same as in bubblewrap, under the outside's names.

For machines without bubblewrap, or where user namespaces are forbidden. `runtime.core.landlock`
says what the kernel holds, `runtime.core.seccomp` what is refused beside that, and the warden
(`runtime/warden/main.py`) does it.

What differs from bubblewrap for the one who is held: no /tree, /work or /tmp of its own, but one
room, an empty folder that HOME and TMPDIR name; no socket at all, unless the network is opened
for it; modes, owners and times of files stay as they are (chmod(1) is refused, so is a `touch -d`).
A word of a command line that begins with /scripts/ is translated.

What differs for the host: the room is a folder of the host, in memory where there is /dev/shm, and
removed at the end. Its size is bounded by the control group where there is one, else the warden
looks twice a second.

Not covered: that a file of a guessed name exists, how large it is and when it changed; what is open
and was removed counts for nobody where no control group counts it; a read-only folder within a
writable one (`runtime.tools.keeping` does without).
"""

import ctypes
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from runtime import interpreter
from runtime.bubblewrap import (
    DEVICES,
    NETWORK_FILES,
    PROGRAMS,
    SCRIPT_ENV,
    SCRIPTS,
    Bench,
    Openings,
)
from runtime.core import seccomp
from runtime.core.landlock import Access
from runtime.core.seccomp import Filter
from runtime.rooms import Room

_CREATE_RULESET: Final = 444
_VERSION_FLAG: Final = 1
ONLINE: Final = (seccomp.AF_INET, seccomp.AF_INET6, seccomp.AF_NETLINK)
"""The network, and the question which addresses this machine has. No UNIX sockets: those of others
lie there under names that nobody granted."""


def abi() -> int:
    """Return the ABI version of this kernel's Landlock, 0 if it has none or it is switched off."""
    libc = ctypes.CDLL(None, use_errno=True)
    if not hasattr(libc, "prctl"):  # not Linux
        return 0
    found = libc.syscall(
        ctypes.c_long(_CREATE_RULESET), None, ctypes.c_size_t(0), ctypes.c_uint32(_VERSION_FLAG)
    )
    return max(0, int(found))


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What the warden is to start, and all that it is let have. Paths lead nowhere else: no links.

    `room` is None or what `Room.state` names; `folder` is where the program starts.
    """

    argv: Sequence[str]
    folder: str
    grants: Sequence[tuple[str, Access]]
    rules: Filter
    env: Mapping[str, str] = field(default_factory=dict)
    rlimits: Mapping[str, int] = field(default_factory=dict)
    network: bool = False


def agent(room: Room, tree: Path, snapshot: Path | None, argv: Sequence[str]) -> Plan:
    """An agent process: its tree, the interpreter, a room; see `runtime.sandbox`.

    `argv` is what runs, with paths of the outside in it, `Room.site` among them.
    """
    package = interpreter.package("cbor2")
    shown = [tree, room.packages, *([] if package is None else [package])]
    shown += [] if snapshot is None else [snapshot]
    return Plan(
        argv=argv,
        folder=str(room.state),
        grants=_granted(reads=[*interpreter.needed_paths(), *shown], writes=[room.state]),
        rules=Filter(shares_host=True),
    )


def script(
    room: Room,
    argv: Sequence[str],
    scripts: Path | None,
    *,
    opened: Openings,
    env: Mapping[str, str],
    given: Mapping[str, str],
) -> Plan:
    """A program of the system's own; see `runtime.scripts` and `runtime.mcp_process`."""
    reads = [*_programs(), *([] if scripts is None else [scripts])]
    reads += [Path(path) for path in NETWORK_FILES if opened.network]
    reads += [one.real for one in opened.shown]
    writes = [room.state, *(one.real for one in opened.writable)]
    environment = dict(env) if opened.environment else SCRIPT_ENV | dict(given)
    return Plan(
        argv=[_translated(word, scripts) for word in argv],
        folder=str(room.state),
        grants=_granted(reads=reads, writes=writes),
        rules=Filter(
            processes=True, shares_host=True, families=ONLINE if opened.network else ()
        ),
        env=environment | _at_home(room),
        network=opened.network,
    )  # fmt: skip


def bench(room: Room, argv: Sequence[str], bench: Bench) -> Plan:
    """A program of a tool at a bench; see `runtime.tools.confined`.

    Its folder is granted as it is named: a link that was put into its path since opens nothing.
    """
    at_bench = (bench.folder, Access.WRITE if bench.write else Access.READ)
    return Plan(
        argv=argv,
        folder=bench.folder,
        grants=[*_granted(reads=_programs(), writes=[room.state]), at_bench],
        rules=Filter(processes=True, shares_host=True),
        env=SCRIPT_ENV | _at_home(room) | dict(bench.given),
    )


def brain(
    room: Room, argv: Sequence[str], tree: Path, site: Path, weights: Path, brief: str
) -> Plan:
    """A model of this machine; see `runtime.local_process`."""
    return Plan(
        argv=argv,
        folder=str(room.state),
        grants=_granted(
            reads=[*interpreter.needed_paths(), tree, site, weights], writes=[room.state]
        ),
        rules=Filter(accepts=True, shares_host=True),
        env={"TIMMY_BRAIN": brief} | _at_home(room),
    )


def _at_home(room: Room) -> dict[str, str]:
    return {"HOME": str(room.state), "TMPDIR": str(room.state)}


def _translated(word: str, scripts: Path | None) -> str:
    if scripts is None or not word.startswith(f"{SCRIPTS}/"):
        return word
    return str(scripts / word.removeprefix(f"{SCRIPTS}/"))


def _programs() -> list[Path]:
    return [Path(path) for path in PROGRAMS]


def _granted(*, reads: Iterable[Path], writes: Iterable[Path]) -> list[tuple[str, Access]]:
    """Resolved once, here: what a name leads to later is not granted."""
    wanted = [(Path(device), Access.DEVICE) for device in DEVICES]
    wanted += [(path, Access.READ) for path in reads]
    wanted += [(path, Access.WRITE) for path in writes]
    resolved = [(os.path.realpath(path), access) for path, access in wanted]
    return list(dict.fromkeys(one for one in resolved if os.path.exists(one[0])))  # noqa: PTH110
