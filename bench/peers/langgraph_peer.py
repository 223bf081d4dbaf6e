"""PyPI langgraph with langgraph-checkpoint-sqlite: `langgraph_peer.py ROW FOLDER TURNS TEXTS`.

ROW is turn-MESSAGES: one thread of so many messages, made at once, then TURNS turns of a graph of
one node that answers without a model. Durability as the library's `from_conn_string` sets it.
"""

import json
import statistics
import sys
import time
from pathlib import Path

from langchain_core.messages import AIMessage, HumanMessage
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.graph import END, START, MessagesState, StateGraph


def said(number):
    return f"Remark {number}: shelf {number % 977} holds {number % 31} jars of plum jam."


def main(folder, count, turns):
    graph = StateGraph(MessagesState)
    graph.add_node("answer", lambda _: {"messages": [AIMessage("Noted.")]})
    graph.add_edge(START, "answer")
    graph.add_edge("answer", END)
    with SqliteSaver.from_conn_string(str(folder / "sessions.db")) as saver:
        app = graph.compile(checkpointer=saver)
        config = {"configurable": {"thread_id": "main"}}
        history = []
        for number in range(count // 2):
            history += [HumanMessage(said(number)), AIMessage("Noted.")]
        app.update_state(config, {"messages": history}, as_node="answer")
        warm, times = (5 if turns > 20 else 1), []
        for number in range(warm + turns):
            if number == warm:
                busy = time.process_time()
            begin = time.perf_counter()
            app.invoke({"messages": [HumanMessage(said(count + number))]}, config)
            times.append(time.perf_counter() - begin)
    busy = time.process_time() - busy
    times = sorted(times[warm:])
    last = times[min(len(times) - 1, len(times) * 99 // 100)]
    found = {"value": statistics.median(times) * 1000, "p99": last * 1000}
    print(json.dumps(found | {"count": turns, "cpu": busy}))


if __name__ == "__main__":
    main(Path(sys.argv[2]), int(sys.argv[1].rpartition("-")[2]), int(sys.argv[3]))
