"""A fork's calls of tools are noted, with their arguments, and not made."""

import pytest

from genesis.forking.told import Retelling
from runtime.effects import RECORDED, Effect
from tests.runtime.world import bare, tree_of

from .world import lived

ANSWER = '    yield "answer", {"text": (yield from _ask(items)) or NO_WORDS}\n'
ARGUMENTS = '{"path": "notes/owl.txt", "text": "three owls"}'
CALLS = f"""\
    said = (yield from _ask(items)) or NO_WORDS
    came = yield "tool", {{"name": "write_file", "arguments": {ARGUMENTS!r}}}
    yield "answer", {{"text": said + " " + came["outcome"] + ": " + came["text"]}}
"""


@pytest.mark.parametrize("calls", [False, True], ids=["none", "one"])
async def test_what_a_told_turn_would_have_done_is_noted(tmp_path, calls):
    parent, candidate = tree_of(tmp_path / "parent"), tree_of(tmp_path / "candidate")
    loop = candidate / "loop.py"
    text = loop.read_text()
    assert text.count(ANSWER) == 1
    loop.write_text(text.replace(ANSWER, CALLS) if calls else text)
    async with lived(tmp_path / "life", said=("count the owls",)) as (world, session):
        before = list(world.log.records())
        retelling = Retelling(exported=session.export(), spawn=bare, turn_s=120)
        [turn] = await retelling.compare(parent, candidate, turns=1, seed=bytes(32))
        assert list(world.log.records()) == before
    assert (turn.parent.effects, turn.same) == ((), not calls)
    if not calls:
        assert turn.candidate.effects == ()
        return
    noted = Effect(step=2, tool="write_file", arguments=ARGUMENTS)
    assert turn.candidate.effects == (noted,)
    assert f"{RECORDED}: this is a fork" in turn.candidate.answer
    assert turn.what.startswith("step 2: ")
