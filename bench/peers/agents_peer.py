"""PyPI openai-agents: `python agents_peer.py ROW FOLDER TURNS TEXTS`.

ROW is turn-MESSAGES: a SQLiteSession of so many items. A turn reads them all and adds a message and
its answer, which is what its Runner does around a model with the default settings.
"""

import asyncio
import json
import statistics
import sys
import time
from pathlib import Path

from agents import SQLiteSession


def said(number):
    return f"Remark {number}: shelf {number % 977} holds {number % 31} jars of plum jam."


def exchange(number):
    return [
        {"role": "user", "content": said(number)},
        {"role": "assistant", "content": "Noted."},
    ]


async def main(folder, count, turns):
    session = SQLiteSession("main", str(folder / "sessions.db"))
    history = [item for number in range(count // 2) for item in exchange(number)]
    for start in range(0, len(history), 1000):
        await session.add_items(history[start : start + 1000])
    warm, times = (5 if turns > 20 else 1), []
    for number in range(warm + turns):
        if number == warm:
            busy = time.process_time()
        begin = time.perf_counter()
        await session.get_items()
        message, answer = exchange(count + number)
        await session.add_items([message])
        await session.add_items([answer])
        times.append(time.perf_counter() - begin)
    busy = time.process_time() - busy
    times = sorted(times[warm:])
    last = times[min(len(times) - 1, len(times) * 99 // 100)]
    found = {"value": statistics.median(times) * 1000, "p99": last * 1000}
    print(json.dumps(found | {"count": turns, "cpu": busy}))


if __name__ == "__main__":
    messages = int(sys.argv[1].rpartition("-")[2])
    asyncio.run(main(Path(sys.argv[2]), messages, int(sys.argv[3])))
