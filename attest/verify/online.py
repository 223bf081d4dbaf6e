"""Asking a Bitcoin node of the verifier's own what no file can show: that this is the newest.

Two questions (JSON-RPC, Bitcoin Core 25 or later): is each link's block on the chain that the node
follows, and is the last seal unspent (of one that is delegated, the aggregator's as well)? The node
learns which outputs and heights are asked for; its operator should be the verifier. Nothing is sent
anywhere else.
"""

import base64
import json
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any, Final

from attest.core.delegation import DelegatedResult
from attest.core.header import network_by_name
from attest.core.transaction import OutPoint, display
from attest.verify.report import BROKEN, GOOD, HEAVIEST, LATER_HEAD, STALE, Report
from ledger.core.errors import TimmyError

_TIMEOUT_S: Final = 30
"""A busy node answers in milliseconds, one that flushes its caches within seconds."""
_ANSWER_BYTES_MAX: Final = 1024 * 1024
_CREDENTIALS_BYTES_MAX: Final = 4096
_SPENT_HINT: Final = "ask the agent for a newer file"


def look_up(report: Report, url: str, cookie: Path | None) -> None:
    """Add the node's two answers to the report of a good anchored proof.

    Raises TimmyError if the node cannot be asked: then nothing is said about freshness.
    """
    if report.verdict not in GOOD:
        report.met = False
        told = ("online", "your node was not asked: this file is not good without it")
        report.lines.insert(-1, told)  # the failing link stays last
        return
    if not report.links:
        report.met = False
        report.say("online", "there is nothing to ask about: nothing verified here is in Bitcoin")
        return
    node = _Node(url, cookie)
    height = _height_of(node, report)
    report.question = "freshness"
    for number, link in enumerate(report.links):
        if node.call("getblockhash", link.height) != display(link.block_hash):
            text = f"link {number}: block {link.height} is not on the chain that your node follows"
            report.fail(BROKEN, text)
            return
    shown = {HEAVIEST}
    if report.seals is None:
        report.say("online", f"the block of the slot stands, at block {height}")
    elif _ask_for_newer(report, report.seals, node, shown):
        report.say("online", f"every block stands and the last seal is unspent, at block {height}")
    report.not_shown = [text for text in report.not_shown if text not in shown]


def _height_of(node: "_Node", report: Report) -> int:
    """How far the node is. Raises TimmyError if it cannot know about every link."""
    info = node.call("getblockchaininfo")
    if not isinstance(info, dict) or type(info.get("blocks")) is not int:
        raise TimmyError("the Bitcoin node's answer to getblockchaininfo is not what Core says")
    assert report.genesis is not None
    network, height = network_by_name(report.genesis.network), int(info["blocks"])
    if info.get("chain") != network.core_name:
        raise TimmyError(
            f"your Bitcoin node is on {info.get('chain')!r}, the file is of {network.core_name!r}",
            hint="ask a node of that network",
        )
    newest = max(link.height for link in report.links)
    if newest > height:
        raise TimmyError(
            f"your Bitcoin node is at block {height}, the newest link is in block {newest}",
            hint="wait until it has caught up; if it has, no block of the chain holds that link",
        )
    return height


def _ask_for_newer(report: Report, seals: DelegatedResult, node: "_Node", shown: set[str]) -> bool:
    """Ask whether the last seals are unspent; if so, add to `shown` what that shows."""
    for seal in seals.newest:
        if not node.unspent(seal):
            report.fail(STALE, f"the last seal, {seal}, is spent: a later link exists")
            report.hint = _SPENT_HINT
            return False
    shown.update(text for text in report.not_shown if text.startswith(LATER_HEAD))
    shown.update(text for seal, text in seals.unshown.items() if node.unspent(seal))
    report.not_shown.append("heads that were signed since the last anchor")
    return True


class _Node:
    """One HTTP request a question."""

    def __init__(self, url: str, cookie: Path | None) -> None:
        parts = urllib.parse.urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise TimmyError(
                f"{url!r} is no address of a Bitcoin node"
                if url
                else "--online needs the address of a Bitcoin node",
                hint="for example: --online http://127.0.0.1:8332 --cookie ~/.bitcoin/.cookie",
            )
        if parts.username or parts.password:
            raise TimmyError(
                "credentials stand in the address, where others can read them",
                hint="put user:password into a file: --cookie FILE",
            )
        self._url = url
        self._authorization = None if cookie is None else _basic(cookie)

    def unspent(self, output: OutPoint) -> bool:
        """Ask whether nothing in a block or the mempool spends an output. Raises TimmyError."""
        found = self.call("gettxout", output.txid[::-1].hex(), output.index, True)  # noqa: FBT003 - JSON-RPC has no names
        return found is not None

    def call(self, method: str, *parameters: Any) -> Any:
        """Ask; return the result. Raises TimmyError."""
        question = {"jsonrpc": "1.0", "id": 0, "method": method, "params": parameters}
        request = urllib.request.Request(  # noqa: S310 - the scheme is checked above
            self._url, json.dumps(question).encode(), {"Content-Type": "application/json"}
        )
        if self._authorization is not None:
            request.add_header("Authorization", self._authorization)
        try:
            with urllib.request.urlopen(request, timeout=_TIMEOUT_S) as answer:  # noqa: S310 - see above
                data = answer.read(_ANSWER_BYTES_MAX)
        except urllib.error.HTTPError as error:
            data = error.read(_ANSWER_BYTES_MAX)
            if error.code in (401, 403):
                raise TimmyError(
                    "the Bitcoin node does not accept the credentials",
                    hint="name its cookie: --cookie ~/.bitcoin/.cookie",
                ) from error
        except (OSError, ValueError) as error:
            raise TimmyError(
                f"the Bitcoin node does not answer: {error}", hint="is it running at that address?"
            ) from error
        return _result(method, data)


def _basic(cookie: Path) -> str:
    try:
        with cookie.expanduser().open("rb") as file:
            secret = file.read(_CREDENTIALS_BYTES_MAX).strip()
    except OSError as error:
        raise TimmyError(f"{cookie} cannot be read: {error.strerror}") from error
    return "Basic " + base64.b64encode(secret).decode()


def _result(method: str, data: bytes) -> Any:
    try:
        value = json.loads(data)
        error, result = value["error"], value["result"]
    except (ValueError, KeyError, TypeError, RecursionError) as bad:
        raise TimmyError(f"the Bitcoin node's answer to {method} is not JSON-RPC") from bad
    if error is not None:
        raise TimmyError(f"the Bitcoin node refuses {method}: {str(error)[:200]}")
    return result
