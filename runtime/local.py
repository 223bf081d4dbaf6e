"""A model on this machine, kept running: started, watched, started again, given up loudly.

A life of the server begins with a look at the weights (whole, and by their digest the ones asked
for), goes on with a free port, and is ready when the server answers. It ends when the process ends,
gives no sign of life for a while, takes more memory than it may, or its weights are no longer the
file whose digest was computed: the process compares what it opened, and this module looks again
when it is ready and each second after. Then follows a pause, doubled each time, and another life;
after several short lives in a row no more, until the node is started anew. What no second attempt
would mend is given up at once: weights that are not there or not the right ones, a model that
cannot fit.

Not covered: what is said in the seconds before a change is seen; a reply that never ends while the
server answers: the turn's own time is its bound.
"""

import asyncio
import os
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

import aiohttp
import structlog

from runtime import local_process
from runtime.child import Child
from runtime.core.errors import AgentError, InvalidWeights, LocalModelError
from runtime.local_process import BrainSettings, words_of_end
from runtime.sandbox import MIB, Engine
from runtime.weights import Digests, Progress, Weights, check_digest, look, unchanged

HOST: Final = "127.0.0.1"
_LOOK_S: Final = 0.2
_LOAD_S_MAX: Final = 300.0
"""A gigabyte from a slow disk takes a minute."""
_HEALTH_TIMEOUT_S: Final = 5.0

_log = structlog.get_logger(__name__)


class State(StrEnum):
    """How the server is."""

    STARTING = "starting"
    READY = "ready"
    RESTING = "resting"
    GIVEN_UP = "given up"


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """When a server is taken for dead, and how often it is tried again."""

    health_every_s: float = 5.0
    silent_s: float = 30.0
    """No answer for so long: it hangs. A prompt that is read leaves a core to others."""
    pause_s: float = 1.0
    pause_s_max: float = 60.0
    lives_max: int = 5
    """Short lives in a row."""
    steady_s: float = 600.0
    """A life that was ready for so long counts as a long one."""


class PortTaken(LocalModelError):
    """The server's port is in use."""


class _Ended(LocalModelError):
    """A life of the server is over; another one may help."""


class LocalServer:
    """One model of this machine. `run` it; `unable` says whether it can be asked."""

    def __init__(
        self,
        path: Path,
        *,
        sha256: str,
        port: int,
        settings: BrainSettings,
        digests: Digests,
        session: aiohttp.ClientSession,
        patience: Patience | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`sha256` "" takes any weights; `port` 0 any that is free. `session` is not closed."""
        self.path = path.expanduser().absolute()
        self.port = port
        self.settings = settings
        self.state = State.STARTING
        self.reason = ""
        self.lives = 0
        self.weights: Weights | None = None
        self.digest: bytes | None = None
        self._sha256 = sha256
        self._digests = digests
        self._session = session
        self._patience = patience or Patience()
        self._clock = clock
        self._short = 0
        self._child: Child | None = None
        self._peak = 0
        self._rests_until = 0.0

    @property
    def base_url(self) -> str:
        """Where it speaks OpenAI's format."""
        return f"http://{HOST}:{self.port}/v1"

    @property
    def alias(self) -> str:
        """What the server calls its model: the file's name, and the beginning of its digest."""
        digest = "" if self.digest is None else f":{self.digest.hex()[:12]}"
        return f"{self.path.stem[:64]}{digest}"

    @property
    def unable(self) -> str | None:
        """Why it cannot be asked now, or None."""
        match self.state:
            case State.READY:
                return None
            case State.STARTING:
                return "it is being loaded"
            case State.RESTING:
                left = max(0.0, self._rests_until - self._clock())
                return f"it ended and is started again in {left:.0f} s: {self.reason}"
            case State.GIVEN_UP:
                return f"given up: {self.reason}"

    def alarms(self) -> dict[tuple[str, str], str]:
        """What the heartbeat raises: the chain passes it over, so no failure of it is counted."""
        given_up = self.state is State.GIVEN_UP
        return {("failures", "model/local"): f"given up: {self.reason}"} if given_up else {}

    def value(self) -> dict[str, Any]:
        """What status tells."""
        child = self._child
        bound = None if child is None else ("cgroup" if child.counted else "watched")
        return {
            "state": self.state.value,
            "reason": self.reason,
            "file": str(self.path),
            "sha256": None if self.digest is None else self.digest.hex(),
            "url": self.base_url,
            "pid": None if child is None else child.pid,
            "lives": self.lives,
            "confined": self.settings.engine.value,
            "memory_bytes_max": self.settings.memory_bytes,
            "memory_bytes_peak": self._peak_now(),
            "memory_bound": bound,
        }

    async def check(self, progress: Progress = lambda *_: None) -> None:
        """Look at the weights, their digest and their size. Raises InvalidWeights, LocalModelError.

        `progress` is told from a thread how far a reading is.
        """
        local_process.packages()
        weights = await asyncio.to_thread(look, self.path)
        local_process.check_fits(weights, self.settings)
        digest = await asyncio.to_thread(self._digests.of, weights, progress)
        self.weights, self.digest = weights, digest
        check_digest(weights, digest, self._sha256)

    def listen(self) -> socket.socket:
        """Take the port. Raises PortTaken."""
        try:
            listening = socket.create_server((HOST, self.port))
        except OSError as error:
            why = os.strerror(error.errno or 0)
            raise PortTaken(
                f"the local model cannot listen on {HOST}:{self.port}: {why}",
                hint="stop what uses it, or set local.port in node.toml (port 0: any free)",
            ) from error
        self.port = listening.getsockname()[1]
        return listening

    async def run(self) -> None:
        """Keep it running until cancelled. Nothing is raised: the node lives without it."""
        while self.state is not State.GIVEN_UP:
            try:
                await self._life()
            except (_Ended, PortTaken, OSError) as error:
                await self._rest(error)
            except AgentError as error:
                self._give_up(error)
        await asyncio.Event().wait()

    async def _life(self) -> None:
        """One life; always ends by raising."""
        self.state = State.STARTING
        await self.check()
        weights = self.weights
        assert weights is not None
        child = await local_process.start(
            "serve", weights, self.settings, self.listen(), alias=self.alias
        )
        self._child, began = child, None
        self.lives += 1
        try:
            await self._until_ready(child)
            await self._check_same(weights)
            self.state, self.reason, began = State.READY, "", self._clock()
            _log.info("the local model is ready", url=self.base_url, sha256=self.digest_text)
            await self._keep(child, weights)
        finally:
            self._peak = self._peak_now() or self._peak
            self._child = None
            await child.end()
            if began is not None and self._clock() - began >= self._patience.steady_s:
                self._short = 0

    @property
    def digest_text(self) -> str:
        """The digest in hexadecimal, "" while it is not known."""
        return "" if self.digest is None else self.digest.hex()

    async def _until_ready(self, child: Child) -> None:
        deadline = self._clock() + _LOAD_S_MAX
        while not await self._healthy():
            if self._clock() > deadline:
                raise _Ended(f"it was not loaded in {_LOAD_S_MAX:.0f} s")
            await self._step(child, _LOOK_S)

    async def _keep(self, child: Child, weights: Weights) -> None:
        patience, heard = self._patience, self._clock()
        while self._clock() - heard < patience.silent_s:
            await self._step(child, min(1.0, patience.health_every_s))
            await self._check_same(weights)
            if self._clock() - heard >= patience.health_every_s and await self._healthy():
                heard = self._clock()
        raise _Ended(f"no sign of life for {patience.silent_s:.0f} s")

    async def _check_same(self, weights: Weights) -> None:
        """Raise _Ended if what runs may no longer be what the digest names."""
        if not await asyncio.to_thread(unchanged, weights):
            raise _Ended(f"{weights.path} was changed: no longer known to be {self.digest_text}")

    async def _step(self, child: Child, pause_s: float) -> None:
        """Wait a moment. Raises _Ended if the process ended or took too much meanwhile."""
        with suppress(TimeoutError):
            async with asyncio.timeout(pause_s):
                status = await child.wait()
                raise _Ended(words_of_end(child, status, self.settings))
        if not child.counted:
            taken = await asyncio.to_thread(local_process.resident_bytes, child.pid)
            self._peak = max(self._peak, taken)
            if taken > self.settings.memory_bytes:
                most = self.settings.memory_bytes // MIB
                raise _Ended(f"it took {taken // MIB} MiB, at most {most} MiB")

    async def _healthy(self) -> bool:
        try:
            async with self._session.get(
                f"http://{HOST}:{self.port}/health",
                timeout=aiohttp.ClientTimeout(total=_HEALTH_TIMEOUT_S),
            ) as response:
                return response.status == 200
        except (aiohttp.ClientError, TimeoutError, OSError):
            return False

    async def _rest(self, error: Exception) -> None:
        self._short += 1
        if self._short >= self._patience.lives_max:
            self._give_up(error)
            return
        pause_s = min(self._patience.pause_s * 2 ** (self._short - 1), self._patience.pause_s_max)
        self.state, self.reason = State.RESTING, str(error)
        self._rests_until = self._clock() + pause_s
        _log.warning("the local model ended", why=self.reason, again_in_s=pause_s)
        await asyncio.sleep(pause_s)

    def _give_up(self, error: Exception) -> None:
        self.state, self.reason = State.GIVEN_UP, str(error)
        _log.error(
            "THE LOCAL MODEL IS GIVEN UP until the node starts again",
            why=self.reason,
            hint=error.hint if isinstance(error, AgentError) else None,
            short_lives=self._short,
        )

    def _peak_now(self) -> int:
        counted = None if self._child is None else self._child.usage().memory_peak_bytes
        return max(self._peak, counted or 0)


__all__ = ["Engine", "InvalidWeights", "LocalServer", "Patience", "PortTaken", "State"]
