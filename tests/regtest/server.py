"""HTTP as Core speaks it: Basic authentication by cookie, single calls and batches, 401 and 500."""

import base64
import hmac
import json
import os
import secrets
from pathlib import Path
from typing import Any

from aiohttp import web

from tests.regtest.rpc import Calls, RpcFailure

LOOPBACK = "127.0.0.1"
COOKIE_NAME = ".cookie"


def write_cookie(folder: Path) -> Path:
    """A new cookie, 0600, as each start of Core makes one."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / COOKIE_NAME
    path.unlink(missing_ok=True)
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w") as file:
        file.write(f"__cookie__:{secrets.token_hex(32)}")
    return path


class Server:
    def __init__(self, calls: Calls, cookie: Path) -> None:
        self._calls = calls
        encoded = base64.b64encode(cookie.read_bytes()).decode()
        self._authorization = f"Basic {encoded}"
        self._runner: web.AppRunner | None = None

    async def start(self, port: int) -> int:
        """Listen on loopback; port 0 picks one. Returns the port."""
        application = web.Application(client_max_size=64 * 1024 * 1024)
        application.router.add_post("/", self._handle)
        self._runner = web.AppRunner(application, access_log=None)
        await self._runner.setup()
        site = web.TCPSite(self._runner, LOOPBACK, port)
        await site.start()
        return int(self._runner.addresses[0][1])

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    async def _handle(self, request: web.Request) -> web.Response:
        given = request.headers.get("Authorization", "")
        if not hmac.compare_digest(given.encode(), self._authorization.encode()):
            return web.Response(status=401, headers={"WWW-Authenticate": 'Basic realm="jsonrpc"'})
        body = json.loads(await request.read())
        if isinstance(body, list):
            return web.json_response([self._answer(item)[1] for item in body])
        status, answer = self._answer(body)
        return web.json_response(answer, status=status)

    def _answer(self, request: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        parameters = request.get("params") or []
        try:
            call = self._calls.find(str(request.get("method")))
            result = call(**parameters) if isinstance(parameters, dict) else call(*parameters)
        except RpcFailure as failure:
            status = 404 if failure.code == -32601 else 500
            error = {"code": failure.code, "message": str(failure)}
            return status, {"result": None, "error": error, "id": request.get("id")}
        except TypeError as problem:
            error = {"code": -1, "message": str(problem)}
            return 500, {"result": None, "error": error, "id": request.get("id")}
        return 200, {"result": result, "error": None, "id": request.get("id")}
