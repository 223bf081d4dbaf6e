"""A witness that others wrote holds a node to what it showed: growth, restarts, backups, forks."""

import pytest

from tests.node.litewitness import NAME, LiteWitness, needed
from tests.node.test_node_witness import (
    WAIT,
    ask,
    cosigned,
    ledger_of,
    other_key,
    outcome,
    releases_nothing,
    roll_back,
    shown,
)
from tests.node.world import until

pytestmark = needed


@pytest.fixture
def enrolled(born, tmp_path):
    """An agent, and a witness that was told of it what `timmy mesh witness` printed."""
    witness = LiteWitness(tmp_path / "witness")
    with born.configure().running():
        lines = born.run("mesh", "witness").good().out.splitlines()
    told = dict(line.split(maxsplit=1) for line in lines[:2])
    witness.enrol(told["origin"], told["verifier"])
    with witness.running():
        ask(born, witness.url, witness.key)
    return born, witness


def say(node, text):
    """Say something, and wait until the head above the answer is cosigned; its position."""
    position = node.say(text)["answer"]["position"]
    until(lambda: cosigned(node, position + 1), WAIT, "the words are cosigned")
    return position


def test_it_signs_each_head_after_the_one_before(enrolled, tmp_path):
    """It is killed between two of them, and the node stopped; both go on from where they were."""
    agent, witness = enrolled
    for times in range(2):
        with witness.running(), agent.running() as node:
            for text in ("the roof needs new tiles", "and a gutter"):
                position = say(node, text)
            file = tmp_path / f"{times}.proof"
            agent.run("prove", str(position), "-o", str(file)).good()
        found = agent.run("verify", str(file), "--witness", witness.key).good()
        assert "1 of 1 cosigned the head" in found.out
    other = f"{NAME}+{'0' * 8}+{witness.key.rsplit('+', 1)[1]}"
    agent.run("verify", str(file), "--witness", other).refused("--witness")


def test_one_that_knows_another_key_signs_nothing(born, tmp_path):
    witness = LiteWitness(tmp_path / "witness")
    origin = f"timmy/{ledger_of(born)}/0"
    with witness.running():
        ask(born, witness.url, witness.key)
        with born.running() as node:
            until(lambda: outcome(node) == "refused", WAIT, "it does not know the log")
            witness.enrol(origin, other_key(origin))
            node.say("do you know me now?")
            until(lambda: "403" in reason(node), WAIT, "it knows another key of that name")
            assert node.status()["held"]
            assert outcome(node) == "refused"


def reason(node):
    return shown(node)["witnessed"]["asked"][0]["reason"]


def test_an_old_backup_is_told_that_more_was_signed(enrolled, tmp_path):
    """And releases nothing; what it appends meanwhile stays."""
    agent, witness = enrolled
    with witness.running(), agent.running() as node:
        say(node, "the roof needs new tiles")
    backup = agent.copy(tmp_path / "backup")
    with witness.running():
        with agent.running() as node:
            say(node, "I owe you ten pounds")
        roll_back(agent, backup)
        with agent.running() as node:
            releases_nothing(node)


def test_of_two_copies_the_second_is_refused(enrolled, tmp_path):
    """Both grew on their own: no proof leads from what was seen of the one to the other."""
    agent, witness = enrolled
    with witness.running(), agent.running() as node:
        say(node, "the roof needs new tiles")
    twin = agent.copy(tmp_path / "twin")
    with witness.running(), agent.running() as node:
        say(node, "buy marmalade")
    offline = agent.config.read_text()
    twin.configure()
    with twin.running() as node:
        for _ in range(4):  # it is larger than what the witness saw
            node.say("buy honey, and two jars of it")
    twin.configure(offline)
    with witness.running(), twin.running() as node:
        until(lambda: outcome(node) == "different", WAIT, "its head continues nothing")
        assert node.status()["held"]
        assert node.answer("shall I buy honey?")
    twin.end()
