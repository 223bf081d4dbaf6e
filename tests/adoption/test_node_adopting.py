"""Adoptions of a real node: one that settles, those that are refused, one taken back by hand."""

from tests.adoption.world import applied, apply, stage, status, steps, talks, trees_of, until_stage
from tests.node.world import SETTINGS, until


def test_an_adoption_settles(kind):
    home, position = kind
    with home.running() as node:
        before = status(node)
        assert before["in_force"] is None
        assert before["under_way"] is None
        assert not before["handoff"]["due"]
        trial = applied(node, position, share=500, window_s=1, turns=2)
        assert trial["stage"] == "canary"
        new, old = trial["tree"], before["tree"]
        assert status(node)["tree"] == old  # in force still
        [out] = talks(trial["root"], 500, inside=False)
        inside = talks(trial["root"], 500, inside=True, count=2)
        asked = [node.say("good day", conversation=name) for name in (out, *inside)]
        assert all(one["answer"] for one in asked)
        at = [one["message"]["position"] for one in asked]
        until_stage(node, "node")
        took = trees_of(node)
        assert [took[one] for one in at] == [[old], [new], [new]]
        assert status(node)["tree"] == new
        for name in (out, *inside):
            assert node.say("and now", conversation=name)["answer"]
        until_stage(node, None)
        assert steps(node) == ["staged", "canary", "adopted", "settled"]
        found = status(node)
        assert found["in_force"]["tree"] == new
        assert found["handoff"] == {"due": True, "number": 0, "tree": old}
        until(lambda: status(node)["running"] == [new], 60, "the old process is gone")
        settled = node.log("patch.settled")[-1]["payload"]
        assert len(bytes.fromhex(settled["digest"])) == 32
        root = node.request("GET", "/v1/architecture").json["root"]
        assert root == found["in_force"]["root"]
        [row] = home.run("--json", "patch", "list").good().json
        assert row["state"] == "adopted"
        told = home.run("patch", "status").good().out
        assert f"in force  {new}" in told
        assert "handoff   due" in told
    assert (home.path / "trees" / "current").read_text() == f"{new}\n"
    assert home.run("replay").good()
    assert home.run("verify").good()
    with home.running() as node:  # and it is still what runs
        node.say("good morning")
        assert [*trees_of(node).values()][-1] == [new]
        started = node.log("node.started")[-1]["payload"]
        assert (started["tree"], started["architecture"]) == (new, found["in_force"]["root"])
        apply(node, position).refused(400, "open no more")
        back = home.run("--json", "patch", "rollback", "--why", "I liked it better").good().json
        assert back["tree"] == old
        assert not back["handoff"]["due"]
        assert back["steps"][-1]["why"] == "I liked it better"
        node.say("good evening")
        assert [*trees_of(node).values()][-1] == [old]
        home.run("patch", "rollback").refused("nothing to go back to")
    assert (home.path / "trees" / "current").read_text() == f"{old}\n"


def test_what_is_refused_changes_nothing(kind):
    home, position = kind
    with home.running() as node:
        before = status(node)
        apply(node, 1).refused(404, "no proposal")
        apply(node, position, share=0).refused(422, "1 to 1000 allowed")
        home.run("patch", "apply", str(position), "--window", "soon").refused("is no time")
        home.run("patch", "apply", str(position), "--share", "x").refused("no percentage")
        skill = home.path / "skills" / "tea" / "SKILL.md"
        skill.parent.mkdir(parents=True)
        skill.write_text("---\nname: tea\ndescription: tea\n---\nBoil water.\n")
        apply(node, position).refused(400, "another architecture than the present one", "anew")
        skill.unlink()
        node.request("POST", "/v1/patch/rollback", {}).refused(400, "nothing to go back to")
        assert status(node) == before
        assert apply(node, position, window_s=600).status == 200
        apply(node, position).refused(400, "is under way")
        assert stage(node) == "canary"
        node.request("POST", "/v1/patch/rollback", {"why": "x" * 2001}).refused(400, "at most 2000")
        assert home.run("--json", "patch", "rollback").good().json["under_way"] is None
        assert steps(node) == ["staged", "canary", "rolledback"]
        assert status(node)["tree"] == before["tree"]
        apply(node, position).refused(400, "open no more")  # it is to be proposed anew


def test_no_trial_is_easier_than_the_node_says(kind):
    """Who holds the API's token does not say how little of a trial is enough."""
    home, position = kind
    home.configure(SETTINGS + "[adoption]\nwindow_s = 60\n")
    with home.running() as node:
        for name, value, bound in (("share", 101, 100), ("window_s", 59, 60), ("turns", 19, 20)):
            apply(node, position, **{name: value}).refused(400, f"{name} = {value}", str(bound))
        asked = (
            "patch",
            "apply",
            str(position),
            "--share",
            "100",
            "--window",
            "1s",
            "--turns",
            "1",
        )
        home.run(*asked).refused("share = 1000", "[adoption] share_percent")
        assert steps(node) == []
        trial = applied(node, position, share=1, window_s=61, turns=21)
        assert [trial[name] for name in ("share", "window_s", "turns")] == [1, 61, 21]
        home.run("patch", "rollback").good()
