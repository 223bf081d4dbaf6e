"""Talking to the running node over its HTTP API, from commands, with the standard library."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException, HTTPResponse
from typing import Any
from urllib.parse import quote, urlencode

from genesis.keys import private
from ledger.core.errors import TimmyError
from node.home import Home

_TOKEN_BYTES_MAX = 256
_REPLY_BYTES_MAX = 64 * 1024 * 1024
_JSON = "application/json"
_ERRORS_FROM = 400


class NotRunning(TimmyError):
    """No node answers for this home."""


class NodeSaid(TimmyError):
    """The node refused; its words and hint are passed on."""


@dataclass(frozen=True, slots=True)
class Client:
    """The API of one running node."""

    host: str
    port: int
    token: str

    @classmethod
    def find(cls, home: Home) -> "Client":
        """Find the node that runs this home. Raises NotRunning."""
        hint = "start it: timmy run"
        try:
            running = json.loads(home.running.read_text())
            host, port = str(running["host"]), int(running["port"])
            os.kill(int(running["pid"]), 0)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise NotRunning(f"no node is running for {home.path}", hint=hint) from error
        token = private.read(home.token, bytes_max=_TOKEN_BYTES_MAX).decode().strip()
        return cls(host, port, token)

    def call(
        self, method: str, path: str, body: dict[str, Any] | None = None, *, timeout: float = 600
    ) -> Any:
        """Send one request and return the JSON answer. Raises NodeSaid or NotRunning."""
        data = self.raw(method, path, body, timeout=timeout)
        try:
            return json.loads(data)
        except ValueError as error:
            raise NodeSaid("the node's answer is not JSON") from error

    def post_bytes(self, path: str, data: bytes, *, timeout: float = 600) -> Any:
        """Send bytes as they are and return the JSON answer. Raises NodeSaid or NotRunning."""
        try:
            return json.loads(self._send("POST", path, data, "application/cbor", timeout))
        except ValueError as error:
            raise NodeSaid("the node's answer is not JSON") from error

    def raw(
        self, method: str, path: str, body: dict[str, Any] | None = None, *, timeout: float = 600
    ) -> bytes:
        """Send one request and return the answer's bytes."""
        data = None if body is None else json.dumps(body).encode()
        return self._send(method, path, data, _JSON, timeout)

    def stream(
        self, path: str, body: dict[str, Any], *, timeout: float
    ) -> Iterator[tuple[str, dict[str, Any]]]:
        """Send one request and yield (name, value) of each event of the answer as it comes.

        `timeout` is of each pause. Raises NodeSaid or NotRunning.
        """
        with self._asked("POST", path, json.dumps(body).encode(), _JSON, timeout) as response:
            if response.status >= _ERRORS_FROM:
                raise _refusal(response.status, response.read(_REPLY_BYTES_MAX))
            name = ""
            while line := response.readline(_REPLY_BYTES_MAX):
                field, _, value = line.decode().rstrip("\n").partition(": ")
                if field == "event":
                    name = value
                elif field == "data":
                    yield name, json.loads(value)

    def _send(self, method: str, path: str, data: bytes | None, kind: str, timeout: float) -> bytes:
        with self._asked(method, path, data, kind, timeout) as response:
            answer = response.read(_REPLY_BYTES_MAX)
        if response.status >= _ERRORS_FROM:
            raise _refusal(response.status, answer)
        return answer

    @contextmanager
    def _asked(
        self, method: str, path: str, data: bytes | None, kind: str, timeout: float
    ) -> Iterator[HTTPResponse]:
        connection = HTTPConnection(self.host, self.port, timeout=timeout)
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": kind}
        try:
            connection.request(method, path, body=data, headers=headers)
            yield connection.getresponse()
        except (OSError, HTTPException) as error:
            raise NotRunning(
                f"the node at {self.host}:{self.port} does not answer: {error}",
                hint="start it: timmy run",
            ) from error
        finally:
            connection.close()


def _refusal(status: int, answer: bytes) -> NodeSaid:
    try:
        said = json.loads(answer)
        return NodeSaid(str(said["error"]), hint=said.get("hint"))
    except (ValueError, KeyError, TypeError):
        return NodeSaid(f"the node answered with status {status}")


def refresh(home: Home) -> None:
    """Have a running node release a head that covers everything."""
    try:
        Client.find(home).call("GET", "/v1/head")
    except (NotRunning, NodeSaid):
        return


def architecture_of(client: Client) -> tuple[str, dict[str, bytes]]:
    """Return root and files of the node's architecture, of those that a routine patch may change.

    Raises NodeSaid or NotRunning.
    """
    found = client.call("GET", "/v1/architecture/files")
    return found["root"], {
        at: one["text"].encode() for at, one in found["files"].items() if one["class"] != "reducer"
    }


def path(*parts: object, **query: object) -> str:
    """Build a path and query with everything quoted."""
    joined = "/" + "/".join(quote(str(part), safe="") for part in parts)
    given = {key: value for key, value in query.items() if value is not None}
    return f"{joined}?{urlencode(given)}" if given else joined
