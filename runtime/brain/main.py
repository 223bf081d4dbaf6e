"""Loads a GGUF file with llama-cpp-python, and serves it in OpenAI's format, or measures it.

Started by `runtime.local_process` with its settings as JSON in TIMMY_BRAIN and one socket as file
descriptor 0: to serve, one that listens already; to measure, one to write lines of JSON to.

How a model is loaded is chosen for a machine of 2 GB:

- weights are mapped, not read, not locked, and *not repacked*: repacking copies them into memory in
  another order, which is a tenth faster and takes twice the memory. llama-cpp-python has no
  argument for it, so the default of the C library's parameters is changed;
- no logits but the last: an array for all of them takes 2 GB at 4096 tokens of a large vocabulary;
- a small batch, for the same reason.

The file is opened once, compared with the mark that `runtime.weights` gave it when its digest was
computed, and loaded by its descriptor, so that no other file comes in between. Where there is no
/proc it is loaded by its path: in bubblewrap that is a mount, which cannot be put elsewhere.

The server says no to pages of a browser: whatever has an Origin, or asks for another host than
this machine. Without that any page that the operator looks at could use the model (llama-cpp-python
allows every origin). One request is at work at a time; the others wait for it.
"""

import ctypes
import json
import os
import signal
import socket
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

_PR_SET_PDEATHSIG = 1
_HOSTS = ("127.0.0.1", "localhost", "[::1]")
_AT_ONCE_MAX = 64
"""Connections: each takes a descriptor, and one is at work."""
_GRACE_S = 2
_PROMPT_TOKENS = 128
_REPLY_TOKENS = 32
HEALTH = "/health"


def without_repacking() -> None:
    """Make llama.cpp use the weights as they lie in the file."""
    import llama_cpp
    import llama_cpp.llama_cpp as library

    default = library.llama_model_default_params

    def changed() -> Any:
        params = default()
        params.use_extra_bufts = False
        return params

    library.llama_model_default_params = changed
    llama_cpp.llama_model_default_params = changed


def application(settings: dict[str, Any]) -> Any:
    """Return llama-cpp-python's server, its model loaded, closed to pages of a browser."""
    from fastapi.middleware.cors import CORSMiddleware
    from llama_cpp.server.app import create_app
    from llama_cpp.server.settings import ModelSettings, ServerSettings

    app = create_app(
        # A request waits for the one before it; the default would cut that one off.
        server_settings=ServerSettings(interrupt_requests=False, disable_ping_events=True),
        model_settings=[
            ModelSettings(
                model=settings["path"],
                model_alias=settings["alias"],
                n_ctx=settings["context"],
                n_batch=settings["batch"],
                n_ubatch=settings["batch"],
                n_threads=settings["threads"],
                n_threads_batch=settings["threads"],
                use_mmap=True,
                use_mlock=False,
                logits_all=False,
                verbose=False,
            )
        ],
    )
    app.user_middleware = [one for one in app.user_middleware if one.cls is not CORSMiddleware]
    app.add_middleware(_NoPages)

    async def health() -> dict[str, str]:
        return {"status": "ok"}

    app.add_api_route(HEALTH, health)
    return app


class _NoPages:
    """ASGI middleware: refuses what comes from a page in a browser."""

    def __init__(self, app: Callable[..., Awaitable[None]]) -> None:
        self._app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http" and not _is_program(dict(scope["headers"])):
            start = {"type": "http.response.start", "status": 403, "headers": []}
            await send(start)
            await send({"type": "http.response.body", "body": b"not for pages of a browser\n"})
            return
        await self._app(scope, receive, send)


def _is_program(headers: dict[bytes, bytes]) -> bool:
    host = headers.get(b"host", b"").decode("latin-1")
    return b"origin" not in headers and host.rpartition(":")[0] in _HOSTS


def serve(settings: dict[str, Any], listening: socket.socket) -> None:
    """Serve until ended."""
    import uvicorn

    config = uvicorn.Config(
        application(settings),
        access_log=False,
        lifespan="off",
        limit_concurrency=_AT_ONCE_MAX,
        log_level="warning",
        loop="asyncio",
        timeout_graceful_shutdown=_GRACE_S,
        ws="none",
    )
    uvicorn.Server(config).run(sockets=[listening])


def measure(settings: dict[str, Any], out: socket.socket) -> None:
    """Load, read a prompt and say words, `runs` times over; tell each figure as it is known."""
    import resource

    from llama_cpp import Llama

    def tell(**figures: Any) -> None:
        out.sendall(json.dumps(figures).encode() + b"\n")

    began = time.perf_counter()
    model = Llama(
        settings["path"],
        n_ctx=settings["context"],
        n_batch=settings["batch"],
        n_ubatch=settings["batch"],
        n_threads=settings["threads"],
        n_threads_batch=settings["threads"],
        use_mlock=False,
        logits_all=False,
        verbose=False,
    )
    tell(load_s=time.perf_counter() - began)
    prompt = (model.tokenize(b"one two three four " * _PROMPT_TOKENS))[:_PROMPT_TOKENS]
    for _ in range(settings["runs"]):
        model.reset()
        began = time.perf_counter()
        model.eval(prompt)
        read = time.perf_counter()
        for _ in range(_REPLY_TOKENS):
            model.eval([model.sample(temp=0.0)])
        said = time.perf_counter()
        tell(prompt_s=(read - began) / len(prompt), reply_s=(said - read) / _REPLY_TOKENS)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    tell(peak_bytes=peak if sys.platform == "darwin" else peak * 1024)


def hold(path: str, mark: str) -> str:
    """Open the weights, and return the name to load them by. Ends the process if they differ."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)  # open for as long as the process lives
    is_ = os.fstat(descriptor)
    # Written as runtime.weights writes it: nothing of ours can be imported here.
    found = f"{is_.st_dev}:{is_.st_ino}:{is_.st_size}:{is_.st_mtime_ns}:{is_.st_ctime_ns}"
    if found != mark:
        sys.exit(f"the weights were changed after their digest was computed: {mark}, now {found}")
    held = f"/proc/self/fd/{descriptor}"
    return held if Path(held).exists() else path


def main() -> None:
    """Do what TIMMY_BRAIN says."""
    if sys.platform == "linux":  # it ends with the node, however that ends
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    settings = json.loads(os.environ.pop("TIMMY_BRAIN"))
    settings["path"] = hold(settings["path"], settings["mark"])
    without_repacking()
    channel = socket.socket(fileno=0)
    match settings["do"]:
        case "serve":
            serve(settings, channel)
        case "measure":
            measure(settings, channel)


if __name__ == "__main__":
    main()
