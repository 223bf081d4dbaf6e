"""Consensus-critical: the gate of replay: turns on record, told to the candidate once more.

The seed draws turns of the snapshot (`genesis.judging.past`). A subject is told the ledger up to
each, given its message, and gets the recorded replies and results; what it asks for is held against
the record. A change may make other prompts of it, but it must

    answer with what the model said, make the recorded calls of tools and no others, begin each
    prompt with who it is and end one with the message, and put nobody's words into another's mouth
    or into another conversation, unless a search found them

Behind them stands a drawn turn of the same form, for ledgers that have none yet. Transcripts of
this gate name places and no words.
"""

from collections.abc import Sequence

from genesis.core import limits
from genesis.judging.conduct import (
    as_asked,
    no_wrong_voice,
    only_templates,
    soul_first,
    told_on,
)
from genesis.judging.past import Retold, Snapshot
from genesis.judging.scenes import Case, Check, Message, Past, Played, Reply, Scene, answered, every


def replay_case(scene: Scene, snapshot: Snapshot, turns: Sequence[Retold]) -> Case:
    """Return the case of drawn turns. `turns`: those of the snapshot, oldest first."""
    chosen = _chosen(scene, turns)
    messages: list[Message] = []
    start = 0
    for turn in chosen:
        stop = snapshot.place(turn.message.position)
        messages.append(_message(snapshot, turn, snapshot.between(start, stop)))
        start = stop + 1
    (tool, arguments), stream = scene.tool(), scene.stream()
    asks = Reply(text=scene.draws.words(3), calls=((tool, "{}"), (tool, arguments)))
    drawn = scene.message(stream, replies=[asks, scene.draws.words(7)])
    everything = [*messages, drawn]
    talks = {at: talk for one in messages for at, talk in _talks(one).items()}
    check = every(
        answered(*everything),
        soul_first(scene.identity.soul, *everything),
        only_templates,
        no_wrong_voice,
        as_asked(*everything),
        told_on(*everything),
        _all_made(*everything),
        _own_talk(messages, talks),
    )
    return scene.case(
        "replay",
        check,
        *[[message] for message in everything],
        tools={tool: ("done", scene.draws.words(4))},
        past=Past(),
        wordless=True,
        start=len(snapshot.events),
    )


def _chosen(scene: Scene, turns: Sequence[Retold]) -> list[Retold]:
    left = list(turns)
    chosen = [
        left.pop(scene.draws.below(len(left))) for _ in range(min(limits.REPLAYED_TURNS, len(left)))
    ]
    return sorted(chosen, key=lambda turn: turn.message.position)


def _message(snapshot: Snapshot, turn: Retold, told: Past) -> Message:
    return Message(
        event=snapshot.frame(turn.message),
        replies=turn.replies,
        given=turn.given,
        told=told,
        results=turn.results,
    )


def _talks(message: Message) -> dict[int, str]:
    """Conversation of everything said that was told with a message, by position."""
    told = [] if message.told is None else list(message.told.said.values())
    spoken = [event for event in (*told, message.event) if "conversation" in event.payload]
    return {event.position: str(event.payload["conversation"]) for event in spoken}


def _all_made(*messages: Message) -> Check:
    """Every call that a reply asked for was made."""

    def check(played: Played) -> str | None:
        for message in messages:
            made = sum(
                1
                for call in played.calls[message.position]
                if call.op == "tool" and call.refused is None
            )
            if made != len(played.wishes.get(message.position, ())):
                return "it leaves out a call that is on record"
        return None

    return check


def _own_talk(messages: Sequence[Message], talks: dict[int, str]) -> Check:
    """What was said elsewhere is in a prompt only if a search found it."""

    def check(played: Played) -> str | None:
        for message in messages:
            own, found = talks[message.position], played.hits.get(message.position, [])
            for ref in played.refs(message):
                said = ref in played.voices and talks.get(ref, own) != own
                if said and ref not in found:
                    return "another conversation is in the prompt"
        return None

    return check
