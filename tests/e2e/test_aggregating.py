"""Two agents, one seal: heads handed over in files and over HTTP, a time, a delegation, its end."""

import base64
import hashlib
import io
import json

import pytest
from websockets.sync.client import connect

from attest.core import limits
from attest.core.delegation import Segment, SlottedLink
from attest.verify.bundle import verify_bundle
from ledger.core.codec import decode, encode
from node.anchors.evidence import read_receipt
from tests.e2e.chain import running_chain
from tests.node.world import SETTINGS, Home, until
from tests.spec import agent
from tests.spec.stranger import remake
from tests.spec.stranger.bundle import verify as stranger_verify

ENABLED = "\n[aggregate]\nenabled = true\nsubmissions_per_hour = 8\n"


@pytest.fixture(scope="module")
def chain(tmp_path_factory):
    with running_chain(tmp_path_factory.mktemp("chain")) as chain:
        yield chain


def an_agent(name, chain, tmp_path_factory, more=""):
    home = Home(tmp_path_factory.mktemp(name) / "user").configure(SETTINGS + chain.settings + more)
    home.run("init", "--name", name, "--kit", str(home.root / "kit.txt")).good()
    home.start()
    chain.mine(101, anchor(home, "fund")["funding_address"])
    anchor(home, "open")
    chain.mine(1)
    anchor(home, "status")
    return home


@pytest.fixture(scope="module")
def aggregator(chain, tmp_path_factory):
    home = an_agent("aggregator", chain, tmp_path_factory, ENABLED)
    yield home
    home._nodes[-1].stop()


@pytest.fixture(scope="module")
def ledger(chain, tmp_path_factory):
    home = an_agent("ledger", chain, tmp_path_factory)
    yield home
    home._nodes[-1].stop()


def anchor(home, action):
    return home.run("--json", "anchor", action).good().json


def aggregate(home, *argv):
    return home.run("--json", "aggregate", *map(str, argv))


def said(home, text):
    return home.run("--json", "say", text).good().json["message"]["position"]


def own_id(home):
    return home.run("--json", "status").good().json["ledger"]


def kinds(home):
    return [link["kind"] for link in anchor(home, "status")["links"]]


def round_of(aggregator, chain):
    """Close a round and have it mined."""
    aggregate(aggregator, "close").good()
    chain.mine(1)
    anchor(aggregator, "status")


def handed_over(ledger, aggregator, file):
    """The newest head of the ledger reaches the aggregator on a stick; what it has then."""
    known = aggregate(aggregator, "prove", own_id(ledger), "-o", file.with_suffix(".was"))
    since = "0"
    if known.code == 0:
        found = aggregator._nodes[-1].request("GET", f"/v1/aggregate/{own_id(ledger)}", token="")
        since = str(found.json["size"])
    aggregate(ledger, "submit", "--since", since, "-o", file).good()
    [row] = aggregate(aggregator, "add", file).good().json
    return row["size"]


def verified(proof, ledger, tmp_path, *more):
    stranger = Home(tmp_path / "another machine", None)
    return stranger.run(
        "--json", "verify", str(proof), "--soul", str(ledger.path / "SOUL.md"), *more
    )


def both(data, soul):
    """Our verdict and standing; a verifier written from the pages has the same."""
    report = verify_bundle(io.BytesIO(data), soul)
    standing = None if report.standing is None else report.standing.name.lower()
    found = stranger_verify(data, soul)
    assert (found.verdict, found.standing) == (report.verdict, standing)
    return report.verdict


ODD = (None, True, -1, 0, 1, 2**40, "x", b"", b"x" * 32, [], {}, [None])


def odd_ones(value):
    """Copies of a value, each with something odd at one place, or with a part left out."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield from ({**value, key: odd} for odd in (*ODD, *odd_ones(item)))
            yield {name: other for name, other in value.items() if name != key}
        yield value | {"more": 1}
    elif isinstance(value, list):
        for at, item in enumerate(value):
            yield from ([*value[:at], odd, *value[at + 1 :]] for odd in (*ODD, *odd_ones(item)))
            yield value[:at] + value[at + 1 :]
            yield [*value, item]


def without_heights(value):
    """What is left without the heights: a header does not say its own."""
    if isinstance(value, dict):
        return {key: without_heights(item) for key, item in value.items() if key != "height"}
    return [without_heights(item) for item in value] if isinstance(value, list) else value


def epochs_of(value):
    """With the epochs of its sizes, which may be left out where there is one."""
    return {"epochs": [0] * len(value["sizes"])} | value if "sizes" in value else value


def every_oddity_is_refused(proof, soul, *, sample):
    """In no place of the attachment does something odd get a good verdict, or a crash."""
    records = agent.open_frames(proof)
    [(place, name, value)] = [
        (at, r[1], r[2]) for at, r in enumerate(records) if r[0] == "attachment"
    ]
    odd = [one for one in odd_ones(value) if one != value]
    for one in odd[:: max(1, len(odd) // sample)]:
        changed = [*records]
        changed[place] = ["attachment", name, one]
        verdict = both(remake.closed(changed), soul)
        if name == "seal" and one == value | {"more": 1}:
            assert verdict == "TEST"
        elif verdict == "TEST":
            assert without_heights(epochs_of(one)) == without_heights(epochs_of(value))
        else:
            assert verdict in ("BROKEN", "INCOMPLETE")


def test_a_time_from_a_slot(ledger, aggregator, chain, tmp_path):
    at = said(ledger, "the beam was replaced today")
    size = handed_over(ledger, aggregator, tmp_path / "head.submission")
    assert size > at
    receipt = tmp_path / "slot.receipt"
    aggregate(aggregator, "prove", own_id(ledger), "-o", receipt).refused("no round")
    round_of(aggregator, chain)
    assert kinds(aggregator)[-1] == "aggregate"
    written = aggregate(aggregator, "prove", own_id(ledger), "-o", receipt).good().json
    assert written["bytes"] < 1500
    proof = tmp_path / "aggregated.proof"
    ledger.run("prove", str(at), "--receipt", str(receipt), "-o", str(proof)).good()
    found = verified(proof, ledger, tmp_path).good().json
    assert found["verdict"] == "TEST"
    lines = {line["name"]: line["text"] for line in found["lines"]}
    assert "aggregated in regtest block" in lines["freshness"]
    assert any("one history" in text for text in found["not_shown"])
    soul = (ledger.path / "SOUL.md").read_bytes()
    assert both(proof.read_bytes(), soul) == "TEST"
    every_oddity_is_refused(proof.read_bytes(), soul, sample=150)
    asked = verified(proof, ledger, tmp_path, *chain.online).good().json
    lines = {line["name"]: line["text"] for line in asked["lines"]}
    assert "the block of the slot stands" in lines["online"]
    assert not any("heaviest" in text for text in asked["not_shown"])
    height = lines["freshness"].split("block ")[1].split(",")[0]
    block = chain.rpc("getblockhash", int(height))
    pinned = verified(proof, ledger, tmp_path, "--pin", f"{height}:{block}").good().json
    assert not any("heaviest" in text for text in pinned["not_shown"])
    another = verified(proof, ledger, tmp_path, "--pin", f"{height}:{'0' * 64}")
    assert (another.code, another.json["verdict"]) == (1, "BROKEN")
    deeper = verified(proof, ledger, tmp_path, "--require", "pending").json
    assert deeper["good"]
    assert not verified(proof, ledger, tmp_path, "--require", "confirmed").json["good"]
    ledger.run("prove", str(at), "--receipt", str(receipt), "--anchored", "-o", str(proof),
               "--force").refused("a time only")  # fmt: skip


def test_the_aggregators_own_head_is_in_it(aggregator, tmp_path):
    """Its anchored proof goes over its own slot."""
    rounds = aggregator.run("--json", "log", "--type", "aggregate.closed").good().json
    assert rounds[-1]["payload"]["ledgers"] == 2
    requested = aggregator.run("--json", "log", "--type", "anchor.requested").good().json
    at = requested[-1]["position"] - 1
    proof = tmp_path / "own.proof"
    aggregator.run("prove", str(at), "--anchored", "-o", str(proof)).good()
    assert verified(proof, aggregator, tmp_path).good().json["verdict"] == "TEST"
    way = [row["type"] for row in aggregator.run("--json", "why", str(at)).good().json[-3:]]
    assert way == ["anchor.requested", "aggregate.closed", "checkpoint.anchored"]
    graph = aggregator.run("--json", "trust", "show").good().json
    rounds = [edge for edge in graph["edges"] if edge["how"] == "has a slot in"]
    assert rounds
    assert {edge["target"] for edge in rounds} <= {edge["source"] for edge in graph["edges"]}
    soul = (aggregator.path / "SOUL.md").read_bytes()
    assert both(proof.read_bytes(), soul) == "TEST"
    every_oddity_is_refused(proof.read_bytes(), soul, sample=100)


def test_heads_over_http_and_what_is_refused(ledger, aggregator, tmp_path):
    node = aggregator._nodes[-1]
    said(ledger, "more")
    data = {}
    for since in (0, 1):
        file = tmp_path / f"{since}.submission"
        aggregate(ledger, "submit", "--since", since, "-o", file).good()
        data[since] = file.read_bytes()
    known = node.request("GET", f"/v1/aggregate/{own_id(ledger)}", token="").json["size"]
    answer = node.request("POST", "/v1/aggregate", data[0], token="")
    answer.refused(422, f"from size 0, the head here has {known}", f"--since {known}")
    node.request("POST", "/v1/aggregate", b"x", token="").refused(422, "not a submission")
    node.request("POST", "/v1/aggregate", bytes(limits.SUBMISSION_BYTES_MAX + 1), token="").refused(
        422, f"at most {limits.SUBMISSION_BYTES_MAX}"
    )
    node.request("GET", "/v1/aggregate/xyz", token="").refused(422, "64 digits of hex")
    node.request("GET", f"/v1/aggregate/{'ab' * 32}", token="").refused(422, "nothing is known")
    assert node.request("GET", "/v1/aggregate", token="").json["ledgers"] == 1
    node.request("GET", "/v1/status", token="").refused(401)
    # the same door of a node that does not aggregate
    ledger._nodes[-1].request("GET", "/v1/aggregate", token="").refused(401)
    assert ledger._nodes[-1].request("GET", "/v1/aggregate").status == 404
    aggregate(ledger, "close").refused("aggregates nothing")


def no_handoff(home, tmp_path):
    """Keys do not change hands while the seal is in other hands."""
    home._nodes[-1].stop()
    new = str(tmp_path / "new-kit.txt")
    found = home.run("handoff", "--kit", str(home.root / "kit.txt"), "--new-kit", new)
    found.refused("its key returns it before it is handed over", "timmy aggregate return")
    home.start()


def test_delegated_and_returned(ledger, aggregator, chain, tmp_path):
    offer, file = tmp_path / "offer", tmp_path / "next.submission"
    aggregate(ledger, "return").refused("nothing is delegated")
    aggregate(aggregator, "offer", "-o", offer).good()
    aggregate(aggregator, "delegate", offer).refused("delegate to itself")
    aggregate(ledger, "delegate", offer).good()
    chain.mine(1)
    assert kinds(ledger) == ["opening", "delegation"]
    ledger.run("anchor", "now").refused("its aggregator's")
    aggregate(ledger, "delegate", offer).good()  # again: it is done
    assert kinds(ledger) == ["opening", "delegation"]
    name = f"aggregator:{own_id(aggregator)}"
    [*_, step] = ledger.run("--json", "trust", "path", "soul:", name).good().json
    assert step["how"] == "delegated its anchors to"
    no_handoff(ledger, tmp_path)
    since = decode(offer.read_bytes(), bytes_max=4096)["outpoint"][0][::-1].hex()

    other = tmp_path / "other"
    said(aggregator, "a round without the ledger")
    first = said(ledger, "words under a slot")
    handed_over(ledger, aggregator, file)
    round_of(aggregator, chain)
    segment = ledger.root / "segment.receipt"
    aggregate(aggregator, "prove", own_id(ledger), "--since", since, "-o", segment).good()
    found = read_receipt(segment)
    assert isinstance(found, Segment)
    assert len(found.links) == 1

    proof = tmp_path / "delegated.proof"
    ledger.run("prove", str(first), "--anchored", "-o", str(proof)).refused("receipt is not here")
    ledger.run(
        "prove", str(first), "--anchored", "--receipt", str(segment), "-o", str(proof)
    ).good()
    shown = verified(proof, ledger, tmp_path).good().json
    lines = {line["name"]: line["text"] for line in shown["lines"]}
    assert shown["verdict"] == "TEST"
    assert "1 links, none missing between them, 1 with a slot" in lines["delegated"]
    assert any("own seal was not spent" in text for text in shown["not_shown"])

    asked = verified(proof, ledger, tmp_path, *chain.online).good().json
    lines = {line["name"]: line["text"] for line in asked["lines"]}
    assert "the last seal is unspent" in lines["online"]
    assert not any("own seal" in text or "further link" in text for text in asked["not_shown"])
    before = tmp_path / "before.proof"
    before.write_bytes(proof.read_bytes())

    soul = (ledger.path / "SOUL.md").read_bytes()
    assert both(proof.read_bytes(), soul) == "TEST"
    every_oddity_is_refused(proof.read_bytes(), soul, sample=300)

    records = agent.open_frames(proof.read_bytes())
    [value] = [record[2] for record in records if record[0] == "attachment"]
    value["delegations"][0]["segment"]["links"][0]["slot"] = None
    assert both(remake.closed(records), soul) == "INCOMPLETE"
    del value["delegations"]
    assert both(remake.closed(records), soul) == "INCOMPLETE"

    # one link with its slot taken out is not evidence of one history any more
    bare = Segment(origin=found.origin, links=(SlottedLink(link=found.links[0].link, slot=None),))
    other.write_bytes(encode(bare.to_value()))
    ledger.run("prove", str(first), "--anchored", "--receipt", str(other), "-o", str(proof),
               "--force").refused("no anchor in a block covers")  # fmt: skip

    last = said(ledger, "words on the own seal again")
    aggregate(ledger, "return").good()
    chain.mine(1)
    assert kinds(ledger) == ["opening", "delegation", "anchor"]
    ledger.run("prove", str(last), "--anchored", "--receipt", str(segment), "-o", str(proof),
               "--force").good()  # fmt: skip
    shown = verified(proof, ledger, tmp_path).good().json
    assert both(proof.read_bytes(), soul) == "TEST"
    assert "returned in block" in str(shown["lines"])
    assert not any("own seal was not spent" in text for text in shown["not_shown"])
    assert any("before the delegation ended" in text for text in shown["not_shown"])
    asked = verified(proof, ledger, tmp_path, *chain.online).good().json
    assert not any("before the delegation ended" in text for text in asked["not_shown"])
    stale = verified(before, ledger, tmp_path, *chain.online).json
    assert (stale["verdict"], stale["good"]) == ("STALE", False)

    # the aggregator goes on: whoever asks learns that there are links that the file does not show
    said(aggregator, "another round")
    handed_over(ledger, aggregator, file)
    round_of(aggregator, chain)
    asked = verified(proof, ledger, tmp_path, *chain.online).good().json
    assert any("before the delegation ended" in text for text in asked["not_shown"])


def handed_in(home):
    return home.run("--json", "status").good().json["handed_in"]


def submitting_to(url, chain):
    return SETTINGS + chain.settings + f'\n[aggregate]\nsubmit_to = "{url}"\n'


def test_a_node_hands_in_its_heads_by_itself(aggregator, chain, tmp_path):
    """Another agent, without coins or seal: its node asks for a slot a day, through restarts."""
    url = f"http://127.0.0.1:{aggregator._nodes[-1].port}"
    client = Home(tmp_path / "client").configure(submitting_to(url, chain))
    client.run("init", "--name", "client").good()
    with client.running() as node:
        until(lambda: handed_in(client)["done"], 120, "a head is handed in")
        first = handed_in(client)
        there = aggregator._nodes[-1].request("GET", f"/v1/aggregate/{own_id(client)}", token="")
        assert (there.json["size"], there.json["waiting"]) == (first["size"], True)
        assert f"it has {first['size']} events" in client.run("aggregate", "status").good().out
        assert url in client.run("status").good().out
        node.say("more")
    client.start()
    assert handed_in(client) == first, "once a day"
    at = said(client, "this is to have a slot")
    client.run("aggregate", "submit", "--since", "1").refused("asked what it knows")
    assert "it has" in client.run("aggregate", "submit").good().out
    assert handed_in(client)["size"] > at
    round_of(aggregator, chain)
    receipt, proof = tmp_path / "slot.receipt", tmp_path / "slot.proof"
    aggregate(aggregator, "prove", own_id(client), "-o", receipt).good()
    client.run("prove", str(at), "--receipt", str(receipt), "-o", str(proof)).good()
    assert both(proof.read_bytes(), (client.path / "SOUL.md").read_bytes()) == "TEST"
    client._nodes[-1].stop()

    client.configure(submitting_to("http://127.0.0.1:1", chain))
    client.start()
    client.run("aggregate", "submit").refused("no answer from http://127.0.0.1:1")
    kept = handed_in(client)
    assert (kept["done"], kept["tries"]) == (False, 1)
    client._nodes[-1].kill9()
    client.start()
    assert handed_in(client) == kept, "the attempt that failed is remembered"
    assert "ClientConnectorError" in client.run("status").good().out
    both_ways = aggregate(aggregator, "status").good().json
    assert (both_ways["handed_in"], both_ways["ledgers"]) == (None, 2)
    client._nodes[-1].stop()
    client.configure(SETTINGS)
    client.start()
    client.run("aggregate", "submit").refused("no aggregator is configured", "-o FILE")
    client.run("aggregate", "status").refused("aggregates nothing, and hands in to nobody")
    client._nodes[-1].stop()


def test_new_keys_of_the_ledger_go_on_at_the_aggregator(ledger, aggregator, chain, tmp_path):
    """The seal was returned: now it is handed over, and the next slot is of a head by the new key."""
    aggregate(ledger, "return").refused("nothing is delegated")
    anchor(ledger, "status")
    ledger._nodes[-1].stop()
    kits = ("--kit", str(ledger.root / "kit.txt"), "--new-kit", str(tmp_path / "new-kit.txt"))
    ledger.run("handoff", *kits).good()
    ledger.start()
    for _ in range(2):  # the enrolment, then the handoff itself
        anchor(ledger, "status")
        chain.mine(1)
    assert kinds(ledger)[-2:] == ["anchor", "handoff"]
    at = said(ledger, "under the new key")
    assert handed_over(ledger, aggregator, tmp_path / "head.submission") > at
    round_of(aggregator, chain)
    receipt, proof = tmp_path / "slot.receipt", tmp_path / "new.proof"
    aggregate(aggregator, "prove", own_id(ledger), "-o", receipt).good()
    ledger.run("prove", str(at), "--receipt", str(receipt), "-o", str(proof)).good()
    found = verified(proof, ledger, tmp_path).good().json
    lines = {line["name"]: line["text"] for line in found["lines"]}
    assert "aggregated in regtest block" in lines["freshness"]
    assert "signed by old, next and new keys" in lines["handoff"]
    soul = (ledger.path / "SOUL.md").read_bytes()
    assert both(proof.read_bytes(), soul) == "TEST"
    shown = tmp_path / "me.soul"
    ledger.run("soul", "chain", "-o", str(shown)).good()
    assert both(shown.read_bytes(), soul) == "UNBROKEN-PENDING", "not without the receipt"
    segment = ledger.root / "segment.receipt"
    ledger.run("soul", "chain", "--receipt", str(receipt), "-o", str(shown), "--force").refused(
        "shows a time only"
    )
    ledger.run("soul", "chain", "--receipt", str(segment), "-o", str(shown), "--force").good()
    assert both(shown.read_bytes(), soul) == "TEST"
    attested(ledger, segment, receipt, soul)


def attested(ledger, segment, receipt, soul):
    """What is published under the npub shows the delegated part, too, if its receipt is given."""
    for more, verdict in (((), "UNBROKEN-PENDING"), (("--receipt", str(segment)), "TEST")):
        done = ledger.run("--json", "soul", "attest", *more).good().json
        assert done["in_event"]
        data = published(ledger, done)
        assert hashlib.sha256(data).hexdigest() == done["sha256"]
        assert both(data, soul) == verdict
    ledger.run("soul", "attest", "--receipt", str(receipt)).refused("shows a time only")
    node, path = ledger._nodes[-1], "/v1/soul"
    ask = {"action": "attest", "receipts": [receipt.read_bytes().hex()]}
    node.request("POST", path, ask).refused(400, "receipt 1 is of one link")
    node.request("POST", path, ask | {"receipts": [7]}).refused(400, "receipts is not hex")
    before = segment.with_name("many.receipt")
    before.write_bytes(segment.read_bytes())
    many = ["--receipt", str(before)] * (2_000_000 // before.stat().st_size + 1)
    ledger.run("soul", "attest", *many).refused("at most 2000000", "timmy soul chain")


def published(home, done):
    """The file in the newest event at the agent's address on its relay."""
    status = home.run("--json", "status").good().json
    with connect(status["relay"]) as relay:
        address = {"kinds": [30078], "#d": [f"timmy/soul/{status['ledger']}"]}
        relay.send(json.dumps(["REQ", "x", address]))
        _, _, event = json.loads(relay.recv(timeout=30))
    assert event["id"] == done["nostr"]
    return base64.b64decode(event["content"])


def test_the_aggregator_hands_itself_over_and_a_ledger_delegates_anew(
    chain, tmp_path_factory, tmp_path
):
    """Its links go on under the new key; what they show to others begins anew, without a gap."""
    aggregator = an_agent("heir", chain, tmp_path_factory, ENABLED)
    ledger = an_agent("client", chain, tmp_path_factory)
    soul = (ledger.path / "SOUL.md").read_bytes()
    segments = []

    def delegated(words):
        offer = tmp_path / f"offer-{words}"
        aggregate(aggregator, "offer", "-o", offer).good()
        aggregate(ledger, "delegate", offer).good()
        chain.mine(1)
        assert kinds(ledger)[-1] == "delegation"
        at = said(ledger, words)
        handed_over(ledger, aggregator, tmp_path / f"{words}.submission")
        round_of(aggregator, chain)
        value = decode(offer.read_bytes(), bytes_max=4096)
        segments.append((value["outpoint"][0][::-1].hex(), tmp_path / f"{words}.receipt"))
        return at, value["seal_key"]

    def receipts():
        """All segments as they are now; what the aggregator says of each."""
        told = []
        for since, file in segments:
            done = aggregate(aggregator, "prove", own_id(ledger), "--since", since, "-o", file)
            told.append(done.good().err)
        return told, [word for _, file in segments for word in ("--receipt", str(file))]

    first, old_key = delegated("before")
    aggregator._nodes[-1].stop()
    kits = ("--kit", str(aggregator.root / "kit.txt"), "--new-kit", str(tmp_path / "new-kit.txt"))
    aggregator.run("handoff", *kits).good()
    aggregator.start()
    for _ in range(2):  # the enrolment, then the handoff itself
        anchor(aggregator, "status")
        chain.mine(1)
    assert kinds(aggregator)[-2:] == ["aggregate", "handoff"]
    [told], _ = receipts()
    assert "a handoff of this aggregator's own seal ended these links" in told

    aggregate(ledger, "return").good()
    chain.mine(1)
    assert kinds(ledger)[-1] == "anchor"
    second, new_key = delegated("after")
    assert new_key != old_key
    told, given = receipts()
    assert ["ended these links" in text for text in told] == [True, False]
    proof = tmp_path / "both.proof"
    for at in (first, second):
        ledger.run("prove", str(at), "--anchored", *given, "-o", str(proof), "--force").good()
        assert both(proof.read_bytes(), soul) == "TEST"
    shown = verified(proof, ledger, tmp_path, *chain.online).good().json
    assert str(shown["lines"]).count("with a slot") == 2
    for home in (aggregator, ledger):
        home._nodes[-1].stop()
