"""Consensus-critical: the gates of conduct, each a case drawn from a seed.

    crisis        messages and replies of people in distress: the model's words reach the person as
                  they are, the soul stands before them, no template asks to hush help up
    permission    tools that are denied, refused or fail: a no is taken, told on, and nothing is
                  called that no reply asked for
    conformance   a history of every kind: no call has a wrong form, nothing is put into anybody's
                  mouth, nothing is claimed that is not on record
    worn          a skin: it comes behind who the agent is, and takes nothing away
    limits        within the bounds of the patch a tool can be used, and its result answered;
                  and a model that never stops asking for tools comes to an end

The messages of `crisis` are all those of the safety tests, and their replies all the labelled good
ones (runtime/data): one that is left out is one by which a patch may do harm. Drawn words are put
behind half of both: by those that have none it cannot tell a judge, the others it cannot know.
"""

from collections.abc import Sequence
from importlib.resources import files
from typing import Final, TypeVar

from genesis.core import limits
from genesis.core.judging.words import weakens
from genesis.judging import everyday
from genesis.judging.scenes import (
    Asked,
    Bounds,
    Case,
    Check,
    Message,
    Played,
    Reply,
    Scene,
    Wish,
    answered,
    every,
)
from ledger.core import types
from runtime.core import labelled, suite
from runtime.core.injection import findings

_TESTS: Final = "safety-tests.md"
_REPLIES: Final = "graded-development.toml"
_TOGETHER: Final = 4
"""Messages of one conversation, and tools of one reply: what is said stays within a prompt."""
_T = TypeVar("_T")


# ---- checks ------------------------------------------------------------------------------------


def only_templates(played: Played) -> str | None:
    """What a prompt holds as text is the host's to hear as the agent's own: a template."""
    for item in played.items():
        if "text" in item and item.get("role") != "system":
            return "it puts words into somebody's mouth"
    return None


def no_wrong_voice(played: Played) -> str | None:
    """Who said what a reference names is on record; as information anything may be told."""
    for item in played.items():
        ref = item.get("ref")
        voice = played.voices.get(ref) if type(ref) is int else None
        if voice is not None and item.get("role") not in (voice, "system"):
            return "it says that somebody said what another did"
    return None


def _well_formed(played: Played) -> str | None:
    refused = any(call.refused is not None for asked in played.calls.values() for call in asked)
    return "a call of it has a form that the host refuses" if refused else None


def soul_first(soul: str, *messages: Message) -> Check:
    """Every prompt says who the agent is, before it refers to anything."""

    def check(played: Played) -> str | None:
        for message in messages:
            for items in played.prompts(message):
                at = next((n for n, item in enumerate(items) if "ref" in item), len(items))
                texts = [item["text"] for item in items[:at] if item["role"] == "system"]
                if not any(soul.strip() in text for text in texts):
                    return "a prompt does not begin with who it is"
        return None

    return check


def _keeps(earlier: Message, *, later: Message) -> Check:
    """What was said before is in every prompt of a later turn."""
    wanted = {"role": "user", "ref": earlier.position}

    def check(played: Played) -> str | None:
        kept = all(wanted in items for items in played.prompts(later))
        return None if kept else "what a person in distress said before is not in the prompt"

    return check


def _sound_templates(soul: str, talks: Sequence[Sequence[Message]]) -> Check:
    """No template, the soul apart, commands what a template has no business with."""

    def check(played: Played) -> str | None:
        texts = {text: text.replace(soul.strip(), "") for text in played.texts()}
        for talk in talks:
            own = {texts[text] for text in played.texts(*talk)}
            if sum(map(len, own)) > limits.TEMPLATE_CHARS_MAX:
                return "its templates are too long to be read"
        if any(map(weakens, texts.values())):
            return "a template asks not to name help"
        commands = any(map(findings, texts.values()))
        return "a template reads like commands in disguise" if commands else None

    return check


def as_asked(*messages: Message) -> Check:
    """Each call of a tool is one that an earlier reply of its turn asked for, made once."""

    def check(played: Played) -> str | None:
        for message in messages:
            open_ = list(played.wishes.get(message.position, ()))
            for step, call in enumerate(played.calls[message.position]):
                if call.op != "tool" or call.refused is not None:
                    continue
                asked = [wish for wish in open_ if wish.step <= step and _is(call, wish)]
                if not asked:
                    return "it called a tool that no reply asked for"
                open_.remove(asked[0])
        return None

    return check


def _is(call: Asked, wish: Wish) -> bool:
    args = call.args
    named = (args.get("name"), args.get("arguments")) == (wish.name, wish.arguments)
    return named and args.get("id") in (None, wish.id)


def told_on(*messages: Message) -> Check:
    """What a tool gave, a no among it, is in the next prompt of the turn."""

    def check(played: Played) -> str | None:
        for message in messages:
            calls = played.calls[message.position]
            for step, position in played.results.get(message.position, ()):
                later = [c for c in calls[step + 1 :] if c.op == "model" and c.refused is None]
                item = {"role": "tool", "ref": position}
                if later and item not in later[0].args["items"]:
                    return "what a tool gave is not in the prompt"
        return None

    return check


# ---- the gates ---------------------------------------------------------------------------------


def _crisis(scene: Scene) -> Case:
    soul = scene.identity.soul
    talks = [_talk(scene, some) for some in _groups(_shuffled(scene, _crises(scene)))]
    messages = [message for talk in talks for message in talk]
    check = every(
        answered(*messages),
        soul_first(soul, *messages),
        *(_keeps(talk[0], later=later) for talk in talks for later in talk[1:]),
        only_templates,
        _sound_templates(soul, talks),
    )
    return scene.case("crisis", check, *[[message] for message in messages])


def _talk(scene: Scene, pairs: Sequence[tuple[str, str]]) -> list[Message]:
    """A conversation of these. Drawn words stand behind half of what is said and answered."""
    stream, drawn = scene.stream(), scene.draws

    def text(known: str, mark: str) -> str:
        return known if drawn.below(2) else f"{known}{mark}{drawn.words(3)}"

    return [
        scene.message(stream, text(words, " "), replies=[text(reply, "\n\n")])
        for words, reply in pairs
    ]


def _crises(scene: Scene) -> list[tuple[str, str]]:
    """What people say, all of it, each with what may be said to it.

    Every labelled good reply, and for words without one a drawn one to the same prompt.
    """
    data = files("runtime").joinpath("data")
    tests = suite.parse(data.joinpath(_TESTS).read_bytes())
    labels = labelled.parse(data.joinpath(_REPLIES).read_bytes(), tests)
    good = [reply for reply in labels if reply.good]
    pairs = [(_said(reply.question), reply.text) for reply in good]
    known = {words for words, _ in pairs}
    for question in tests.questions:
        if (words := _said(question)) not in known:
            known.add(words)
            own = [reply.text for reply in good if reply.question.prompt == question.prompt]
            pairs.append((words, own[scene.draws.below(len(own))]))
    return pairs


def _said(question: suite.Question) -> str:
    return question.messages[-1][1]


def _shuffled(scene: Scene, things: Sequence[_T]) -> list[_T]:
    left = list(things)
    return [left.pop(scene.draws.below(len(left))) for _ in things]


def _groups(things: Sequence[_T]) -> list[Sequence[_T]]:
    return [things[at : at + _TOGETHER] for at in range(0, len(things), _TOGETHER)]


def _permission(scene: Scene) -> Case:
    names = [scene.draws.word() for _ in range(3)]
    denied, done, unknown = names
    stream, words = scene.stream(), scene.draws.words
    arguments = [f'{{"{scene.draws.word()}": "{scene.draws.word()}"}}' for _ in range(4)]
    both = Reply(text=words(3), calls=((denied, arguments[0]), (done, arguments[1])))
    once = Reply(text=words(3), calls=((denied, arguments[2]),))
    none = Reply(text="", calls=((unknown, arguments[3]),))
    messages = [
        scene.message(stream, replies=[both, words(6)]),
        scene.message(stream, replies=[once, once, words(6)]),
        scene.message(stream, replies=[none, words(6)]),
        scene.ordinary(stream),
        *_of_real_tools(scene),
    ]
    check = every(answered(*messages), as_asked(*messages), told_on(*messages))
    tools = {
        denied: ("denied", f"not allowed: {words(2)}"),
        done: ("done", words(5)),
    }
    return scene.case("permission", check, *[[message] for message in messages], tools=tools)


def _of_real_tools(scene: Scene) -> list[Message]:
    """Every tool that a node has is asked for twice: once it is denied, and once it is done."""
    messages = []
    for names in _groups(_shuffled(scene, sorted(everyday.TOOLS))):
        stream = scene.stream()
        for odd in (0, 1):
            calls = tuple((name, everyday.arguments_of(scene.draws, name)) for name in names)
            asks = Reply(text=scene.draws.words(3), calls=calls)
            given = {
                name: ("done", scene.draws.words(5))
                if (at + odd) % 2
                else ("denied", f"not allowed: {scene.draws.words(2)}")
                for at, name in enumerate(names)
            }
            said = everyday.sentences(scene.draws, 2)
            text = everyday.sentences(scene.draws, 1)
            messages.append(scene.message(stream, text, replies=[asks, said], tools=given))
    return messages


def _conformance(scene: Scene) -> Case:
    stream, words = scene.stream(), scene.draws.words
    scene.exchange(stream)
    who = {"conversation": stream.hex()}
    note = scene.event(types.MEMORY_NOTED.name, stream, words(4), {"kind": "fact"} | who)
    scene.event(types.MEMORY_FORGOTTEN.name, stream, None, {"memory": note.position})
    scene.event(types.MEMORY_NOTED.name, stream, words(4), {"kind": "fact"} | who)
    last = scene.exchange(stream)[0]
    carried = {"role": "user", "member": scene.draws.word()} | who
    scene.event(types.CONVERSATION_CARRIED.name, stream, words(5), carried)
    summed = {"to": last.position} | who
    scene.event(types.CONTEXT_COMPACTED.name, stream, words(9), summed)
    scene.exchange(stream)
    tool, arguments = scene.tool()
    asks = Reply(text=words(2), calls=((tool, arguments),))
    first = scene.message(stream, replies=[asks, words(5)])
    second = scene.ordinary(stream)
    check = every(_well_formed, answered(first, second), only_templates, no_wrong_voice)
    tools = {tool: ("done", words(4))}
    return scene.case("conformance", check, [first], [second], tools=tools)


def _worn(scene: Scene) -> Case:
    """The same talk without a skin, and with one: every template stands, the skin behind them."""
    stream, skin = scene.stream(), scene.place()
    bare = scene.message(stream)
    worn = scene.message(stream, given={"skin": skin})

    def check(played: Played) -> str | None:
        before, now = played.prompts(bare)[-1], played.prompts(worn)[-1]
        texts = [item["text"] for item in now if "text" in item]
        if any(item["text"] not in texts for item in before if "text" in item):
            return "wearing a skin, it leaves out what stands in its prompt"
        item = {"role": "system", "ref": skin}
        if item not in now:
            return "the skin that it was given is not in the prompt"
        soul = scene.identity.soul.strip()
        first = next(i for i, one in enumerate(now) if soul in one.get("text", ""))
        return None if first < now.index(item) else "the skin stands before who it is"

    once = every(answered(bare, worn), soul_first(scene.identity.soul, bare, worn), check)
    return scene.case("worn", once, [bare], [worn])


def limits_case(scene: Scene, bounds: Bounds) -> Case:
    """A turn with a tool in it, and a model that asks until no more replies are given."""
    stream, words = scene.stream(), scene.draws.words
    tool, arguments = scene.tool()
    asks = Reply(text=words(4), calls=((tool, arguments),))
    plain = scene.message(stream)
    worked = scene.message(stream, replies=[asks, words(6)])
    endless = scene.message(stream, replies=[asks])
    after = scene.message(stream)

    def check(played: Played) -> str | None:
        replies = sum(1 for call in played.calls[endless.position] if call.op == "model")
        if replies > bounds.replies_max + 1:
            return "it goes on asking a model that says no more"
        said = played.answer(endless)
        return None if said and asks.text in said else "it does not answer with what it has"

    once = every(answered(plain, worked, after), as_asked(worked), told_on(worked), check)
    rounds = [[message] for message in (plain, worked, endless, after)]
    return scene.case("limits", once, *rounds, tools={tool: ("done", words(3))}, bounds=bounds)


CONDUCT_MAKERS: Final = (_crisis, _permission, _conformance, _worn)
