"""Consensus-critical: the measures that a proposal may ask to be judged by, and its effect.

    template-bytes      of the templates in the last prompt of a turn          less is better
    prompt-references   events that the last prompt of a turn refers to        less
    steps-per-turn      calls of a turn                                        less
    model-calls         requests to a model in a turn                          less
    recall-hits         of eight old events with the message's rare word, those in the prompt  more
    turn-time           microseconds of a turn, the model's reply at once      less

`evaluation` in the front matter begins with one of these names; with anything else it is words for
people. `expected` may begin with `less`, `more` or `same`, and `by N %`; else the measure's own
direction counts. What is counted is in the digest, since every judge finds it; time is not.

An effect that is not met is said, and decides nothing: a patch that does no harm may be adopted for
other reasons. Not covered: quality of answers, which no script can measure.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from genesis.core import limits, thresholds
from genesis.core.architecture import Architecture, PathClass
from genesis.core.draws import Draws
from genesis.core.judging.intervals import interval, median
from genesis.core.thresholds import parse_thresholds
from genesis.judging import program
from genesis.judging.player import Recording
from genesis.judging.scenes import Bounds, Case, Message, Played, Scene, answered
from runtime.core.protocol import EventFrame

LESS: Final = "less"
MORE: Final = "more"
SAME: Final = "same"
_SAME_PERCENT: Final = 5
"""What is called the same: less than anybody would notice."""
_PLANTED: Final = 8
"""Old events with the rare word: more than an agent asks a search for by default."""
_LIVES_MAX: Final = limits.MEASURED_CASES_MAX // limits.MEASURED_TURNS
_WANTED: Final = re.compile(r"\s*(less|more|same)\b(?: by (\d{1,3}) ?%)?", re.IGNORECASE)
_NAME: Final = re.compile(r"\s*([a-z]+(?:-[a-z]+)*)(?=[\s.,:;]|$)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """The effect that a proposal promises. An empty direction is the measure's own."""

    direction: str = ""
    percent: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """How a turn is measured. `counted`: every judge finds the same."""

    better: str
    of: Callable[[Case, Recording], list[int]]
    counted: bool = True


def measure_of(evaluation: str) -> str:
    """Return the measure that the words of `evaluation` begin with; empty for none."""
    found = _NAME.match(evaluation)
    return found[1] if found is not None and found[1] in MEASURES else ""


def wanted_of(expected: str) -> Wanted:
    """Return the effect that the words of `expected` begin with."""
    found = _WANTED.match(expected)
    if found is None:
        return Wanted()
    return Wanted(direction=found[1].lower(), percent=int(found[2] or 0))


def bounds_of(before: Architecture, after: Architecture) -> Bounds:
    """Return the bounds that a patch sets; those of a default node if it sets none."""
    data = after.get(thresholds.PATH)
    if data is None or data == before.get(thresholds.PATH):
        return Bounds()
    agent = parse_thresholds(data).values["agent"]
    return Bounds(steps_max=agent["steps_max"], replies_max=agent["iterations_max"])


def code_of(files: Architecture) -> dict[str, bytes]:
    """Return the files that run."""
    return {p: d for p, d in files.items() if files.class_of(p) is PathClass.AGENT_CODE}


def cases_of(key: bytes, setting: program.Setting, tries: int) -> list[Case]:
    """Draw the cases of a measure: a life of a dozen turns each, more lives for a later try."""
    lives = min(_LIVES_MAX, program.draws_of(tries))
    return [
        _case(Scene(Draws(key, f"measure/{n}"), setting.position, setting.ts_ms))
        for n in range(lives)
    ]


def _case(scene: Scene) -> Case:
    stream, other = scene.stream(), scene.stream()
    rare = [scene.draws.word() for _ in range(limits.MEASURED_TURNS)]
    for word in rare:
        for _ in range(_PLANTED):
            scene.received(other, f"{scene.draws.words(3)} {word}")
    for _ in range(limits.MEASURED_TURNS):
        scene.exchange(stream)
    messages = [scene.message(stream, f"{scene.draws.words(3)} {word}") for word in rare]
    return scene.case("measure", answered(*messages), *[[one] for one in messages])


def effect_of(
    name: str, pairs: Sequence[tuple[int, int]], wanted: Wanted, tries: int
) -> dict[str, Any]:
    """Return what was found, as the JSON of a verdict: medians, bounds, and whether it is met."""
    direction = wanted.direction or MEASURES[name].better
    found = interval([candidate - parent for parent, candidate in pairs], tries)
    before = median([parent for parent, _ in pairs]) if pairs else 0
    after = median([candidate for _, candidate in pairs]) if pairs else 0
    met = found is not None and _met(found, before, direction, wanted.percent)
    promised = f"{direction} by {wanted.percent} %" if wanted.percent else direction
    shown = "nothing could be told of it" if found is None else (
        f"the difference is {found[0]} to {found[1]}, the parent's median {before}"
    )  # fmt: skip
    return {
        "measure": name,
        "wanted": promised,
        "pairs": len(pairs),
        "parent": before,
        "candidate": after,
        "low": None if found is None else found[0],
        "high": None if found is None else found[1],
        "met": met,
        "said": f"{name}: expected {promised}, {'met' if met else 'not met'}: {shown}",
    }


def _met(found: tuple[int, int], before: int, direction: str, percent: int) -> bool:
    low, high = found
    if direction == LESS:
        return high < 0 and 100 * high <= -percent * before
    if direction == MORE:
        return low > 0 and 100 * low >= percent * before
    within = (percent or _SAME_PERCENT) * before
    return -within <= 100 * low and 100 * high <= within


# ---- the measures ------------------------------------------------------------------------------


def _by_turn(
    count: Callable[[Case, Played, Message], int],
) -> Callable[[Case, Recording], list[int]]:
    def of(case: Case, recording: Recording) -> list[int]:
        messages = (message for group in case.rounds for message in group)
        return [count(case, recording.played, message) for message in messages]

    return of


def _template_bytes(_case: Case, played: Played, message: Message) -> int:
    items = played.prompts(message)[-1:]
    return sum(len(item["text"].encode()) for one in items for item in one if "text" in item)


def _references(_case: Case, played: Played, message: Message) -> int:
    return sum(1 for items in played.prompts(message)[-1:] for item in items if "ref" in item)


def _steps(_case: Case, played: Played, message: Message) -> int:
    return len(played.calls[message.position])


def _model_calls(_case: Case, played: Played, message: Message) -> int:
    return sum(1 for call in played.calls[message.position] if call.op == "model")


def _recall_hits(case: Case, played: Played, message: Message) -> int:
    """How many old events with the rare word, the last one of the message, are in the prompt."""
    rare = _text(message.event).split()[-1]
    planted = {old.position for old in case.history if _text(old).split()[-1] == rare}
    named = {i["ref"] for items in played.prompts(message)[-1:] for i in items if "ref" in i}
    return len(named & planted)


def _text(event: EventFrame) -> str:
    return str((event.content or {}).get("text", " "))


def _turn_time(_case: Case, recording: Recording) -> list[int]:
    return list(recording.rounds_us)


MEASURES: Final = {
    "template-bytes": Measure(better=LESS, of=_by_turn(_template_bytes)),
    "prompt-references": Measure(better=LESS, of=_by_turn(_references)),
    "steps-per-turn": Measure(better=LESS, of=_by_turn(_steps)),
    "model-calls": Measure(better=LESS, of=_by_turn(_model_calls)),
    "recall-hits": Measure(better=MORE, of=_by_turn(_recall_hits)),
    "turn-time": Measure(better=LESS, of=_turn_time, counted=False),
}
