"""The morning report: what happened since the last one, in plain words, from counts alone.

Made without a model, so that it is there when no model is, and says what the ledger says: each
number is a difference of two counts that `runtime.core.tally` folded, and can be counted again.
"""

from collections.abc import Iterable, Mapping
from typing import Final

from runtime.core.tally import Alarm

_SKIPPED: Final = "job.skipped"
_TYPES: Final = {
    "message.received": "messages received",
    "message.sent": "answers sent",
    "memory.noted": "memories noted",
    _SKIPPED: "times that planned runs were skipped",
    "node.started": "starts of the node",
    "node.escalated": "alarms raised",
    "ledger.redacted": "redactions",
}
_GROUPS: Final = {
    "tally/turn/": "turns ended",
    "tally/job/": "runs of jobs ended",
    "tally/model/": "replies by",
    "tally/shared/": "runs of shared jobs left:",
}
_MIB: Final = 1024 * 1024


def make_report(
    *,
    title: str,
    before: Mapping[str, int],
    now: Mapping[str, int],
    alarms: Iterable[Alarm],
    failing: Iterable[str],
    machine: Mapping[str, int],
) -> str:
    """Return the report as Markdown. `failing`: a line for each job whose last run went wrong."""
    grown = {name: count - before.get(name, 0) for name, count in now.items()}
    lines = [f"# {title}", ""]
    lines += _since(grown)
    lines += ["", "## Needs a person", ""]
    lines += [f"- {alarm.trigger}, {alarm.subject}: event {alarm.position}" for alarm in alarms]
    lines += [f"- {line}" for line in failing]
    lines += ["- nothing"] if lines[-1] == "" else []
    return "\n".join([*lines, "", "## Machine", "", *_machine(machine), ""])


def _since(counts: Mapping[str, int]) -> list[str]:
    elsewhere = counts.get("tally/elsewhere", 0)
    shared = [count for name, count in counts.items() if name.startswith("tally/shared/")]
    skipped = max(0, counts.get(_SKIPPED, 0) - elsewhere - sum(shared))
    grown = {**counts, _SKIPPED: skipped}
    lines = [f"- {grown[name]} {about}" for name, about in _TYPES.items() if grown.get(name)]
    for prefix, about in _GROUPS.items():
        names = sorted(name for name in grown if name.startswith(prefix) and grown[name])
        lines += [f"- {grown[name]} {about} {name.removeprefix(prefix)}" for name in names]
    if elsewhere:
        lines.append(f"- {elsewhere} runs of shared jobs done by other members")
    if grown.get("tally/refused"):
        lines.append(f"- {grown['tally/refused']} steps refused to the agent")
    return lines or ["- nothing happened"]


def _machine(machine: Mapping[str, int]) -> list[str]:
    lines = []
    for name, about in (("disk", "disk"), ("memory", "memory"), ("swap", "swap space")):
        total = machine.get(f"{name}_bytes", 0)
        if total:
            free = machine.get(f"{name}_free_bytes", 0)
            lines.append(f"- {about}: {free // _MIB} of {total // _MIB} MiB free")
    if "load_milli" in machine:
        load = f"{machine['load_milli'] // 1000}.{machine['load_milli'] % 1000 // 10:02}"
        lines.append(f"- load: {load} on {machine.get('cores', 1)} cores")
    return lines or ["- nothing is known of it"]
