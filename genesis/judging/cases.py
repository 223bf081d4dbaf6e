"""Consensus-critical: the gates of the protocol, each a case drawn from a seed.

What is asked is the protocol (docs/spec/agent-protocol.md) and the few rules without which an
agent is not this agent: it says what the model said, it refers and does not copy, it remembers, it
keeps conversations apart, it goes on when something is refused. Not covered: whether it is clever;
style, prompts and plans are free.
"""

from typing import Final

from genesis.judging.scenes import (
    Case,
    Played,
    Scene,
    answered,
    avoids,
    every,
    quotes,
    refers,
)
from runtime.core.limits import TURN_STEPS_MAX

LONG_WORDS: Final = 2_000
MANY_EVENTS: Final = 160
LIVES: Final = 31
"""Processes in which a choice between two, made anew by each, falls alike once in 2^30 times."""


def _handshake(scene: Scene) -> Case:
    """Ready, pong, a clean stop: what the player demands of every case, here with nothing else."""
    scene.exchange(scene.stream())
    return scene.case("handshake", lambda _: None)


def _answer(scene: Scene) -> Case:
    """One message of drawn words, and one of plain ones: words that are drawn tell a judge."""
    message, plain = scene.message(scene.stream()), scene.ordinary(scene.stream())
    return scene.case("answer", answered(message, plain), [message], [plain])


def _identity(scene: Scene) -> Case:
    message = scene.message(scene.stream())

    def check(played: Played) -> str | None:
        system = [
            i["text"] for i in played.prompts(message)[-1] if i["role"] == "system" and "text" in i
        ]
        return (
            None
            if any(scene.identity.soul.strip() in text for text in system)
            else "no prompt says who it is"
        )

    return scene.case("identity", every(answered(message), check), [message])


def _references(scene: Scene) -> Case:
    stream = scene.stream()
    scene.exchange(stream)
    first, second = scene.message(stream), scene.message(stream)
    words = [event.content["text"] for event in scene.events if event.content]
    replies = [message.last for message in (first, second)]
    check = every(answered(first, second), quotes([*words, *replies]))
    return scene.case("references", check, [first], [second])


def _history(scene: Scene) -> Case:
    stream = scene.stream()
    earlier = [event for _ in range(3) for event in scene.exchange(stream)]
    message = scene.message(stream)
    check = every(answered(message), refers(message, earlier[-4:]))
    return scene.case("history", check, [message])


def _isolation(scene: Scene) -> Case:
    """Another conversation lies right before and after: none of it is this one's business."""
    stream, other = scene.stream(), scene.stream()
    own = scene.exchange(stream)
    foreign = [*scene.exchange(other), *scene.exchange(other)]
    message = scene.message(stream)
    check = every(
        answered(message),
        refers(message, own),
        avoids(message, foreign, "another conversation is in the prompt"),
    )
    return scene.case("isolation", check, [message])


def _recall(scene: Scene) -> Case:
    """Long ago, in another conversation: only a search by the rare word finds it."""
    rare, stream = scene.draws.word(), scene.stream()
    told = scene.received(scene.stream(), f"{scene.draws.words(3)} {rare} {scene.draws.words(3)}")
    for _ in range(30):
        scene.exchange(stream)
    message = scene.message(stream, f"{scene.draws.words(2)} {rare}?")

    def check(played: Played) -> str | None:
        if told.position not in played.hits.get(message.position, []):
            return "it did not look for what was said before"
        found = told.position in played.refs(message)
        return None if found else "what was recalled is not in the prompt"

    return scene.case("recall", every(answered(message), check), [message])


def _erased(scene: Scene) -> Case:
    stream = scene.stream()
    gone = [scene.received(stream, None), scene.sent(stream, None)]
    kept = scene.exchange(stream)
    message = scene.message(stream)
    check = every(
        answered(message),
        refers(message, kept),
        avoids(message, gone, "it refers to erased words"),
    )
    return scene.case("erased", check, [message])


def _opaque(scene: Scene) -> Case:
    stream = scene.stream()
    kept = scene.exchange(stream)
    scene.event(f"{scene.draws.word()}.{scene.draws.word()}", stream, None, {"x": [1, {"y": None}]})
    scene.event("memory.noted", stream, None, {"kind": scene.draws.word(), "content": bytes(32)})
    scene.event(f"{scene.draws.word()}.happened", scene.stream(), scene.draws.words(4), {})
    message = scene.message(stream)
    return scene.case("opaque", every(answered(message), refers(message, kept)), [message])


def _refusal(scene: Scene) -> Case:
    """No search and, once, no model: the turn ends somehow, and the next one is answered."""
    stream = scene.stream()
    first = scene.message(stream, fails=TURN_STEPS_MAX)  # as often as it may ask at all
    second, third = scene.message(stream), scene.message(stream)
    check = answered(second, third)
    return scene.case("refusal", check, [first], [second], [third], search=False)


def _discipline(scene: Scene) -> Case:
    """The player refuses what is out of order in every case; here over several turns."""
    streams = [scene.stream(), scene.stream()]
    makers = (scene.message, scene.message, scene.ordinary, scene.ordinary)
    messages = [make(streams[n % 2]) for n, make in enumerate(makers)]
    return scene.case("discipline", answered(*messages), *[[message] for message in messages])


def _parallel(scene: Scene) -> Case:
    first, second, third = (scene.message(scene.stream()) for _ in range(3))
    check = answered(first, second, third)
    return scene.case("parallel", check, [first, second, third])


def _bounds(scene: Scene) -> Case:
    """More history than a prompt may refer to, and a message longer than a query may be."""
    stream = scene.stream()
    for _ in range(MANY_EVENTS // 2):
        scene.exchange(stream)
    message = scene.message(stream, scene.draws.words(LONG_WORDS))
    return scene.case("bounds", answered(message), [message])


def _determinism(scene: Scene) -> Case:
    """The same in every life. Each process has another hash seed, addresses and random bytes.

    Not covered: what goes by the clock, or is chosen otherwise once in thousands of lives.
    """
    stream = scene.stream()
    for _ in range(5):
        scene.exchange(stream)
    first, second = scene.message(stream), scene.message(stream, fails=1)

    def check(played: Played) -> str | None:
        return answered(first)(played)

    return scene.case("determinism", check, [first], [second], lives=LIVES)


PROTOCOL_MAKERS: Final = (
    *(_handshake, _answer, _identity, _references, _history, _isolation, _recall),
    *(_erased, _opaque, _refusal, _discipline, _parallel, _bounds, _determinism),
)
