"""`timmy verify FILE --held OLD`: is what I am shown now the history that I was shown before?"""

import io
import os

import pytest

from attest.verify.__main__ import main as strangers
from attest.verify.accusing import accusation
from attest.verify.bundle import verify_bundle
from attest.verify.held import HELD
from attest.verify.report import NOT_REACHED
from ledger.core.errors import TimmyError
from ledger.log import Log
from ledger.proof import prove
from ledger.release import Release
from ledger.sqlite import SqliteStore
from node.cli import main
from tests.ledger.makers import ticking
from tests.scorecard.files import liar, life
from tests.scorecard.rows import Beside, Scene, Told, verified
from tests.spec import agent, make_bundles
from tests.spec.agent import export, fact, proof, words
from tests.spec.life import Life, branch


def told(report):
    return dict(report.lines)[HELD]


def path(ledger, older, newer):
    return ["consistency", older, newer, ledger.tree.consistency(older, newer)]


def grown():
    return life(words("later"), fact(3))


@pytest.mark.parametrize(
    "held",
    [
        life().head().encode(),
        life().head(1).encode(),
        export(life()),
        proof(life(), 2, [6]),
        [agent.header(life(), "backup"), *export(life())[1:]],
        export(life(), [life().head(2), life().head()]),
    ],
    ids=["note", "first note", "export", "proof", "backup", "export with two heads"],
)
def test_an_export_contains_what_was_shown_before(held):
    report = verified(Beside(export(grown()), held))
    assert report.verdict == "UNBROKEN-PENDING"
    assert "goes on from the" in told(report)


def test_the_same_history_is_said_to_be_the_same():
    report = verified(Beside(proof(life(), 2, [6]), life().head().encode()))
    assert report.good
    assert told(report) == "this is the history that is held, of 6 events"


def test_a_proof_contains_it_if_a_path_leads_there():
    ledger = grown()
    report = verified(Beside([*proof(ledger, 2, [8]), path(ledger, 6, 8)], life().head().encode()))
    assert report.good
    assert "goes on from the 6 events" in told(report)


def test_a_proof_between_whose_heads_the_held_one_lies_needs_a_path_as_well():
    """The heads of size 3 and 8 are tied; nothing ties the held one of size 6 to either."""
    report = verified(Beside(proof(grown(), 2, [3, 8]), life().head().encode()))
    assert report.verdict == "INCOMPLETE"


def test_without_leaves_or_path_it_is_incomplete_and_says_how_to_get_one():
    report = verified(Beside(proof(grown(), 2, [8]), life().head().encode()))
    assert report.verdict == "INCOMPLETE"
    assert dict(report.lines)["completeness"] == "does not hold"
    assert "from size 6 on" in report.lines[-1][1]
    assert "timmy prove EVENT --since 6" in report.hint
    assert report.to_value()["hint"] == report.hint


def test_a_path_that_was_bent_is_rewritten():
    ledger = grown()
    bent = path(ledger, 6, 8)
    bent[3] = [bytes(32), *bent[3][1:]]
    report = verified(Beside([*proof(ledger, 2, [8]), bent], life().head().encode()))
    assert report.verdict == "REWRITTEN"


def test_a_stale_file_is_the_beginning_of_a_held_export_or_is_not():
    held = export(grown())
    stale = verified(Beside(proof(life(), 2, [6]), held))
    assert stale.verdict == "STALE"
    assert dict(stale.lines)["freshness"] == "does not hold"
    assert stale.lines[-1][1].endswith("it is the beginning of what is held")
    other = verified(Beside(export(liar(), [liar().head()]), export(life(*[fact(9)] * 4))))
    assert other.verdict == "DIVERGED"


def recovered(ledger):
    ledger.add(agent.epoch_record(ledger))
    ledger.add(words("in the new epoch"))
    return ledger


def test_a_recovery_keeps_what_is_held():
    ledger = recovered(life())
    at = ledger.tree.size - 2
    files = {
        "export": export(ledger, [ledger.head(epoch=1)], epoch=1),
        "proof": [*proof(ledger, 2, [8], also=[at], epoch=1), path(ledger, 4, 8)],
    }
    held = life().head(4).encode()
    for name, file in files.items():
        report = verified(Beside(file, held))
        assert report.verdict == "RECOVERED", (name, report.lines)
        assert "goes on from the 4 events" in told(report)


def test_what_is_held_of_a_later_epoch_makes_the_file_stale():
    ledger = recovered(life())
    held = export(ledger, [ledger.head(epoch=1)], epoch=1)
    assert verified(Beside(export(life()), held)).verdict == "STALE"
    assert verified(Beside(export(life()), ledger.head(epoch=1).encode())).verdict == "STALE"
    given_up = export(life(fact(1), fact(2), fact(3)))
    assert verified(Beside(given_up, held)).verdict == "REWRITTEN"


# ---- more than one set of keys ------------------------------------------------------------------


def handed():
    """A handoff at 2, whose last head under the old key is of size 3, and words."""
    return Life.born().hand_over().say("from a new machine")


def test_heads_of_the_old_key_up_to_its_handoff_are_contained():
    for size in (1, 2, 3):
        note = handed().head(size).encode()
        assert verified(Beside(handed().say("more").export(), note)).good
    assert verified(Beside(handed().say("more").export(), handed().export())).good


def test_a_held_head_of_the_old_key_above_its_handoff_is_diverged():
    """Whoever keeps signing with the old key is found by everybody who kept what he signed."""
    old = Life.born().say("no handoff").say("at all")
    report = verified(Beside(handed().say("more").export(), old.head().encode()))
    assert report.verdict == "DIVERGED"
    assert "signed by log key 0; from size 4 on key 1" in report.lines[-1][1]


def test_two_handoffs_of_one_number_are_diverged():
    """Both are signed by the old and the next key, over the same history, at different places."""
    here = handed()
    there = Life.born().say("longer").hand_over().say("elsewhere")
    for held in (there.export(), there.proof(1)):
        report = verified(Beside(here.export(), held))
        assert report.verdict == "DIVERGED"
        assert report.lines[-1][1] == "held: two signed records of handoff 1 of epoch 0"


@pytest.mark.parametrize("renew", [True, False])
def test_two_records_of_one_epoch_are_diverged(renew):
    here = Life.born().recover(renew=renew).say("here")
    there = Life.born().say("longer").recover(renew=renew).say("there").say("and there")
    report = verified(Beside(here.export(), there.proof(1)))
    assert report.verdict == "DIVERGED"
    assert "two signed records of epoch 1" in report.lines[-1][1]


def test_a_handoff_that_a_recovery_gave_up_may_be_made_again_in_the_new_epoch():
    """Number 1 twice, in two epochs: what is held was given up, which is another verdict."""
    again = Life.born().recover(renew=False).hand_over().say("again")
    report = verified(Beside(again.export(), handed().export()))
    assert report.verdict == "REWRITTEN"
    assert "gave up what came after" in report.lines[-1][1]


def test_a_held_head_that_no_tenure_signs_is_refused():
    lived = Life.born().recover().say("on")
    report = verified(Beside(lived.export(), lived.head(2).encode()))
    assert report.verdict == "BROKEN"
    assert "no tenure of epoch 1 signs heads of size 2" in report.lines[-1][1]


def test_a_held_head_of_a_later_epoch_is_opened_by_the_last_key_that_the_file_names():
    lived = handed()
    newer = handed().recover(renew=False).say("on")
    report = verified(Beside(lived.export(), newer.head().encode()))
    assert report.verdict == "STALE"


def test_a_whole_salvage_shows_every_leaf():
    ledger = life()
    whole = make_bundles.salvage(ledger, range(6), events=6, sizes=[6])
    assert verified(whole).good
    assert verified(Beside(whole, ledger.head(3).encode())).good


def test_an_incomplete_salvage_counts_for_its_heads():
    ledger = life()
    left = make_bundles.salvage(ledger, [], events=6, sizes=[6])
    assert verified(left).verdict == "INCOMPLETE"
    report = verified(Beside(export(grown()), left))
    assert (report.verdict, report.lines[-1]) == (
        "INCOMPLETE",
        ("failing link", "held: no signed head is in the file"),
    )


@pytest.mark.parametrize(
    ("held", "verdict", "link"),
    [
        (b"", "BROKEN", "neither a bundle nor a checkpoint"),
        (b"\xff\xfe", "BROKEN", "neither a bundle nor a checkpoint"),
        (life().head(by=agent.STRANGER).encode(), "BROKEN", "neither a bundle nor a checkpoint"),
        (agent.bundle(export(life()))[:-1], "BROKEN", "the file itself is not good: truncated"),
        (export(life())[:-1], "INCOMPLETE", "no signed head"),
        (export(liar(), [life().head(), liar().head()]), "REWRITTEN", "the file itself"),
    ],
    ids=["empty", "not text", "another key", "cut", "no head", "rewritten itself"],
)
def test_what_is_held_must_be_good_itself(held, verdict, link):
    report = verified(Beside(export(life()), held))
    assert report.verdict == verdict
    assert report.lines[-1][1].startswith(f"{HELD}: {link}"), report.lines[-1]


def test_a_file_that_is_bad_by_itself_is_not_compared():
    report = verified(Beside(export(life())[:-1], life().head().encode()))
    assert report.verdict == "INCOMPLETE"
    assert told(report) == NOT_REACHED
    assert report.lines[-1][0] == "failing link"


def test_the_maker_of_a_proof_leads_on_from_the_size_that_is_asked_for(tmp_path):
    store = SqliteStore.create(tmp_path / "ledger.db")
    with Log(store, clock=ticking(agent.BORN_MS), entropy=os.urandom) as log:
        log.append_now(agent.genesis_draft(), *(fact(n) for n in range(300)))
        release = Release.begin(log, tmp_path / "state", agent.LOG)
        older = release.newest
        log.append_now(words("later"))
        newer = release.head()
        file, bare = io.BytesIO(), io.BytesIO()
        prove(log, [newer], 301, file, since=[older.size, newer.size])
        prove(log, [newer], 301, bare)
    held = older.encode()
    assert verified(Beside(file.getvalue(), held)).good
    assert verified(Beside(bare.getvalue(), held)).verdict == "INCOMPLETE"
    assert verify_bundle(io.BytesIO(file.getvalue()), None).good


@pytest.mark.parametrize("command", ["timmy", "timmy-verify"])
def test_two_exports_that_part_make_a_proof_for_everybody(tmp_path, capsys, command):
    """Of two sizes, without a network; who reads the proof needs neither export."""
    mine, theirs = life(words("mine"), fact(1)), life(words("theirs"), fact(2), fact(3))
    files = {name: tmp_path / name for name in ("a", "b", "early", "two.proof", "no.proof")}
    files["a"].write_bytes(agent.bundle(export(mine)))
    files["b"].write_bytes(agent.bundle(export(theirs)))
    files["early"].write_bytes(agent.bundle(export(life())))

    def run(*argv):
        said = main(["verify", *argv]) if command == "timmy" else strangers(list(argv))
        return said, capsys.readouterr()

    pair = [str(files["a"]), "--held", str(files["b"])]
    code, told = run(*pair, "--proof", str(files["two.proof"]))
    assert code == 1
    at = "event 6 is one under the signed head of size 8 and another under that of size 9"
    assert "DIVERGED" in told.out
    assert at in told.out
    assert "two.proof: " in told.out
    code, told = run(str(files["two.proof"]))
    assert code == 1
    assert at in told.out
    assert run(*pair, "--proof", str(files["two.proof"]))[0] == 2, "nothing is written over"
    agree = [str(files["a"]), "--held", str(files["early"]), "--proof", str(files["no.proof"])]
    code, told = run(*agree)
    assert code == 0
    assert "no two histories are shown here" in told.out
    assert not files["no.proof"].exists()


def test_a_proof_of_two_exports_shows_a_lineage_and_needs_the_file_that_has_all_keys(tmp_path):
    here = handed().say("here")
    there = branch(handed()).say("there").say("and there")
    before = Life.born().say("no handoff yet")
    soul = None

    def made(one, other):
        file = io.BytesIO(agent.bundle(one.export()))
        held = io.BufferedReader(io.BytesIO(agent.bundle(other.export())))
        report = verify_bundle(file, soul, held=held)
        assert report.verdict == "DIVERGED"
        file.seek(0)
        return accusation(report, file, lambda one: verify_bundle(one, soul))

    proof_file = made(here, there)
    assert verify_bundle(io.BytesIO(proof_file), soul).verdict == "DIVERGED"
    older = branch(before).head()
    assert older.size < here.head().size
    assert verify_bundle(io.BytesIO(made(here, before)), soul).verdict == "DIVERGED"
    with pytest.raises(TimmyError, match="does not show the keys"):
        made(before, here)


def test_a_home_and_a_file_are_compared_by_the_command(tmp_path, monkeypatch, capsys):
    scene = Scene.born(tmp_path / "mine")
    monkeypatch.setenv("TIMMY_HOME", str(scene.home.path))
    monkeypatch.setenv("TIMMY_STATE", str(scene.home.state))
    before, proven = tmp_path / "before.head", tmp_path / "later.proof"
    before.write_bytes(scene.guard.read_bytes())
    size = scene.log_size
    scene.live("the gutter is new")
    assert main(["verify", "--held", str(before)]) == 0
    assert f"goes on from the {size} events" in capsys.readouterr().out
    assert main(["prove", str(size), "-o", str(proven)]) == 0
    assert main(["verify", str(proven), "--held", str(before)]) == 1
    assert f"--since {size}" in capsys.readouterr().err
    assert main(["prove", str(size), "-o", str(proven), "--force", "--since", str(size)]) == 0
    assert main(["verify", str(proven), "--held", str(before)]) == 0
    assert main(["prove", "1", "-o", str(tmp_path / "no"), "--since", "9999"]) == 2
    assert "last released head" in capsys.readouterr().err
    scene.retell(lambda told: told.__setitem__(3, Told(fact(999), told[3].ts_ms)))
    scene.sign_guard()  # whoever has the log key rewrites all, guard included
    assert main(["verify"]) == 0
    assert main(["verify", "--held", str(before)]) == 1
    assert "is of another history" in capsys.readouterr().out
    assert main(["verify", "--held", str(tmp_path / "nowhere")]) == 2
