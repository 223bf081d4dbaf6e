"""Who the agent is: the SOUL it was born with, and every key that was in charge since.

    timmy soul show                       digests of SOUL.md, ledger, npub, tenures
    timmy soul chain -o me.soul           the whole attestation chain, as one file for strangers
    timmy soul verify me.soul             what such a file shows (timmy verify says the same)
    timmy soul attest                     publish the chain to relays, at an address under the npub
                                          (both take --receipt FILE of a seal that was delegated)
    timmy soul tag --repo DIR             a signed git tag of the commit that holds SOUL.md

An event on a relay holds some 25 anchors: of a longer chain those are published that show who the
agent is, to where the seal moved last. The file of `soul chain` always holds all of them.

The tag is signed by an SSH key (Ed25519) that belongs to the log key; the ledger names it, and git
verifies it with the line that the command prints. SOUL.md never changes: another one is another
agent.
"""

import argparse
import hashlib
import subprocess
from pathlib import Path
from typing import Any

from ledger.core.errors import Refused, TimmyError
from ledger.core.lineage import Cause
from ledger.files import write_atomically
from mesh.core import nip19
from node import console
from node.client import Client, refresh
from node.home import Home
from node.open import Reading, reading

_GIT_SECONDS = 60
_RECEIPTS_BYTES_MAX = 2_000_000
"""In hex they fit a request to the node; a relay's event holds a fortieth of it."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    actions.add_parser("show", help="who the agent is, and which keys were in charge when")
    chain = actions.add_parser("chain", help="write the attestation chain to a file")
    chain.add_argument("-o", "--output", type=Path, required=True, metavar="FILE")
    chain.add_argument("--force", action="store_true", help="replace FILE if it is there")
    _add_receipts(chain)
    checking = actions.add_parser("verify", help="check such a file")
    checking.add_argument("file", type=Path)
    from attest.verify import command

    command.add_arguments(checking)
    _add_receipts(actions.add_parser("attest", help="publish the chain to relays"))
    tag = actions.add_parser("tag", help="make a signed git tag of SOUL.md")
    tag.add_argument("--repo", type=Path, default=Path(), metavar="DIR", help="the git repository")
    tag.add_argument("--name", default="v1.0-soul", help="of the tag (v1.0-soul)")
    tag.add_argument("--path", default="SOUL.md", help="where SOUL.md is in it (SOUL.md)")


def _add_receipts(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--receipt",
        type=Path,
        action="append",
        default=[],
        metavar="FILE",
        help="what an aggregator gave for a part of the seal chain that was delegated to it",
    )


def run(arguments: argparse.Namespace) -> int:
    """Carry out one action."""
    if arguments.action == "verify":
        from node.commands import verify

        return verify.run(arguments)
    home = Home.find(arguments.home)
    if arguments.action == "show":
        return _show(home, as_json=arguments.json)
    if arguments.action == "chain":
        return _chain(home, arguments)
    if arguments.action == "attest":
        return _attest(home, arguments)
    return _tag(home, arguments)


def _show(home: Home, *, as_json: bool) -> int:
    with reading(home) as opened:
        value = describe(opened)
    if as_json:
        console.out_json(value)
        return 0
    for name in ("name", "ledger", "npub", "network", "epoch"):
        console.out(f"{name:12} {value[name].hex() if name == 'ledger' else value[name]}")
    if any(row["cause"] == Cause.RECOVERY.value for row in value["tenures"]):
        console.say("that npub is the one of birth; whether it was lost since says: timmy status")
    for name, digest in value["soul"].items():
        shown = digest.hex() if isinstance(digest, bytes) else digest
        console.out(f"{'soul ' + name:12} {shown}")
    console.table(
        ["key set", "epoch", "by", "event", "signs heads from", "log key"],
        (
            [
                str(row["number"]),
                str(row["epoch"]),
                row["cause"],
                str(row["position"]),
                str(row["start"]),
                row["keys"]["log"].hex(),
            ]
            for row in value["tenures"]
        ),
    )
    return 0


def describe(opened: Reading) -> dict[str, Any]:
    """Who the agent is, as a JSON-able map."""
    lineage = opened.lineage
    genesis = lineage.genesis
    return {
        "name": genesis.name,
        "ledger": lineage.ledger_id,
        "npub": nip19.npub(genesis.keys["nostr"].hex()),
        "network": genesis.network,
        "epoch": lineage.epoch,
        "soul": {
            "sha256": genesis.soul.sha256,
            "blake3": genesis.soul.blake3,
            "length": genesis.soul.length,
        },
        "tenures": [
            {
                "number": tenure.number,
                "epoch": tenure.epoch,
                "cause": tenure.cause.value,
                "position": tenure.position,
                "start": tenure.start,
                "record": tenure.record,
                "keys": dict(tenure.keys),
                "next_key_digest": tenure.next_key_digest,
            }
            for tenure in lineage.tenures
        ],
    }


def _chain(home: Home, arguments: argparse.Namespace) -> int:
    from node.anchors.evidence import parse_segment, receipt_bytes
    from node.identity.souls import make_chain

    output: Path = arguments.output
    if output.exists() and not arguments.force:
        raise TimmyError(f"{output} is already there", hint="--force replaces it")
    receipts = [parse_segment(receipt_bytes(path), str(path)) for path in arguments.receipt]
    refresh(home)
    with reading(home) as opened:
        data = make_chain(opened, receipts)
    try:
        write_atomically(output, data, mode=0o644)
    except OSError as error:
        raise TimmyError(
            f"{output} cannot be written: {error.strerror}", hint="choose another place: -o FILE"
        ) from error
    if arguments.json:
        console.out_json({"file": str(output), "bytes": len(data)})
    else:
        console.out(f"{output}: {len(data)} bytes show who this agent is")
        console.out(f"check it: timmy soul verify {output} --soul SOUL.md")
    return 0


def _attest(home: Home, arguments: argparse.Namespace) -> int:
    from node.anchors.evidence import parse_segment, receipt_bytes

    receipts = [receipt_bytes(path) for path in arguments.receipt]
    for path, data in zip(arguments.receipt, receipts, strict=True):
        parse_segment(data, str(path))
    if sum(map(len, receipts)) > _RECEIPTS_BYTES_MAX:
        raise TimmyError(
            f"receipts of {sum(map(len, receipts))} bytes, at most {_RECEIPTS_BYTES_MAX}",
            hint="no relay takes such a file: give it away yourself, timmy soul chain --receipt",
        )
    request = {"action": "attest", "receipts": [data.hex() for data in receipts]}
    found = Client.find(home).call("POST", "/v1/soul", request)
    if arguments.json:
        console.out_json(found)
        return 0
    console.out(f"event {found['position']}: {found['bytes']} bytes, sha256 {found['sha256']}")
    console.out(f"published as Nostr event {found['nostr']}")
    if not found["in_event"]:
        console.out("too large for an event: relays have its digest, you give the file away")
        console.out("write it: timmy soul chain -o FILE")
    return 0


# ---- the tag -------------------------------------------------------------------------------------


def _tag(home: Home, arguments: argparse.Namespace) -> int:
    repo: Path = arguments.repo
    commit = _git(repo, "rev-parse", "--verify", "HEAD^{commit}").decode().strip()
    _check_file(home, repo, commit, arguments.path)
    if _has_tag(repo, arguments.name):
        raise Refused(
            f"the repository has a tag {arguments.name} already", hint="choose another: --name"
        )
    request = {"action": "tag", "commit": commit, "name": arguments.name}
    found = Client.find(home).call("POST", "/v1/soul", request)
    made = _git(repo, "hash-object", "-t", "tag", "-w", "--stdin", given=found["tag"].encode())
    tag = made.decode().strip()
    _git(repo, "update-ref", "--create-reflog", f"refs/tags/{arguments.name}", tag, "")
    if arguments.json:
        console.out_json(found | {"object": tag, "commit": commit})
        return 0
    console.out(f"tag {arguments.name} of commit {commit}, key {found['fingerprint']}")
    console.out(f"event {found['position']} names the key. A stranger verifies it so:")
    console.out(f"  echo '{found['allowed_signers'].strip()}' > signers")
    console.out(f"  git -c gpg.ssh.allowedSignersFile=signers verify-tag {arguments.name}")
    return 0


def _check_file(home: Home, repo: Path, commit: str, path: str) -> None:
    """The commit must hold the very SOUL.md that the agent was born with."""
    data = _git(repo, "cat-file", "blob", f"{commit}:{path}")
    with reading(home) as opened:
        born = opened.genesis.soul
    if hashlib.sha256(data).digest() != born.sha256:
        raise Refused(
            f"{path} in commit {commit[:12]} is not the SOUL.md of this agent: "
            f"{len(data)} bytes, expected {born.length} with sha256 {born.sha256.hex()}",
            hint=f"commit the file {home.soul} as it is",
        )


def _has_tag(repo: Path, name: str) -> bool:
    return bool(_git(repo, "for-each-ref", f"refs/tags/{name}"))


def _git(repo: Path, *arguments: str, given: bytes = b"") -> bytes:
    """Run git in `repo` and return what it prints. Raises TimmyError with git's own words."""
    try:
        done = subprocess.run(
            ["git", "-C", str(repo), *arguments],
            input=given,
            capture_output=True,
            check=False,
            timeout=_GIT_SECONDS,
        )
    except FileNotFoundError as error:
        raise TimmyError("there is no git here", hint="install it: apt install git") from error
    except subprocess.TimeoutExpired as error:
        raise TimmyError(f"git did not answer within {_GIT_SECONDS} seconds") from error
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().splitlines() or ["no reason given"]
        raise TimmyError(
            f"git {arguments[0]}: {said[0]}",
            hint="commit SOUL.md first: git init; git add SOUL.md; git commit; or name --repo DIR",
        )
    return done.stdout
