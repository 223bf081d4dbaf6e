"""state(redact(log)) = redact(state(log)): erasing words changes no state, digest, id or root."""

from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.core.event import Event
from ledger.core.redaction import storable, targets
from ledger.core.state import BASIC_REDUCERS, State
from ledger.replay import attestation, reducers_hash, replay
from runtime.core.agenda import reduce_agenda
from runtime.core.turns import Turns
from tests.ledger.makers import fact, genesis, message, open_log

STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("say"), st.text(max_size=40)),
        st.tuples(st.just("fact"), st.integers(0, 9)),
        st.tuples(st.just("attest"), st.none()),
        st.tuples(st.just("redact"), st.lists(st.integers(0, 30), min_size=1, max_size=4)),
    ),
    max_size=25,
)


def lived(steps):
    """A log of these steps, and every event as it was before anything was erased."""
    log = open_log()
    full = log.append_now(genesis())
    for kind, value in steps:
        if kind == "say":
            draft = message(value)
        elif kind == "fact":
            draft = fact(value)
        elif kind == "attest":
            done = replay(log.events(), BASIC_REDUCERS)
            draft = attestation(done.state, reducers_hash(BASIC_REDUCERS))
        else:
            some = [at % log.size for at in value if log.read(at % log.size).has_content]
            if not some:
                continue
            draft = log.redaction(some, reason="asked", actor="operator")
        full += log.append_now(draft)
    return log, full


def digests(events):
    state, found = State(BASIC_REDUCERS), []
    for event in events:
        state.apply(event)
        found.append(state.digest())
    return found, state.entries


def turns_of(events):
    state = State((reduce_agenda,))
    for event in events:
        state.apply(event)
    turns = Turns(state)
    return {name: getattr(turns, name) for name in ("pending", "holds", "open", "withheld")}


@settings(max_examples=60)
@given(STEPS)
def test_erasing_changes_no_state_and_no_digest(steps):
    log, full = lived(steps)
    erased = list(log.events())
    assert digests(erased) == digests(full)
    assert turns_of(erased) == turns_of(full)
    assert [event.id for event in erased] == [event.id for event in full]
    assert replay(erased, BASIC_REDUCERS).agreed == replay(full, BASIC_REDUCERS).agreed


@settings(max_examples=60)
@given(STEPS)
def test_what_may_be_stored_is_what_the_log_itself_kept(steps):
    """An importer or a mirror that had every content ends with the bytes of the log that erased."""
    log, full = lived(steps)
    named = {target for event in full for target in targets(event)}
    kept = list(storable((event.record for event in full), named))
    assert kept == list(log.records())
    assert all(Event.open(record) for record in kept)
    assert list(storable(kept, named)) == kept
    nothing = [event.record for event in full]
    assert list(storable(nothing, ())) == nothing
