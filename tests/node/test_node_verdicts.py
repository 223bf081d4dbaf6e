"""A proposal that travels: judged by its home, judged by another from the file alone, compared."""

import base64
import json
import os
from dataclasses import replace

import pytest

from genesis.core.verdict import Decision, Outcome, Verdict, sign_envelope, verify_envelope
from genesis.keys import keystore
from ledger.core.bundle import Attachment, Header, Reader, Writer
from ledger.core.keys import Signer
from tests.node.test_node_patches import draft
from tests.node.world import PASSPHRASE, Home


def surely(home, *argv):
    """Judge until something is found out: a machine that is too busy is said to be so."""
    for _ in range(10):
        done = home.run("--json", "patch", *argv)
        if done.code != 1 or done.json["decision"] != "inconclusive":
            break
    return done.good().json


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("homes")


@pytest.fixture(scope="module")
def owner(place, lived_seed):
    """A home that proposed and judged, with and without words; its node still runs."""
    home = lived_seed.copy(place / "owner")
    with home.running() as node:
        folder = draft(home)
        made = home.run("--json", "patch", "propose", str(folder)).good().json
        at = str(made["position"])
        surely(home, "judge", at)
        surely(home, "judge", at, "--without-words")
        for name, more in (("with", ()), ("without", ("--without-words",))):
            home.run("patch", "export", at, str(place / f"{name}.patch"), *more).good()
        yield home, node, made
    home.end()


@pytest.fixture(scope="module")
def other(place):
    """Another agent on another machine, whose node never runs."""
    home = Home(place / "other").configure()
    home.run("init").good()
    return home


@pytest.fixture(scope="module")
def judged(other, owner, place):
    """What the other home found, and the file of it."""
    file = place / "theirs.json"
    return surely(other, "judge", "--bundle", str(place / "with.patch"), "-o", str(file)), file


def own_verdict(owner, *, words=True):
    _home, node, _made = owner
    rows = [row["payload"] for row in node.log("patch.judged")]
    return next(row for row in rows if row["words"] is words)


def test_two_homes_come_to_one_digest(owner, judged):
    found, file = judged
    assert found["digest"] == own_verdict(owner)["digest"]
    assert found["beside"] == {"comparable": True, "agree": True, "differences": []}
    assert found["decision"] == "accept"
    keys = [bytes.fromhex(key) for key in found["keys"]]
    signed = verify_envelope(file.read_bytes(), trusted=keys)
    assert set(signed.signers) == set(keys)  # its log key, and the one that a fleet knows it by


def test_and_without_anybody_s_words_to_another_one(owner, other, place):
    data = (place / "without.patch").read_bytes()
    assert b"marmalade" in (place / "with.patch").read_bytes()
    assert b"marmalade" not in data
    assert b"plainly and kindly" in data  # the proposal is what is judged
    file = str(place / "bare.json")
    found = surely(other, "judge", "--bundle", str(place / "without.patch"), "-o", file)
    assert found["digest"] == own_verdict(owner, words=False)["digest"]
    assert found["beside"]["agree"]


def test_any_verifier_reads_the_bundle_as_a_proof(other, owner, place):
    done = other.run("--json", "verify", str(place / "with.patch")).good().json
    assert done["verdict"] == "UNBROKEN-PENDING"
    told = other.run("--json", "patch", "verify", str(place / "with.patch")).good().json
    payload = owner[2]["payload"]
    for name in ("base", "root", "sha256"):
        assert told["proposal"][name] == payload[name]
    assert told["proposal"]["commitment"] == payload["seed_commitment"]
    [row] = told["verdicts"]
    assert row["owner"]
    assert row["digest"] == own_verdict(owner)["digest"]


def test_verdicts_are_taken_and_shown_beside_the_own_one(owner, other, judged, place):
    home, _node, made = owner
    found, file = judged
    at = str(made["position"])
    home.run("patch", "take", str(file), "--on", at).good()
    home.run("patch", "take", str(file), "--on", at).refused("on record")
    [own, bare, theirs] = home.run("--json", "patch", "verdicts", at).good().json
    assert own["own"]
    assert bare["own"]
    assert theirs["keys"] == sorted(found["keys"]) or set(theirs["keys"]) == set(found["keys"])
    assert theirs["type"] == "patch.reported"
    # the newest own verdict is that without words, at another head: it is held against the other
    assert theirs["against"] == own["position"]
    assert theirs["beside"]["agree"]
    whole = home.run("patch", "verdicts", at).good().out
    assert f"agrees    with this node's, {own['position']}" in whole
    assert f"signed {found['keys'][0][:16]}" in whole
    keys = ("--key", found["keys"][0])
    told = other.run("patch", "verify", str(place / "with.patch"), str(file), *keys).good().out
    assert "all that can be compared agree" in told
    # exported again, it travels with the proposal
    again = place / "again.patch"
    home.run("patch", "export", at, str(again)).good()
    rows = other.run("--json", "patch", "verify", str(again)).good().json["verdicts"]
    assert [row["digest"] for row in rows] == [found["digest"]] * 2


@pytest.fixture(scope="module")
def third(place):
    """A third home, and the file with what it says: one case came out otherwise there."""
    home = Home(place / "third").configure()
    home.run("init").good()
    return home, place / "otherwise.json"


def otherwise(home, envelope, file, decision=Decision.REJECT):
    """Sign with a home's own keys what another found, but for the outcome of its first gate."""
    keys = keystore.unlock_agent(home.path, PASSPHRASE)
    named = json.loads(envelope)["signatures"]
    trusted = [bytes.fromhex(one["keyid"]) for one in named]
    found = verify_envelope(envelope, trusted=trusted).verdict.findings
    first, *rest = found.gates
    changed = replace(found, gates=(replace(first, candidate=Outcome.FAIL), *rest))
    verdict = Verdict(decision=decision, findings=changed)
    file.write_bytes(sign_envelope(verdict, [keys.log, keys.nostr]))
    return first.name, verdict.digest.hex()


def test_a_home_that_disagrees_is_shown_with_the_gate_and_nothing_is_averaged(
    owner, other, judged, third, place
):
    """Two homes say accept and one says reject: that is no majority, and not good."""
    files = (str(place / "with.patch"), str(judged[1]), str(third[1]))
    gate, digest = otherwise(third[0], judged[1].read_bytes(), third[1])
    done = other.run("--json", "patch", "verify", *files)
    assert (done.code, done.json["good"]) == (1, False)
    own, theirs, liar = done.json["verdicts"]
    assert [row["decision"] for row in (own, theirs, liar)] == ["accept", "accept", "reject"]
    assert (liar["digest"], liar["against"], theirs["digest"]) == (
        digest,
        own["digest"],
        own["digest"],
    )
    assert theirs["beside"]["agree"]
    differ = {"what": f"gate {gate} candidate", "own": "pass", "other": "fail"}
    assert liar["beside"] == {"comparable": True, "agree": False, "differences": [differ]}
    done = other.run("patch", "verify", *files)
    assert done.code == 1, done
    said = f"disagrees with digest {own['digest'][:16]}\n          gate {gate} candidate: pass there, fail here\n"
    assert said in done.out
    assert done.out.endswith("they do not all hold, or agree\n")
    assert done.err == ""
    # in another order, with no bundle and the two keys named: they disagree all the same
    keys = [word for row in (theirs, liar) for word in ("--key", row["keys"][0])]
    done = other.run("--json", "patch", "verify", *files[:0:-1], *keys)
    assert (done.code, done.json["proposal"]) == (1, None)
    first, second = done.json["verdicts"]
    assert (first["known"], second["known"], second["against"]) == (True, True, digest)
    assert second["beside"]["differences"] == [differ | {"own": "fail", "other": "pass"}]


def test_one_that_found_nothing_out_hides_no_disagreement(other, judged, third, place):
    """The first file compares with nobody: those behind it are held against each other."""
    unsure, otherwise_ = place / "unsure.json", place / "two.json"
    envelope = judged[1].read_bytes()
    otherwise(third[0], envelope, unsure, Decision.INCONCLUSIVE)
    gate, _ = otherwise(third[0], envelope, otherwise_)
    argv = ("patch", "verify", str(unsure), str(judged[1]), str(otherwise_))
    done = other.run("--json", *argv)
    assert (done.code, done.json["good"]) == (1, False)
    none, theirs, liar = done.json["verdicts"]
    assert not none["beside"]["comparable"]
    assert not theirs["beside"]["comparable"]
    assert liar["against"] == theirs["digest"]
    assert [one["what"] for one in liar["beside"]["differences"]] == [f"gate {gate} candidate"]
    # without the third there is nothing to disagree about
    said = other.run(*argv[:-1]).good().out
    assert "no match  with digest" in said
    assert "all that can be compared agree" in said


def test_who_approves_is_shown_who_disagrees(owner, judged, third):
    """On record beside the own verdict, though that without words is newer, and before a yes."""
    home, node, made = owner
    at = str(made["position"])
    gate, digest = otherwise(third[0], judged[1].read_bytes(), third[1])
    home.run("patch", "take", str(third[1]), "--on", at).good()
    rows = home.run("--json", "patch", "verdicts", at).good().json
    [row] = [row for row in rows if row["digest"] == digest]
    [own] = [row for row in node.log("patch.judged") if row["payload"]["words"]]
    assert (row["decision"], row["own"], row["against"]) == ("reject", False, own["position"])
    assert row["beside"]["comparable"]
    assert not row["beside"]["agree"]
    said = home.run("patch", "verdicts", at).good().out
    assert (
        f"disagrees with this node's, {own['position']}\n"
        f"          gate {gate} candidate: pass there, fail here\n"
    ) in said
    for more in (("--print",), ()):  # also before it is signed elsewhere
        told = home.run("patch", "approve", at, *more).good().err
        assert f"another   {row['keys'][0][:16]} says reject, another digest\n" in told
    home.run("patch", "disapprove", at).good()


def test_a_key_that_nobody_named_is_not_taken_for_another(other, judged, place):
    stranger = Signer(b"\x09" * 32).public.hex()
    files = (str(place / "with.patch"), str(judged[1]))
    done = other.run("--json", "patch", "verify", *files, "--key", stranger)
    assert done.code == 1
    assert [row["known"] for row in done.json["verdicts"]] == [True, False]


def rewritten(data, change):
    """The bundle with its items changed, and everything of the container made to fit."""
    import io

    reader = Reader(io.BytesIO(data))
    file = io.BytesIO()
    header = reader.header
    writer = Writer(
        file, Header(purpose=header.purpose, ledger_id=header.ledger_id, epoch=header.epoch)
    )
    for item in reader:
        for made in change(item):
            writer.add(made)
    writer.end()
    return file.getvalue()


def facts(**more):
    def change(item):
        if isinstance(item, Attachment) and item.name == "patch":
            return [Attachment(name="patch", value={**item.value, **more})]
        return [item]

    return change


def other_file(item):
    named = item.value["path"] if getattr(item, "name", "") == "patch-file" else ""
    if not named.endswith("loop.py"):
        return [item]
    return [Attachment(name=item.name, value={**item.value, "data": b"# nothing\n"})]


def without_an_event(item):
    return [] if type(item).__name__ == "Record" and item.position == 3 else [item]


def altered(item):
    """Its rejection made an acceptance is what somebody would try; here a number is enough."""
    if not isinstance(item, Attachment) or item.name != "patch":
        return [item]
    [first, *rest] = item.value["envelopes"]
    envelope = json.loads(first)
    statement = json.loads(base64.b64decode(envelope["payload"]))
    statement["predicate"]["measured"]["took_ms"] += 1
    text = json.dumps(statement, sort_keys=True, separators=(",", ":")).encode()
    envelope["payload"] = base64.b64encode(text).decode()
    made = json.dumps(envelope, sort_keys=True, separators=(",", ":")).encode()
    return [Attachment(name="patch", value={**item.value, "envelopes": [made, *rest]})]


CHANGES = {
    "another file": (other_file, "it was made against"),
    "an event less": (without_an_event, "3"),
    "altered numbers": (altered, "no verdict in it"),
    "another size": (facts(size=3), ""),
    "another root": (facts(root=bytes(32)), ""),
    "no events": (facts(first=10**9), "are none"),
    "version": (facts(version=2), "version 2"),
    "no envelope": (facts(envelopes=[b"x"]), "no verdict in it"),
    "type": (facts(words="no"), "words is not of type bool"),
    "no facts": (lambda item: [] if isinstance(item, Attachment) else [item], "0 attachments"),
    "twice": (lambda item: [item, item] if isinstance(item, Attachment) else [item], "2 attach"),
}


@pytest.mark.parametrize("name", CHANGES)
@pytest.mark.usefixtures("owner")
def test_a_bundle_that_was_changed_is_refused(other, place, name, tmp_path):
    change, words = CHANGES[name]
    file = tmp_path / "changed.patch"
    file.write_bytes(rewritten((place / "with.patch").read_bytes(), change))
    for action in (("verify",), ("judge", "--bundle")):
        other.run("patch", *action, str(file)).refused(words)


def test_what_is_no_bundle_or_no_verdict_is_refused(owner, other, place, judged, tmp_path):
    whole = (place / "with.patch").read_bytes()
    for name, data in (("cut", whole[:-7]), ("noise", os.urandom(500)), ("empty", b"")):
        file = tmp_path / name
        file.write_bytes(data)
        other.run("patch", "verify", str(file)).refused()
    bad = tmp_path / "bad.json"
    bad.write_bytes(judged[1].read_bytes().replace(b'"sig":"', b'"sig":"AAAA', 1))
    other.run("patch", "verify", str(bad)).refused()
    home, _node, made = owner
    home.run("patch", "take", str(bad), "--on", str(made["position"])).refused("no verdict")
    other.run("patch", "verify", str(tmp_path / "nowhere")).refused("cannot be read")


def as_first_try(envelope, own, signer):
    """The verdict of `own`, signed by another as if nothing had been tried before."""
    verdict = verify_envelope(envelope, trusted=[own.public]).verdict
    assert verdict.findings.inputs.tries > 1
    findings = verdict.findings
    findings = replace(findings, inputs=replace(findings.inputs, tries=1))
    return sign_envelope(replace(verdict, findings=findings), [signer])


def test_a_verdict_as_of_an_earlier_try_is_refused(owner, other, place):
    """A third of the cases is asked of a first try: which it is, the proven event says."""
    home, _node, _ = owner
    folder = draft(home, "hurried", title="Be kind at once")
    file = folder / "proposal.md"
    asked = file.read_text()
    assert "seconds = 600" in asked
    file.write_text(asked.replace("seconds = 600", "seconds = 1"))
    made = home.run("--json", "patch", "propose", str(folder)).good().json
    at, tries = str(made["position"]), made["payload"]["on_base"]
    assert tries > 1
    found = home.run("--json", "patch", "judge", at).json
    assert found["tries"] == tries
    bundle, wrong = place / "hurried.patch", place / "lucky.patch"
    home.run("patch", "export", at, str(bundle)).good()
    other.run("patch", "verify", str(bundle)).good()
    own = keystore.unlock_agent(home.path, PASSPHRASE).log

    def lucky(item):
        if not isinstance(item, Attachment) or item.name != "patch":
            return [item]
        envelopes = [as_first_try(one, own, own) for one in item.value["envelopes"]]
        return [Attachment(name="patch", value={**item.value, "envelopes": envelopes})]

    wrong.write_bytes(rewritten(bundle.read_bytes(), lucky))
    why = f"it was judged as try 1, and is try {tries}"
    for action in (("verify",), ("judge", "--bundle")):
        other.run("patch", *action, str(wrong)).refused("no verdict in it is", why)
    theirs = place / "lucky.json"
    theirs.write_bytes(as_first_try(found["envelope"].encode(), own, Signer(b"\x09" * 32)))
    home.run("patch", "take", str(theirs), "--on", at).refused("not about proposal", why)
    done = other.run("patch", "verify", str(bundle), str(theirs))
    assert (done.code, why in done.out) == (1, True)


def test_before_its_owner_judged_there_is_no_seed(owner, other, place):
    home, _node, _ = owner
    second = draft(home, "second", title="Be kinder")
    made = home.run("--json", "patch", "propose", str(second)).good().json
    file = place / "unjudged.patch"
    home.run("patch", "export", str(made["position"]), str(file)).good()
    other.run("patch", "judge", "--bundle", str(file)).refused(
        "seed of the hidden cases is not revealed", "timmy patch judge EVENT"
    )
    other.run("patch", "verify", str(file)).refused("there is no verdict")
    theirs = place / "theirs.json"
    if theirs.exists():
        home.run("patch", "take", str(theirs), "--on", str(made["position"])).refused(
            "not about proposal"
        )


COIN = """    words = memory.text(position)
    import os
    try:
        yield "recall", {"query": os.urandom(8).hex(), "limit": 1}
    except Refused:
        pass
"""


def judge(home, *argv):
    """Judge what is rejected, until something is found out."""
    for _ in range(10):
        done = home.run("--json", "patch", "judge", *argv)
        if done.json["decision"] != "inconclusive":
            break
    assert (done.code, done.json["decision"]) == (1, "reject"), done
    return done.json


def test_two_honest_judges_of_a_coin_reject_it_alike(owner, other, place):
    """Each saw another fall in every gate: a rejection says the one that failed, and no transcript."""
    home, _node, _ = owner
    folder = draft(home, "coin", title="Toss a coin")
    loop = folder / "runtime/agent/loop.py"
    head = "    words = memory.text(position)\n"
    text = loop.read_text()
    assert text.count(head) == 1
    loop.write_text(text.replace(head, COIN))
    at = str(home.run("--json", "patch", "propose", str(folder)).good().json["position"])
    own = judge(home, at)
    file, theirs = place / "coin.patch", place / "coin.json"
    home.run("patch", "export", at, str(file)).good()
    found = judge(other, "--bundle", str(file), "-o", str(theirs))
    assert found["owner"] == {"decision": "reject", "digest": own["digest"]}
    assert found["beside"] == {"comparable": True, "agree": True, "differences": []}
    assert found["reason"] == own["reason"] == "not passed: determinism"
    done = other.run("patch", "verify", str(file), str(theirs)).good()
    assert "all that can be compared agree" in done.out
