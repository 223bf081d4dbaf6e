"""What cannot be redacted, and by whom; and a redaction that was asked for twice."""

import pytest

from ledger.core import types
from ledger.core.codec import encode
from ledger.core.errors import NotFound, Refused
from ledger.core.event import Draft, Envelope, Record, content_commitment, payload_commitment
from node.keeping import redacting
from tests.ledger.makers import STREAM, fact, genesis, message, open_log

CONTROL = [kind.name for kind in types.KNOWN.values() if not kind.content]


@pytest.mark.parametrize("name", CONTROL)
def test_no_event_of_a_control_type_can_be_redacted(name):
    with open_log() as log:
        own = types.LINEAGE_STREAM if name in types.LINEAGE else STREAM
        log.append_now(genesis(), Draft(type=name, stream=own, payload={"targets": []}))
        with pytest.raises(Refused, match=f"event 1 .{name}. has no content to redact") as caught:
            redacting.ask(log, [1], reason="asked", actor="operator")
        assert "never facts, keys and rules" in caught.value.hint
        forged = Draft(type="ledger.redacted", stream=STREAM, payload={"targets": [1]})
        with pytest.raises(Refused, match="no content to redact"):
            log.append_now(forged)
        assert log.size == 2


def test_a_control_type_that_was_imported_with_content_keeps_it():
    """Verifiers do not check which types have content; a redaction must not lift a rule even so."""
    from ledger.memory import MemoryStore
    from ledger.store import Batch

    content = encode({"text": "banned for good"})
    payload = encode({"action": "hold", "content": content_commitment(b"c" * 32, content)})
    envelope = Envelope.of(
        kind="policy.decided", schema=1, stream=STREAM, stream_sequence=0, ts_ms=1, causes=(),
        idempotency_key=None, payload_commitment=payload_commitment(b"s" * 32, payload),
        payload_length=len(payload),
    )  # fmt: skip
    record = Record(
        position=0, envelope=envelope.encoded, salt=b"s" * 32, payload=payload,
        content_salt=b"c" * 32, content=content,
    )  # fmt: skip
    store = MemoryStore()
    store.append(Batch(events=[(record, envelope)]))
    with open_log(store) as log:
        assert log.read(0).has_content
        with pytest.raises(Refused, match="has no content to redact"):
            log.redaction([0], reason="asked", actor="operator")


def test_nothing_of_a_mixed_request_is_erased_when_one_is_refused():
    with open_log() as log:
        log.append_now(genesis(), message("words"), fact(1))
        for positions, error in (([1, 2], Refused), ([1, 9], NotFound), ([-1], NotFound)):
            with pytest.raises(error):
                redacting.ask(log, positions, reason="asked", actor="operator")
        assert not log.read(1).redacted


def test_asking_twice_is_asking_once(born):
    with born.running() as node:
        at = node.say("grimbolux tavernasch")["message"]["position"]
        other = node.say("ploddert wexingholm")["message"]["position"]
        first = node.request("POST", "/v1/redact", {"positions": [at, at]}).json
        before = node.asked_for()
        again = node.request("POST", "/v1/redact", {"positions": [at]}).json
        assert (again["targets"], again["already"]) == ([], {str(at): first["position"]})
        assert again["position"] == first["position"]
        assert again["finished"] is True
        assert node.asked_for() == before
        both = node.request("POST", "/v1/redact", {"positions": [at, other]}).json
        assert (both["targets"], list(both["already"])) == ([other], [str(at)])
    told = born.run("redact", str(at), "--yes").good()
    assert f"what event {at} said was erased before; event {first['position']} says so" in told.out


def test_a_reason_that_says_what_is_to_go_is_refused(born):
    secret = "grimbolux tavernasch ploddert wexingholm farrundel"
    with born.running() as node:
        at = node.say(secret)["message"]["position"]
        body = {"positions": [at], "reason": f"he told me {secret}"}
        node.request("POST", "/v1/redact", body).refused(400, "the reason repeats 5 words", "stays")
        refused = born.run("redact", str(at), "--yes", "--reason", secret)
        refused.refused("the reason repeats 5 words", "say why without saying what")
        node.request("POST", "/v1/redact", {"positions": [at], "reason": "x" * 501}).refused(400)
        assert not next(row for row in node.log() if row["position"] == at)["redacted"]
        for token in ("", "stranger"):
            body = {"positions": [at]}
            node.request("POST", "/v1/redact", body, token=token).refused(401)
        for positions, words in (([0], "no content to redact"), ([10**9], "there is no event")):
            answer = node.request("POST", "/v1/redact", {"positions": positions})
            assert answer.status in {400, 404}
            assert words in answer.json["error"]
        assert not next(row for row in node.log() if row["position"] == at)["redacted"]
