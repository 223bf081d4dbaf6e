"""Parent and children over HTTP. Refusals as in node.api.app.

    POST /lineage/letters       a letter of the parent, or of a child; {number, letters}
    POST /lineage/ledger        the parent asks to look; answered with this node's ledger
    GET  /v1/lineage            {parent, children}
    GET  /v1/lineage/{child}    one child, with its letters and the numbers of its gates
    POST /v1/lineage {action, ...}
        draft {ledger, soul, keys, skills, gates}   certify {certificate, proof}   of a birth
        check {child, file?, grant?}   guide, patch, reset {child, text}
        report {}   carry {child?}   take {letters}

Those below /lineage need no token: each letter is signed, and refused if it is not the next one.
"""

from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from aiohttp import web

from genesis.core.children.gates import NUMBERS
from genesis.core.children.letters import LETTER_BYTES_MAX, Kind, Letter
from ledger.core.codec import encode
from ledger.core.errors import NotFound, Refused
from node import console
from node.api.http import BadRequest, hex_bytes, json_answer, read_body, required
from node.api.witness import bounded
from node.children.post import LEDGER, LETTERS, PREFIX
from node.children.wiring import Kinship

_CHUNK_BYTES: Final = 256 * 1024
_ORDERS: Final = {"guide": Kind.GUIDE, "patch": Kind.PATCH, "reset": Kind.RESET}

__all__ = ["PREFIX", "ChildrenApi"]


@dataclass(frozen=True, slots=True)
class ChildrenApi:
    """Handlers of one node."""

    kinship: Kinship

    def routes(self) -> list[web.RouteDef]:
        """All of them."""
        return [
            web.post(LETTERS, self._letter),
            web.post(LEDGER, self._ledger),
            web.get("/v1/lineage", self._show),
            web.get("/v1/lineage/{child}", self._one),
            web.post("/v1/lineage", self._act),
        ]

    # ---- what the other side says --------------------------------------------------------------

    async def _letter(self, request: web.Request) -> web.Response:
        letter = Letter.parse(await bounded(request, LETTER_BYTES_MAX))
        number, letters = await self._take(letter)
        return json_answer({"number": number, "letters": letters})

    async def _take(self, letter: Letter) -> tuple[int, list[bytes]]:
        """Give a letter to the side that it is for: the parent's is known by its key."""
        growing = self.kinship.growing
        certificate = growing.ward.now().certificate
        if certificate is not None and letter.author == certificate.parent_keys["nostr"]:
            return await growing.obey(letter), []
        parenting = self.kinship.parenting
        number, orders = await parenting.hear(letter)
        heard = parenting.heard_word(letter.author, number)
        return number, [heard.encode(), *orders]

    async def _ledger(self, request: web.Request) -> web.StreamResponse:
        letter = Letter.parse(await bounded(request, LETTER_BYTES_MAX))
        async with self.kinship.growing.shown(letter) as path:
            response = web.StreamResponse(headers={"Content-Type": "application/octet-stream"})
            await response.prepare(request)
            with path.open("rb") as file:
                while chunk := file.read(_CHUNK_BYTES):
                    await response.write(chunk)
            await response.write_eof()
        return response

    # ---- what the operator asks ----------------------------------------------------------------

    async def _show(self, _request: web.Request) -> web.Response:
        return json_answer(self.kinship.value())

    async def _one(self, request: web.Request) -> web.Response:
        parenting = self.kinship.parenting
        child = parenting.find(request.match_info["child"])
        numbers = {
            name: {"asked": child.certificate.gates.get(name, one.default), "why": one.why}
            for name, one in NUMBERS.items()
        }
        letters = parenting.letters(child)
        return json_answer(parenting.row(child) | {"letters": letters, "numbers": numbers})

    async def _act(self, request: web.Request) -> web.Response:
        body = await read_body(
            request, action=str, ledger=str, soul=str, keys=dict, skills=dict, gates=dict,
            certificate=str, proof=str, child=str, file=str, grant=bool, text=str, letters=list,
        )  # fmt: skip
        match required(body, "action"):
            case "draft":
                return json_answer(await self._draft(body))
            case "certify":
                payload = await self.kinship.parenting.certify(
                    hex_bytes(required(body, "certificate"), "certificate"),
                    hex_bytes(required(body, "proof"), "proof"),
                )
                return json_answer({"payload": encode(payload)})
            case "check":
                return json_answer(await self._check(body))
            case "guide" | "patch" | "reset" as action:
                return await self._order(_ORDERS[action], body)
            case "report":
                return json_answer(await self._report())
            case "carry":
                return json_answer({"letters": self._carried(body)})
            case "take":
                return json_answer(await self._taken(required(body, "letters")))
            case action:
                raise BadRequest(
                    f"unknown action {action!r}",
                    hint="draft, certify, check, guide, patch, reset, report, carry or take",
                )

    async def _draft(self, body: dict[str, Any]) -> dict[str, Any]:
        """Return the certificate to sign, or that of a child that has one."""
        parenting = self.kinship.parenting
        ledger = hex_bytes(required(body, "ledger"), "ledger")
        known = parenting.children.get(ledger)
        if known is not None:
            payload = parenting.log.read(known.position).payload
            return {"payload": encode(payload), "certificate": None}
        child = {
            "ledger": ledger,
            "soul": hex_bytes(required(body, "soul"), "soul"),
            "keys": _bytes_of(required(body, "keys"), "keys"),
            "skills": _bytes_of(body.get("skills", {}), "skills"),
            "gates": body.get("gates", {}),
        }
        certificate = await parenting.draft(child)
        return {"certificate": certificate.message(), "payload": None}

    async def _check(self, body: dict[str, Any]) -> dict[str, Any]:
        parenting = self.kinship.parenting
        child = parenting.find(required(body, "child"))
        file = Path(body["file"]) if "file" in body else None
        if file is not None and not file.is_file():
            raise Refused(f"{file} is no file of this machine", hint="name it by its path")
        with TemporaryDirectory(dir=self.kinship.home, prefix=".look-") as folder:
            return await parenting.check(
                child, file, grant=body.get("grant", False), folder=Path(folder)
            )

    async def _order(self, kind: Kind, body: dict[str, Any]) -> web.Response:
        parenting = self.kinship.parenting
        child = parenting.find(required(body, "child"))
        text = required(body, "text")
        if not text.strip():
            raise Refused("an order without words", hint="say why, or what")
        event = await parenting.order(child, kind, {}, text)
        return json_answer(console.row(event) | parenting.row(child))

    async def _report(self) -> dict[str, Any]:
        growing = self.kinship.growing
        if not growing.is_child:
            raise NotFound("this agent has no parent", hint="timmy lineage report CHILD")
        event = await growing.tell_report(self.kinship.parts.scheduling.zone)
        return console.row(event)

    def _carried(self, body: dict[str, Any]) -> list[bytes]:
        """Letters to be carried by hand: to a child, or from this child to its parent."""
        if "child" in body:
            child = self.kinship.parenting.find(body["child"])
            return [opened.letter.encode() for _, opened in child.orders]
        told = self.kinship.growing.ward.now().told
        return [opened.letter.encode() for _, opened in told.letters]

    async def _taken(self, letters: list[Any]) -> dict[str, Any]:
        number = 0
        for data in letters:
            number, _ = await self._take(Letter.parse(hex_bytes(data, "letters")))
        return {"number": number, "letters": len(letters)}


def _bytes_of(table: dict[str, Any], name: str) -> dict[str, bytes]:
    return {key: hex_bytes(value, name) for key, value in table.items()}
