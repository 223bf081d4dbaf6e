"""What people say to a proposal at a real node: by command, by file, by API; and what is none."""

import json
from dataclasses import replace

import pytest

from genesis.core.approval import Answer, Question, Word
from genesis.core.patch import PatchClass
from genesis.keys import keystore
from ledger.core.keys import Signer
from mesh.core.fleet.manifest import APPROVER, Manifest, Member, sign_manifest
from node.agent.approval import question_row
from node.fleet.files import FleetFiles
from node.open import now_ms
from tests.adoption.world import grant
from tests.node.test_node_patches import NEW, PROMPT, draft
from tests.node.test_node_verdicts import surely
from tests.node.world import PASSPHRASE, Home

STRANGER = Signer(b"\x42" * 32)


@pytest.fixture(scope="module")
def judged_seed(born_seed, tmp_path_factory):
    """A home in which a proposal was judged and accepted; its node was stopped."""
    home = born_seed.copy(tmp_path_factory.mktemp("judged") / "home")
    with home.running():
        made = home.run("--json", "patch", "propose", str(draft(home))).good().json
        surely(home, "judge", str(made["position"]))
    yield home, str(made["position"])
    home.end()


@pytest.fixture
def at(judged_seed):
    return judged_seed[1]


@pytest.fixture
def home(judged_seed, tmp_path):
    home = judged_seed[0].copy(tmp_path / "judged")
    yield home
    home.end()


@pytest.fixture
def node(home):
    with home.running() as node:
        yield node


def approval(node, at):
    return node.request("GET", f"/v1/patches/{at}/approval").json


def asked(node, at):
    row = approval(node, at)["question"]
    names = ("ledger", "patch", "root", "verdict")
    return Question(
        **{name: bytes.fromhex(row[name]) for name in names}, patch_class=PatchClass(row["class"])
    )


def ledger_of(home) -> bytes:
    return bytes.fromhex(home.guard.parent.name)


def operator(home):
    return keystore.unlock_operator(home.state / "operator", PASSPHRASE)


def hand_in(node, at, made, **more):
    body = {
        "position": int(at), "word": made.answer.word.value, "at_ms": made.answer.at_ms,
        "verdict": made.answer.question.verdict.hex(), "root": made.answer.question.root.hex(),
        "key": made.key.hex(), "signature": made.signature.hex(),
    }  # fmt: skip
    return node.request("POST", "/v1/patch/answer", body | more)


def signed(question, key, *, word=Word.APPROVE, at_ms=None):
    return Answer(question=question, word=word, at_ms=now_ms() if at_ms is None else at_ms).sign(
        key
    )


def test_the_operator_approves_and_takes_it_back(home, node, at):
    before = approval(node, at)
    assert (before["granted"], before["why"]) == (False, "unapproved")
    done = home.run("patch", "approve", at).good()
    assert "approved" in done.out
    assert asked(node, at).verdict.hex() in done.err  # what is signed was shown
    for shown in ("title     Be kind", "effect    not measured", "past      nothing of its past"):
        assert shown in done.err
    now = approval(node, at)
    assert now["granted"]
    assert now["approvers"] == [operator(home).public.hex()]
    assert now["answers"][0]["by"] == ["operator"]
    [event] = [row for row in node.log("patch.approved") if row["type"] == "patch.approved"]
    assert event["payload"]["patch"] == int(at)
    home.run("patch", "disapprove", at).good()
    assert approval(node, at)["why"] == "disapproved"
    # the yes of before, shown again by whoever read the ledger
    words = ("verdict", "root", "key", "signature", "at_ms")
    old = {name: event["payload"][name] for name in words}
    body = {"position": int(at), "word": "approve", **old}
    node.request("POST", "/v1/patch/answer", body).refused(400, "on record")
    assert approval(node, at)["why"] == "disapproved"
    home.run("patch", "approve", at).good()
    assert approval(node, at)["granted"]
    home.run("patch", "withdraw", at).good()
    assert approval(node, at)["why"] == "closed"


def test_it_stands_over_a_restart(home, at):
    with home.running():
        home.run("patch", "approve", at).good()
    with home.running() as node:
        assert approval(node, at)["granted"]


def test_signed_on_another_machine(home, node, at, tmp_path):
    """The operator's key is nowhere near the node: a question goes there, an answer comes back."""
    elsewhere = Home(tmp_path / "laptop")
    (home.state / "operator").rename(home.state / "gone")
    home.run("patch", "approve", at).refused("operator.keystore")
    question = tmp_path / "question.json"
    question.write_text(home.run("patch", "approve", at, "--print").good().out)
    given = tmp_path / "answer.json"
    made = elsewhere.run(
        "patch", "sign", str(question), "--keystore", str(home.state / "gone"), "-o", str(given)
    )
    assert made.good().err.count(asked(node, at).root.hex()) == 1
    assert "you see digests only" in made.err
    home.run("patch", "disapprove", at, "--signature", str(given)).refused("says approve")
    home.run("patch", "approve", at, "--signature", str(given)).good()
    assert approval(node, at)["granted"]
    value = json.loads(question.read_text())
    for name, wrong in (("root", "00" * 32), ("digest", "00" * 32), ("class", "x"), ("word", 1)):
        question.write_text(json.dumps({**value, name: wrong}))
        elsewhere.run(
            "patch", "sign", str(question), "--keystore", str(home.state / "gone")
        ).refused("is not what timmy patch approve --print")
    question.write_text("[" * 100_000)
    elsewhere.run("patch", "sign", str(question)).refused("is not what")


def test_who_signs_elsewhere_is_shown_what_the_question_stands_for(home, node, at, tmp_path):
    """From the bundle alone, and of no other proposal and no other verdict than is asked about."""
    elsewhere, question = Home(tmp_path / "laptop"), tmp_path / "question.json"
    question.write_text(home.run("patch", "approve", at, "--print").good().out)
    second = home.run("--json", "patch", "propose", str(draft(home, "second", title="Be kinder")))
    bundle, unjudged = tmp_path / "kind.patch", tmp_path / "kinder.patch"
    home.run("patch", "export", at, str(bundle)).good()
    home.run("patch", "export", str(second.good().json["position"]), str(unjudged)).good()

    def signed_with(file, key=("--keystore", str(home.state / "operator"))):
        return elsewhere.run("patch", "sign", str(question), "--bundle", str(file), *key)

    done = signed_with(bundle).good()
    assert json.loads(done.out)["key"] == operator(home).public.hex()
    for shown in ("title     Be kind\n", "effect    not measured", "past      nothing of its past"):
        assert shown in done.err
    assert f"+++ b/{PROMPT}\n" in done.err
    assert NEW in done.err
    assert "digests only" not in done.err
    signed_with(unjudged).refused("is not revealed")
    wrong = tmp_path / "wrong"
    wrong.write_bytes(bundle.read_bytes()[:-7])
    signed_with(wrong).refused()
    for changed in ({"verdict": bytes(32)}, {"patch": bytes(32)}, {"ledger": bytes(32)}):
        row = question_row(replace(asked(node, at), **changed)) | {"word": "approve"}
        question.write_text(json.dumps(row))
        signed_with(bundle).refused("of another proposal, or of another verdict")


def test_a_no_needs_no_verdict_that_speaks_for_it(home, tmp_path):
    """The judge is another one by now: what it found before is enough to say no to."""
    with home.running() as node:
        folder = draft(home, "second", title="Be kinder")
        at = str(home.run("--json", "patch", "propose", str(folder)).good().json["position"])
        home.run("patch", "disapprove", at).refused("nobody is asked", f"patch withdraw {at}")
    grant(home, int(at), evaluator=b"e" * 32)
    with home.running() as node:
        assert approval(node, at)["why"] == "unjudged"
        home.run("patch", "approve", at).refused("nothing to approve", f"timmy patch judge {at}")
        home.run("patch", "disapprove", at).good()
        assert approval(node, at)["answers"][-1]["word"] == "disapprove"
        surely(home, "judge", at)  # by the judge of now
        assert approval(node, at)["why"] == "disapproved"


def test_the_token_of_the_api_answers_nothing(home, node, at):
    question = asked(node, at)
    body = {"position": int(at), "word": "approve", "at_ms": now_ms()}
    bare = node.request("POST", "/v1/patch/answer", body)
    assert bare.status == 400, bare
    forged = signed(question, STRANGER)
    hand_in(node, at, forged).refused(400, "nobody who decides here")
    hand_in(node, at, forged, key=operator(home).public.hex()).refused(400, "signature")
    hand_in(node, at, forged, word="maybe").refused(400, "no such word")
    hand_in(node, at, forged, key="xyz").refused(400, "not hexadecimal")
    assert hand_in(node, at, signed(question, operator(home)), position=1).status in {400, 404}
    assert not approval(node, at)["answers"]
    assert approval(node, at)["why"] == "unapproved"
    tools = node.request("GET", "/v1/tools").json
    assert "patch_propose" in str(tools)  # what the agent can do, and what it has no tool for
    assert "approve" not in str(tools).replace("approved", "")


def test_no_key_of_the_node_approves(home, node, at):
    keys = keystore.unlock_agent(home.path, PASSPHRASE)
    for role in ("log", "nostr", "seal", "funding"):
        made = signed(asked(node, at), keys.signer(role))
        hand_in(node, at, made).refused(400, "is a key of this node")
    assert approval(node, at)["why"] == "unapproved"


def test_an_answer_to_something_else_is_none(home, node, at):
    question, key = asked(node, at), operator(home)
    for changed in (
        {"patch": bytes(32)},
        {"ledger": bytes(32)},
        {"patch_class": PatchClass.CONSTITUTIONAL},
    ):
        made = signed(replace(question, **changed), key)
        hand_in(node, at, made).refused(400, "signature")
    hand_in(node, at, signed(replace(question, root=bytes(32)), key)).refused(
        400, "about the architecture"
    )
    # signed over another digest it is taken, and counts for nothing
    other = signed(replace(question, verdict=bytes(32)), key)
    assert hand_in(node, at, other).status == 200
    assert approval(node, at)["why"] == "unapproved"
    # dated ahead it would begin to count when nobody thinks of it any more
    early = signed(question, key, at_ms=now_ms() + 7_200_000)
    hand_in(node, at, early).refused(400, "ms ahead")
    old = signed(question, key, at_ms=made.answer.at_ms - 1)
    hand_in(node, at, old).refused(400, "it would change nothing")
    assert approval(node, at)["why"] == "unapproved"


def test_without_a_verdict_there_is_nothing_to_approve(home, node):
    folder = draft(home, "second", title="Be kinder")
    at = str(home.run("--json", "patch", "propose", str(folder)).good().json["position"])
    home.run("patch", "approve", at).refused("nothing to approve", f"timmy patch judge {at}")
    home.run("patch", "approve", at, "--print").refused("nothing to approve")
    assert approval(node, at)["why"] == "unjudged"
    home.run("patch", "approve", "1").refused("no proposed patch")


def test_a_quorum_of_the_fleet_approves_in_the_operator_s_place(home, at, tmp_path):
    """Three approvers, the node among them: the other two decide, one of which judged it too."""
    others = [Home(tmp_path / name).configure() for name in ("bob", "carol")]
    for one in others:
        one.run("init").good()
    keys = [keystore.unlock_agent(one.path, PASSPHRASE).nostr for one in (home, *others)]
    members = tuple(
        Member(ledger=ledger_of(one), nostr=key.public, name=f"m{n}", roles=(APPROVER,))
        for n, (one, key) in enumerate(zip((home, *others), keys, strict=True))
    )
    signer = operator(home)
    members = tuple(sorted(members, key=lambda member: member.ledger))
    body = Manifest(number=0, previous=b"", operator=signer.public, members=members)
    FleetFiles(home.path / "fleet").put(sign_manifest(body, signer))
    bundle, verdict = tmp_path / "kind.patch", tmp_path / "bob.json"
    with home.running() as node:
        home.run("patch", "export", at, str(bundle)).good()
        question = tmp_path / "question.json"
        question.write_text(home.run("patch", "approve", at, "--print").good().out)
        assert approval(node, at)["needs"]["quorum"] == 2

        def says_yes(who, name):
            given = tmp_path / f"{name}.json"
            signing = ("patch", "sign", str(question), "--as-member", "-o", str(given))
            who.run(*signing).good()
            return home.run("patch", "approve", at, "--signature", str(given))

        says_yes(home, "itself").refused("is a key of this node")
        says_yes(others[0], "bob-says").good()
        assert approval(node, at)["text"] == "1 of 3 approvers say yes, 2 are needed"
        says_yes(others[1], "carol-says").good()
        assert "0 of them came to that verdict, 1 are needed" in approval(node, at)["text"]
        surely(others[0], "judge", "--bundle", str(bundle), "-o", str(verdict))
        home.run("patch", "take", str(verdict), "--on", at).good()
        found = approval(node, at)
        assert found["granted"], found
        assert found["approvers"] == sorted(key.public.hex() for key in keys[1:])
        home.run("patch", "disapprove", at).good()  # and the operator's no stands against them
        assert approval(node, at)["why"] == "disapproved"
