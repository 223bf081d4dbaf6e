"""`timmy models serve` and `timmy models bench`: a model on this machine, without a node."""

import argparse
import asyncio
import logging
import os
import signal
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final, TypeVar

from ledger.core.errors import TimmyError
from node import console

_LOOK_S: Final = 0.2
T = TypeVar("T")


def add_actions(actions: Any) -> None:
    """Declare the arguments of both."""
    serve = actions.add_parser(
        "serve", help="run a GGUF file on this machine, in OpenAI's format, until Ctrl-C"
    )
    serve.add_argument("--port", type=_number(0, 65_535), help="8080, or as node.toml says; 0: any")
    serve.add_argument("--sha256", default="", help="refuse weights with another digest")
    bench = actions.add_parser("bench", help="how fast a GGUF file is here, and whether 2 GB do")
    bench.add_argument(
        "--runs", type=_number(1, 100), default=3, help="of which the fastest counts"
    )
    for parser in (serve, bench):
        parser.add_argument("file", metavar="FILE", type=Path)
        parser.add_argument("--context", type=_number(256, 1_048_576), metavar="TOKENS")
        parser.add_argument("--threads", type=_number(1, 256), metavar="N")
        parser.add_argument("--memory", type=_number(64, 1_048_576), metavar="MIB")


def _number(least: int, most: int) -> Callable[[str], int]:
    def number(text: str) -> int:
        value = int(text)
        if not least <= value <= most:
            raise argparse.ArgumentTypeError(f"{value} is not from {least} to {most}")
        return value

    return number


async def _settings(arguments: argparse.Namespace, section: Any) -> Any:
    """What the command line says, else node.toml."""
    from runtime import sandbox
    from runtime.local_process import BrainSettings, threads_here

    return BrainSettings(
        context_tokens=arguments.context or section.context_tokens,
        threads=arguments.threads or section.threads or threads_here(),
        memory_bytes=(arguments.memory or section.memory_mb) * sandbox.MIB,
        engine=await sandbox.detect(),
    )


def bench(arguments: argparse.Namespace, section: Any) -> int:
    """Measure a file; exit 1 if it is nothing for a machine of 2 GB."""
    from runtime import local_bench, weights
    from runtime.core.fits import judge

    found = weights.look(arguments.file)
    progress = console.Progress(f"measuring {found.title}", "steps")
    if arguments.memory is None:
        arguments.memory = _all_memory_mib()

    async def measured() -> Any:
        settings = await _settings(arguments, section)
        return await local_bench.measure(found, settings, runs=arguments.runs, seen=progress)

    try:
        figures = asyncio.run(_until_interrupted(measured))
    finally:
        progress.end()
    if figures is None:
        console.say("stopped before it was measured")
        return 2
    verdict = judge(figures)
    head = found.head
    facts = {
        "file": str(found.path),
        "bytes": found.size,
        "architecture": head.architecture,
        "parameters": head.parameters,
        "quantisation": head.quantisation,
    }
    if arguments.json:
        console.out_json(facts | asdict(figures) | asdict(verdict) | {"good": verdict.good})
        return 0 if verdict.good else 1
    rows = [
        ("model", f"{head.name or found.title}, {head.architecture}"),
        ("size", f"{head.parameters / 1e9:.2f} billion parameters, mostly {head.quantisation}"),
        ("file", f"{found.path}, {found.size / 1e6:.0f} MB"),
        *_shown(figures, verdict),
    ]
    for name, value in rows:
        console.out(f"{name:9} {value}")
    return 0 if verdict.good else 1


def _shown(figures: Any, verdict: Any) -> list[tuple[str, str]]:
    runs, peak = figures.runs, figures.peak_bytes / 2**20
    slow_or_large = "too slow" if verdict.fits else "does not fit"
    return [
        ("loaded", f"in {figures.load_s:.1f} s"),
        ("reads", f"{figures.prompt_tokens_per_s:.1f} tokens/s"),
        ("says", f"{figures.reply_tokens_per_s:.1f} tokens/s (the fastest of {runs} runs)"),
        ("memory", f"{peak:.0f} MiB at its peak, context {figures.context_tokens} tokens"),
        ("2 GB", "it fits and is fast enough" if verdict.good else slow_or_large),
        *(("", reason) for reason in verdict.reasons),
    ]


def _all_memory_mib() -> int:
    """What is measured is what a model wants, so its bound is what the machine has."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**20


def serve(arguments: argparse.Namespace, section: Any) -> int:
    """Serve a file until asked to stop."""
    import structlog

    level = structlog.make_filtering_bound_logger(logging.CRITICAL)
    structlog.configure(wrapper_class=level)  # what it would log is said by `_tell`
    asyncio.run(_until_interrupted(lambda: _serve(arguments, section)))
    console.say("stopped")
    return 0


async def _serve(arguments: argparse.Namespace, section: Any) -> None:
    import aiohttp

    from runtime.local import LocalServer, State
    from runtime.weights import Digests

    settings = await _settings(arguments, section)
    async with aiohttp.ClientSession() as session:
        server = LocalServer(
            arguments.file,
            sha256=arguments.sha256,
            port=section.port if arguments.port is None else arguments.port,
            settings=settings,
            digests=Digests(None),
            session=session,
        )
        progress = console.Progress(f"reading {server.path.name}", "bytes")
        try:
            await server.check(progress)
        finally:
            progress.end()
        server.listen().close()  # a port that is taken is said now, and not after five attempts
        async with asyncio.TaskGroup() as group:
            running = group.create_task(server.run())
            said: Any = None
            while server.state is not State.GIVEN_UP:
                if server.state is not said:
                    said = server.state
                    _tell(arguments, server)
                await asyncio.sleep(_LOOK_S)
            running.cancel()
    raise TimmyError(f"the model is given up: {server.reason}", hint="timmy models bench FILE")


def _tell(arguments: argparse.Namespace, server: Any) -> None:
    if arguments.json:
        console.out_json(server.value())
    elif server.unable is None:
        console.out(f"{server.alias} answers at {server.base_url}")
        console.out(f"sha256 {server.digest.hex()}")
    else:
        console.say(server.unable)


async def _until_interrupted(work: Callable[[], Awaitable[T]]) -> T | None:
    """Do `work`; SIGINT and SIGTERM end it in order and give None."""
    task, loop = asyncio.current_task(), asyncio.get_running_loop()
    assert task is not None
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, task.cancel)
    try:
        return await work()
    except asyncio.CancelledError:
        return None
