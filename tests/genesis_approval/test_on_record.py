"""What one proposal's stream takes, and what is said when it is full: a real log, keys by name."""

from contextlib import suppress
from dataclasses import dataclass, replace
from types import SimpleNamespace

import pytest

from genesis.core.approval import Word
from genesis.core.architecture import ROUTINE
from genesis.core.granting import HOUR_MS, SKEW_MS, Rules
from genesis.core.trust import Builder, Kind
from genesis.core.verdict import Verdict, sign_envelope
from ledger.core import types
from ledger.core.errors import NotFound, Refused
from ledger.core.event import Draft
from ledger.log import Log
from node.agent import on_record
from node.agent.approval import ANSWERS_OF_KEY_MAX, PatchApproval
from node.agent.patching import Patching
from node.agent.travelling import (
    REPORTS_MAX,
    REPORTS_OF_APPROVER_MAX,
    Travelling,
    verdict_rows,
)
from node.identity.changes import EVENTS, Changes
from runtime.journal import Journal
from tests.runtime.world import new_log

from .world import (
    ACCEPT,
    APPROVERS,
    ASKED,
    INPUTS,
    KEY,
    PROPOSED,
    REJECT,
    RULES,
    UNSURE,
    answer,
    envelope,
    findings,
    public,
)

STREAM = b"\x51" * 16
NOW_MS = 2 * HOUR_MS
"""Of who puts answers on record: the newest event is an hour older."""


@dataclass
class Deciding:
    """Who decides, said and not read from a home."""

    found: Rules

    def rules(self):
        return self.found


class Place:
    """A log with one proposal, and what a node puts on record about it."""

    def __init__(self, rules=RULES, *, log: Log | None = None):
        self.log_ms = HOUR_MS
        self.log = log or new_log(clock=lambda: self.log_ms)
        journal = Journal(self.log)
        self.at = self.put(
            types.PATCH_PROPOSED.name, author="api", touches=[min(ROUTINE).value],
            sha256=PROPOSED.patch_sha256, base=PROPOSED.base, root=PROPOSED.root,
            seed_commitment=PROPOSED.commitment, document=bytes(32),
        )  # fmt: skip
        self.approval = PatchApproval(
            log=self.log, book=journal, deciders=Deciding(rules), clock=lambda: NOW_MS
        )
        # nothing here comes so far as to judge: no sandbox, no files and no key are needed for it
        rest = dict.fromkeys(("present", "release", "signer", "engine", "trials"))
        self.patching = Patching(log=self.log, book=journal, **rest)

    def put(self, name, **payload):
        if name != types.PATCH_PROPOSED.name:
            payload["patch"] = self.at
        [event] = self.log.append_now(Draft(type=name, stream=STREAM, payload=payload))
        return event.position

    @property
    def proposed(self):
        """As `world.PROPOSED`, of this log."""
        return replace(PROPOSED, ledger=self.log.ledger_id, patch=self.log.read(self.at).id)

    def inputs(self):
        """As `world.INPUTS`, judged at the head that this log has now."""
        return replace(INPUTS, head_size=self.log.size, head_root=self.log.tree.root())

    async def take(self, inputs, *by, passed=True, measured=0):
        travelling = Travelling(patching=self.patching, approval=self.approval)
        found = findings(inputs=inputs, passed=passed)
        verdict = Verdict(decision=found.decision, findings=found, measured={"n": measured})
        made = sign_envelope(verdict, [KEY[name] for name in by])
        return await travelling.take(self.at, made)

    def judged(self, found=ACCEPT, *by, words=True):
        said = {"decision": found.decision.value, "words": words}
        return self.put(types.PATCH_JUDGED.name, envelope=envelope(found, *by), **said)

    async def say(self, name, **more):
        made = answer(name, proposed=self.proposed, **more)
        payload = made.to_payload(self.at)
        self.log_ms = NOW_MS
        return await self.approval.answer(self.at, made.answer.word, payload, author="api")


@pytest.fixture
def place():
    made = Place()
    with made.log:
        yield made


@pytest.fixture
def of_fleet():
    """A place at which approvers decide, too, and one of the people."""
    made = Place(replace(APPROVERS, people=public("alice")))
    with made.log:
        yield made


async def test_a_stream_of_which_not_all_is_read_approves_nothing(place, monkeypatch):
    place.judged(REJECT)
    for _ in range(3):
        place.judged()
    await place.say("operator")
    assert place.approval.standing(place.at)["why"] == "rejected"
    # by the newest four alone, of which none rejects, it would be granted
    monkeypatch.setattr(on_record, "STREAM_EVENTS_MAX", 4)
    for ask in (place.approval.granted, place.approval.question, place.approval.standing):
        with pytest.raises(Refused, match="not all of them are read"):
            ask(place.at)


async def test_a_proposal_is_judged_so_often_and_no_more(place):
    for _ in range(on_record.JUDGED_MAX):
        place.judged()
    with pytest.raises(Refused, match="was judged 64 times, at most 64"):
        await place.patching.judge(place.at)


async def test_what_is_open_no_more_is_not_judged(place):
    place.put(types.PATCH_WITHDRAWN.name, author="api")
    with pytest.raises(Refused, match="is withdrawn"):
        await place.patching.judge(place.at)
    with pytest.raises(NotFound):
        await place.patching.judge(0)


def test_what_is_exported_is_the_verdict_that_people_are_asked_about(place):
    """Of a constitutional change it is inconclusive, as that of a machine that was too busy."""
    travelling = Travelling(patching=place.patching, approval=place.approval)
    asked = place.judged(ASKED)
    put = {"envelope": UNSURE, "decision": "inconclusive", "words": True}
    place.put(types.PATCH_JUDGED.name, **put)
    proposal = place.log.read(place.at)
    assert travelling._judged(proposal, words=True).position == asked


async def test_what_was_judged_at_another_ledger_is_not_taken(place):
    """The same files, diff and seed commitment may be another ledger's: then its head is, too."""
    here = place.inputs()
    for elsewhere in (INPUTS, replace(here, head_root=bytes(32)), replace(here, head_size=1)):
        with pytest.raises(Refused, match="which this one of size 2 has not"):
            await place.take(elsewhere, "a1")
    for by in (("log",), ("log", "a1"), ("nostr", "a1")):
        with pytest.raises(Refused, match="is a key of this node"):
            await place.take(here, *by)
    event = await place.take(here, "a1")
    assert event.type == types.PATCH_REPORTED.name
    await place.take(replace(here, head_size=1, head_root=place.log.tree.root(1)), "a1")


async def test_a_verdict_that_this_version_cannot_read_is_passed_over(place):
    """As its approval passes it over; and who would say no, or send the proposal on, is not kept."""
    rules = place.approval.deciders.rules()
    travelling = Travelling(patching=place.patching, approval=place.approval)
    earlier = envelope(REJECT).replace(b"vnd.in-toto", b"vnd.of-then")
    for name in (types.PATCH_JUDGED.name, types.PATCH_REPORTED.name):
        place.put(name, envelope=earlier, decision="inconclusive", words=True)
    own = place.judged()
    taken = await place.take(place.inputs(), "a1")
    proposal = place.log.read(place.at)
    rows = verdict_rows(place.log, proposal, rules.judges)
    assert [row["position"] for row in rows] == [own, taken.position]
    assert rows[1]["against"] == own
    assert travelling._judged(proposal, words=True).position == own


async def test_a_rejection_from_elsewhere_with_an_own_key_is_not_an_own_one(place):
    place.judged()
    await place.say("operator")
    place.put(types.PATCH_REPORTED.name, envelope=envelope(REJECT), decision="reject")
    assert place.approval.granted(place.at).patch == place.at


async def test_each_key_has_room_of_its_own_and_the_last_of_it_is_for_a_no(of_fleet):
    place = of_fleet
    place.judged()
    for name in ("a1", "a2", "operator"):
        for nth in range(ANSWERS_OF_KEY_MAX - 1):
            await place.say(name, at_h=nth / 60)
        with pytest.raises(Refused, match=r"7 answers of .* are on record, at most 7"):
            await place.say(name, at_h=0.5)
        await place.say(name, word=Word.DISAPPROVE, at_h=0.5)
        with pytest.raises(Refused, match=r"8 answers of .* are on record, at most 8"):
            await place.say(name, word=Word.DISAPPROVE, at_h=0.6)
    await place.say("alice", word=Word.DISAPPROVE)
    assert len(place.approval.case(place.at).answers) == 3 * ANSWERS_OF_KEY_MAX + 1


async def test_strangers_verdicts_leave_room_for_approvers_and_theirs_for_a_rejection(of_fleet):
    place, here = of_fleet, of_fleet.inputs()
    for nth in range(REPORTS_MAX):
        await place.take(here, "stranger", measured=nth)
    with pytest.raises(Refused, match="16 verdicts of homes that approve nothing here"):
        await place.take(here, "stranger", measured=99)
    for nth in range(REPORTS_OF_APPROVER_MAX - 1):
        await place.take(here, "a1", measured=nth)
        # with a signature more it is no other verdict of the same approver
        with pytest.raises(Refused, match="this very verdict"):
            await place.take(here, "a1", "stranger", measured=nth)
    with pytest.raises(Refused, match="7 verdicts of this approver are on record, at most 7"):
        await place.take(here, "a1", measured=99)
    await place.take(here, "a1", passed=False)
    with pytest.raises(Refused, match="8 verdicts of this approver are on record, at most 8"):
        await place.take(here, "a1", passed=False, measured=1)
    await place.take(here, "a2", measured=99)


AHEAD_H = (NOW_MS + SKEW_MS) / HOUR_MS
"""The latest time that an answer may have."""


async def test_a_yes_that_is_dated_ahead_is_kept_so_that_it_never_counts(place):
    """Not handed in when its time has come either, over a no that is older than it says it is."""
    place.judged()
    late = AHEAD_H + 1 / HOUR_MS
    with pytest.raises(Refused, match="is dated 3600001 ms ahead, at most 3600000 allowed"):
        await place.say("operator", at_h=late)
    assert place.log.read(place.log.size - 1).type == types.PATCH_APPROVED.name
    await place.say("operator", at_h=2, word=Word.DISAPPROVE)
    place.log_ms = NOW_MS + SKEW_MS
    place.put("test.later")
    with pytest.raises(Refused, match="was dated ahead when it was put on record"):
        await place.say("operator", at_h=late)
    made = answer("operator", proposed=place.proposed, at_h=late)
    place.put(types.PATCH_APPROVED.name, **made.to_payload(place.at))  # as an older version would
    assert place.approval.standing(place.at)["why"] == "disapproved"
    assert len(place.approval.case(place.at).answers) == 1


async def test_nor_is_it_an_edge_of_the_trust_graph(place):
    late = AHEAD_H + 1 / HOUR_MS
    for at_h, word in ((late, Word.APPROVE), (2, Word.DISAPPROVE)):
        with suppress(Refused):
            await place.say("operator", at_h=at_h, word=word)
    place.log_ms = 2 * NOW_MS
    made = answer("operator", proposed=place.proposed, at_h=late)
    place.put(types.PATCH_APPROVED.name, **made.to_payload(place.at))
    keys = SimpleNamespace(genesis=SimpleNamespace(keys={"operator": made.key}))
    built = Builder.empty()
    instance = built.node(Kind.INSTANCE, "0", "it")
    changes = Changes(built, SimpleNamespace(log=place.log, lineage=keys))
    for event in place.log.events():
        if event.type in EVENTS:
            changes.add_event(event, instance)
    assert [one.how for one in built.graph().edges] == ["was offered", "said no to"]


async def test_a_yes_of_the_last_moment_is_not_dated_ahead(place):
    place.judged()
    await place.say("operator", at_h=AHEAD_H)
    assert place.approval.granted(place.at).approvers == tuple(public("operator"))


async def test_of_what_is_dated_ahead_so_much_is_kept_and_nothing_of_a_stranger_s(place):
    place.judged()
    for nth in range(1, ANSWERS_OF_KEY_MAX):
        for name, words in (("stranger", "nobody who decides"), ("operator", "ms ahead")):
            with pytest.raises(Refused, match=words):
                await place.say(name, at_h=AHEAD_H + nth)
    size = place.log.size
    for word in Word:
        with pytest.raises(Refused, match=r"7 answers of .* are on record"):
            await place.say("operator", at_h=99, word=word)
    assert place.log.size == size == 2 + 1 + ANSWERS_OF_KEY_MAX - 1
    await place.say("operator", word=Word.DISAPPROVE)  # and the last place is for a no that counts
    assert place.approval.standing(place.at)["why"] == "disapproved"


@pytest.mark.parametrize(("at_h", "counts"), [(2, True), (2 + 1 / HOUR_MS, False)])
async def test_what_was_put_on_record_ahead_of_its_time_never_counts(place, at_h, counts):
    """By an older version, or past the check: not now, and not when its time has come."""
    place.judged()
    made = answer("operator", proposed=place.proposed, at_h=at_h)
    place.put(types.PATCH_APPROVED.name, **made.to_payload(place.at))
    for hour in (1, 5):
        place.log_ms = hour * HOUR_MS
        place.put("test.later")
        standing = place.approval.standing(place.at)
        assert (standing["granted"], len(standing["answers"])) == (counts, counts)


async def test_an_answer_that_would_change_nothing_is_told_so(place):
    place.judged()
    await place.say("operator", at_h=0.5)
    no = {"word": Word.DISAPPROVE}
    with pytest.raises(Refused, match="the approve of the same key that stands is of 1800000"):
        await place.say("operator", at_h=0.4, **no)
    await place.say("operator", at_h=0.5, **no)  # of two at one time the no stands
    with pytest.raises(Refused, match="the disapprove of the same key that stands"):
        await place.say("operator", at_h=0.45)
    assert place.approval.standing(place.at)["why"] == "disapproved"
    await place.say("npub", at_h=0.1)  # another key has another time
    await place.say("operator", at_h=0.6)
    assert place.approval.granted(place.at).approvers == tuple(sorted(public("operator", "npub")))
