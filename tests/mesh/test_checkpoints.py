import pytest

from mesh.core.errors import InvalidEvent
from mesh.witnesses.checkpoints import CheckpointKinds, Published, mint_checkpoint, mint_head
from tests.mesh.peers import ALICE, NOW, make

LEDGER, ROOT = "ab" * 32, "cd" * 32
NOTE = f"timmy/{LEDGER}/0\n42\nzQ==\n\n— timmy/{LEDGER}/0 c2ln\n"
PUBLISHED = Published(ledger=LEDGER, size=42, root=ROOT, note=NOTE)
KINDS = CheckpointKinds()
CHECKPOINT = mint_checkpoint(ALICE, PUBLISHED, now=NOW, kinds=KINDS)


def head(last, now=NOW):
    return mint_head(ALICE, PUBLISHED, checkpoint_event=CHECKPOINT, now=now, last=last, kinds=KINDS)


def test_a_checkpoint_is_a_regular_event_that_can_be_queried():
    assert CHECKPOINT.kind == 78
    assert CHECKPOINT.created_at == NOW
    assert CHECKPOINT.content == NOTE
    assert dict(CHECKPOINT.tags) == {"d": LEDGER, "size": "42", "n": "42", "x": ROOT}
    assert Published.parse(CHECKPOINT, KINDS) == PUBLISHED


def test_the_head_is_at_one_address_and_points_to_it():
    event = head(None)
    assert event.kind == 30078
    assert dict(event.tags)["d"] == f"timmy/head/{LEDGER}"
    assert dict(event.tags)["e"] == CHECKPOINT.id
    assert Published.parse(event, KINDS) == PUBLISHED


@pytest.mark.parametrize(
    ("last", "dated"), [(None, NOW), (NOW - 9, NOW), (NOW, NOW + 1), (NOW + 60, NOW + 61)]
)
def test_a_newer_head_is_always_dated_later(last, dated):
    assert head(last).created_at == dated


GOOD = [("d", LEDGER), ("size", "42"), ("n", "42"), ("x", ROOT)]


@pytest.mark.parametrize(
    ("kind", "change"),
    [
        (1, {}),
        (30078, {}),
        (78, {"d": None}),
        (78, {"d": LEDGER.upper()}),
        (78, {"x": None}),
        (78, {"x": "00"}),
        (78, {"n": None}),
        (78, {"n": ""}),
        (78, {"n": "042"}),
        (78, {"n": "-1"}),
        (78, {"n": "٤"}),
        (78, {"n": "4" * 30, "size": "4" * 30}),
        (78, {"n": "4" * 17, "size": "4" * 17}),
        (78, {"size": "43"}),
    ],
)
def test_other_events_are_not_taken_for_one(kind, change):
    tags = tuple(
        (name, change.get(name, value)) for name, value in GOOD if change.get(name, "") is not None
    )
    with pytest.raises(InvalidEvent):
        Published.parse(make(kind=kind, tags=tags, content=NOTE), KINDS)


def test_kinds_that_would_lose_evidence_are_refused():
    with pytest.raises(InvalidEvent, match="not regular") as caught:
        CheckpointKinds(checkpoint=30078)
    assert "evidence" in caught.value.hint
    with pytest.raises(InvalidEvent, match="not addressable"):
        CheckpointKinds(head=78)
    with pytest.raises(InvalidEvent, match="0 to 65535"):
        CheckpointKinds(checkpoint=70000)
    assert CheckpointKinds(checkpoint=1078, head=31078).checkpoint == 1078
