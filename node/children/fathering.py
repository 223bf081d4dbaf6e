"""Fathering a child: a birth with keys of its own, then the certificate as its second event.

    1. a mark in the child's home: what was begun, by which parent
    2. the birth, as any other (node.identity.birth): entropy, keys, kit of its own
    3. the child's log key signs the certificate that the parent drafts
    4. the parent signs and records it (child.fathered): once for each child
    5. the child's ledger takes it as event 1, and a head over it is released
    6. skills, parent's address, node.toml; the mark is taken away

A node does not start on a home with the mark. The same command takes up what was cut short: before
the genesis event nothing was born, and begins again; after it the very child goes on, for the
parent gives a known child the certificate that it has. What lies in the folder by then is believed
as far as the passphrase opens its keys and the parent has its certificate on record.

Not covered: a kit that was shown before step 2 was cut short belongs to nobody.
"""

import hashlib
import json
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from genesis import birth
from genesis.core.children.errors import ChildError
from genesis.core.children.profile import MAY_FATHER
from genesis.core.errors import HalfBirth
from genesis.keys import keystore
from genesis.keys.passphrase import Passphrase
from ledger.core import types
from ledger.core.codec import decode
from ledger.core.descent import (
    PLACE,
    Certificate,
    check_child,
    open_certificate,
    sign_certificate,
)
from ledger.core.event import Draft
from ledger.core.keys import Signer
from ledger.files import write_atomically
from ledger.log import Log
from ledger.release import Release
from node.agent.layering import skill_path
from node.agent.skill_files import FILE, FOLDER
from node.children.kin import Kin
from node.client import Client, architecture_of
from node.home import Home
from node.identity.birth import Wish, be_born, is_born
from node.open import lineage_of, open_log

MARK: Final = "fathering.json"
_PAYLOAD_BYTES_MAX: Final = 64 * 1024
_CONFIG: Final = """# A child agent: its own port, because its parent may run on this machine.
[api]
port = 0
"""


class FatheringBroken(ChildError):
    """A fathering that was begun otherwise, or in a home where somebody lives."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a child is to be. `soul` None: it inherits its parent's. `skills` are names."""

    name: str
    soul: Path | None
    network: str
    skills: tuple[str, ...]
    gates: Mapping[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fathered:
    """What came of it."""

    certificate: Certificate
    name: str
    home: Path
    again: bool
    """Whether an earlier try was taken up."""


def require_fathered(home: Home) -> None:
    """Raise FatheringBroken for a home whose child has no certificate yet."""
    if (home.path / MARK).exists():
        raise FatheringBroken(
            f"the child in {home.path} is not certified yet: its fathering was cut short",
            hint="the parent runs the same command again: timmy lineage father --into FOLDER ...",
        )


def father(
    parent: Home, child: Home, plan: Plan, passphrase: Passphrase, show_kit: Callable[[str], None]
) -> Fathered:
    """Carry it out, or take it up. The parent's node runs, the child's does not.

    Raises TimmyError; then the same call goes on where it stopped.
    """
    client = Client.find(parent)
    _may_father(client)
    skills = _skills(client, plan.skills)
    soul = plan.soul or parent.soul
    again = _mark(client, child, plan, soul, skills)
    if not _born(child):
        be_born(
            child,
            Wish(
                name=plan.name,
                soul=soul,
                network=plan.network,
                passphrase=passphrase,
                show_kit=show_kit,
            ),
        )
    certificate = _certify(client, child, passphrase.text, _digests(skills), plan.gates)
    _settle(child, skills, client)
    (child.path / MARK).unlink()
    return Fathered(certificate=certificate, name=plan.name, home=child.path, again=again)


def _may_father(client: Client) -> None:
    """Raise FatheringBroken, before anything is made, for a parent whose own gates forbid it."""
    own = client.call("GET", "/v1/lineage")["parent"]
    if own is not None and own["level"] < MAY_FATHER:
        raise FatheringBroken(
            f"this agent is a child itself, and passed {own['level']} of {MAY_FATHER} gates",
            hint="it may father when it has passed all: timmy lineage show",
        )


# ---- 1. the mark --------------------------------------------------------------------------------


def _mark(client: Client, child: Home, plan: Plan, soul: Path, skills: Mapping[str, str]) -> bool:
    """Write what is begun, or compare it with what was; tell whether it was."""
    begun = {
        "parent": client.call("GET", "/v1/status")["ledger"],
        "name": plan.name,
        "network": plan.network,
        "soul": hashlib.sha256(_read(soul)).hexdigest(),
        "skills": {name: digest.hex() for name, digest in _digests(skills).items()},
        "gates": dict(plan.gates),
    }
    mark = child.path / MARK
    if mark.exists():
        _same(mark, begun)
        return True
    if is_born(child):
        raise FatheringBroken(
            f"an agent lives in {child.path} already",
            hint="a child is born with its parent: choose another folder for --into",
        )
    child.make()
    write_atomically(mark, json.dumps(begun).encode())
    return False


def _same(mark: Path, begun: Mapping[str, Any]) -> None:
    try:
        found = json.loads(_read(mark))
    except ValueError as error:
        raise FatheringBroken(
            f"{mark} cannot be read", hint="take it away, with its home"
        ) from error
    differing = [name for name in begun if found.get(name) != begun[name]]
    if differing:
        raise FatheringBroken(
            f"{mark.parent} was begun with another {', '.join(differing)}",
            hint="say the same as then, or choose another folder for --into",
        )


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise FatheringBroken(
            f"{path} cannot be read: {error.strerror}", hint="name a file that is there"
        ) from error


def _born(child: Home) -> bool:
    """Whether there is a genesis; keys of a birth that was cut short are set aside."""
    try:
        return is_born(child)
    except HalfBirth:  # with the mark there was never a ledger to lose
        birth.set_aside(child.path)
        return False


# ---- 3 to 5. the certificate --------------------------------------------------------------------


def _certify(
    client: Client,
    child: Home,
    passphrase: str,
    skills: Mapping[str, bytes],
    gates: Mapping[str, int],
) -> Certificate:
    with closing(open_log(child, write=True)) as log:
        genesis = lineage_of(log).genesis
        keys = keystore.unlock_agent(child.path, passphrase, expected=genesis.keys)
        have = _have(log)
        payload = _signed(client, log, keys.log, skills, gates, have=have)
        certificate = open_certificate(payload)
        check_child(certificate, genesis, ledger_id=log.ledger_id, position=PLACE)
        if have is None:
            log.append_now(
                Draft(
                    type=types.PARENT_CERTIFIED.name, stream=types.PARENT_STREAM, payload=payload
                ),
                expected=PLACE,
            )
        Release.open(log, child.state, keys.log).head()
    return certificate


def _have(log: Log) -> dict[str, Any] | None:
    """Return the certificate that an earlier try put there, for its parent to compare."""
    if log.size == PLACE:
        return None
    event = log.read(PLACE)
    if event.type != types.PARENT_CERTIFIED.name or log.size > PLACE + 1:
        raise FatheringBroken(
            "this agent has lived already: a certificate is its second event or none",
            hint="choose another folder for --into",
        )
    return event.payload


def _signed(
    client: Client,
    log: Log,
    own: Signer,
    skills: Mapping[str, bytes],
    gates: Mapping[str, int],
    *,
    have: Mapping[str, Any] | None,
) -> dict[str, Any]:
    """Have the parent draft the certificate, sign it as child, have it signed and recorded.

    Of a child that `have`s one, the parent must have the same on record: what lies in a folder
    shows nothing.
    """
    genesis = lineage_of(log).genesis
    drafted = client.call(
        "POST",
        "/v1/lineage",
        {
            "action": "draft",
            "ledger": log.ledger_id.hex(),
            "soul": genesis.soul.sha256.hex(),
            "keys": {role: key.hex() for role, key in genesis.keys.items()},
            "skills": {name: digest.hex() for name, digest in skills.items()},
            "gates": dict(gates),
        },
    )
    known = None if drafted["payload"] is None else _payload(drafted["payload"])
    if have is not None and have != known:
        raise FatheringBroken(
            "the certificate that lies here is none of this parent's",
            hint="choose another folder for --into",
        )
    if known is not None:
        return known
    data = bytes.fromhex(drafted["certificate"])
    certificate = Certificate.from_value(decode(data, bytes_max=_PAYLOAD_BYTES_MAX))
    check_child(certificate, genesis, ledger_id=log.ledger_id, position=log.size)
    proof = sign_certificate(certificate, own)
    found = client.call(
        "POST",
        "/v1/lineage",
        {"action": "certify", "certificate": data.hex(), "proof": proof.hex()},
    )
    return _payload(found["payload"])


def _payload(text: str) -> dict[str, Any]:
    found: dict[str, Any] = decode(bytes.fromhex(text), bytes_max=_PAYLOAD_BYTES_MAX)
    return found


# ---- 6. what it is given ------------------------------------------------------------------------


def _skills(client: Client, names: tuple[str, ...]) -> dict[str, str]:
    """Return the words in force of the skills that were chosen. Raises FatheringBroken."""
    files = architecture_of(client)[1] if names else {}
    for name in names:
        if skill_path(name) not in files:
            raise FatheringBroken(
                f"the parent has no skill {name[:64]!r}", hint="adopted ones: timmy skills list"
            )
    return {name: files[skill_path(name)].decode() for name in names}


def _digests(skills: Mapping[str, str]) -> dict[str, bytes]:
    return {name: hashlib.sha256(text.encode()).digest() for name, text in skills.items()}


def _settle(child: Home, skills: Mapping[str, str], client: Client) -> None:
    """Write the skills, where the parent is, and a node.toml if there is none."""
    for name, text in skills.items():
        path = child.path / FOLDER / name / FILE
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_atomically(path, text.encode())
    Kin(child.path).set_parent(f"http://{client.host}:{client.port}")
    if not child.config.exists():
        write_atomically(child.config, _CONFIG.encode())
