"""The patchable part on its own: views, prompts and one turn, without a process."""

from runtime.agent.loop import NO_WORDS, Refused, answer
from runtime.agent.memory import Memory


def event(position: int, kind: str, payload: dict, text: str | None) -> dict:
    content = None if text is None else {"text": text}
    return {"position": position, "type": kind, "payload": payload, "content": content}


def told(*rows: tuple) -> Memory:
    memory = Memory()
    for row in rows:
        memory.apply(event(*row))
    return memory


HOME = {"conversation": "home"}
ROWS = [
    (1, "message.received", HOME, "one"),
    (2, "message.received", HOME, "two"),
    (3, "message.sent", {**HOME, "message": 1}, "answer to one"),
    (4, "memory.noted", {"kind": "fact"}, "a note"),
    (5, "memory.noted", {"kind": "fact"}, None),
    (6, "unknown.kind", {}, None),
]


def play(turn, *came):
    """Send a turn what came for each call; return what it asked for."""
    asked = [next(turn)]
    for value in came:
        try:
            asked.append(turn.throw(value) if isinstance(value, Exception) else turn.send(value))
        except StopIteration:
            break
    return asked


def test_a_turn_recalls_asks_and_answers():
    turn = answer(2, memory=told(*ROWS), name="Timmy", soul="Be kind.", given={})
    hits = {"hits": [{"position": 9}, {"position": 1}]}
    recall, model, said = play(turn, hits, {"text": " hello "})
    assert recall == ("recall", {"query": "two", "limit": 6})
    refs = [item["ref"] for item in model[1]["items"] if "ref" in item]
    assert refs == [9, 1, 3, 2]
    assert model[1]["items"][0] == {"role": "system", "text": "Be kind."}
    assert said == ("answer", {"text": "hello"})


def test_a_turn_sees_the_same_whatever_came_later():
    later = [
        (7, "message.received", HOME, "three"),
        (8, "message.sent", {**HOME, "message": 7}, "answer to three"),
        (9, "memory.noted", {"kind": "fact"}, "newer note"),
        (10, "turn.finished", {"message": 7}, None),
    ]
    asked = [
        play(
            answer(2, memory=told(*rows), name="T", soul="", given={}), {"hits": []}, {"text": "x"}
        )
        for rows in (ROWS, [*ROWS, *later])
    ]
    assert asked[0] == asked[1]


def test_a_message_without_words_ends_the_turn():
    turn = answer(1, memory=told((1, "message.received", HOME, None)), name="T", soul="", given={})
    assert play(turn, {}) == [("fail", {"reason": "no_words"})]


def test_refusals_do_not_end_a_turn():
    turn = answer(1, memory=told(*ROWS), name="T", soul="", given={})
    asked = play(turn, Refused("no index"), Refused("no model"))
    assert [op for op, _ in asked] == ["recall", "model", "answer"]
    assert asked[-1][1] == {"text": NO_WORDS}


def test_the_agent_owns_its_past_whichever_model_answers_and_is_told_its_skills():
    given = {"skin": 30, "files": [31], "skills": 32}
    turn = answer(2, memory=told(*ROWS), name="Timmy", soul="Be kind.", given=given)
    _, model = play(turn, {"hits": []})
    items = model[1]["items"]
    [rules] = [item["text"] for item in items if "You are Timmy" in item.get("text", "")]
    assert "whichever of them answers now or did before, you are Timmy" in rules
    assert "{name}" not in rules
    refs = [item["ref"] for item in items if "ref" in item]
    assert refs[:3] == [30, 32, 31]
    before = items[items.index({"role": "system", "ref": 32}) - 1]["text"]
    assert "skill_read" in before
    asked = play(answer(2, memory=told(*ROWS), name="T", soul="", given={}), {"hits": []})
    assert not any("skill_read" in item.get("text", "") for item in asked[1][1]["items"])


def test_notes_of_another_project_stay_out_of_a_prompt():
    ours, theirs = b"a" * 16, b"b" * 16
    rows = [
        (1, "message.received", HOME, "one"),
        (2, "memory.noted", {"kind": "note"}, "of before there were projects"),
        (3, "memory.noted", {"kind": "note", "project": ours}, "ours"),
        (4, "memory.noted", {"kind": "decision", "by": "historian", "project": theirs}, "theirs"),
        (5, "message.received", HOME, "two"),
    ]
    memory = told(*rows)
    assert [note.position for note in memory.notes(5, 8, ours)] == [2, 3]
    assert [note.position for note in memory.notes(5, 8, theirs)] == [2, 4]
    assert [note.position for note in memory.notes(5, 8)] == [2, 3, 4], "work on no project"
    turn = answer(5, memory=memory, name="Timmy", soul="", given={"project": ours})
    _, model = play(turn, {"hits": []})
    assert [item["ref"] for item in model[1]["items"] if "ref" in item] == [2, 3, 1, 5]
