"""The fleet manifest: one encoding, every refusal by its name, and a twin that decides likewise."""

import hashlib
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.core.codec import encode
from ledger.core.keys import Signer, verify
from mesh.core.errors import (
    ForgedManifest,
    InvalidManifest,
    ManifestFork,
    ManifestGap,
    ManifestRefused,
    MissingQuorum,
    NotMember,
    RemovedMember,
    ReplayedManifest,
)
from mesh.core.fleet import manifest as module
from mesh.core.fleet.manifest import (
    TAG,
    VOTER,
    WITNESS,
    Fleet,
    Manifest,
    Member,
    Removal,
    SignedManifest,
    open_manifest,
    sign_manifest,
)


def digest(name):
    return hashlib.sha256(name.encode()).digest()


def signer(name):
    return Signer(digest(name))


OPERATOR, THIEF = signer("operator"), signer("thief")


def member(name, *roles):
    key = digest(f"witness {name}") if WITNESS in roles else b""
    return Member(
        ledger=digest(f"ledger {name}"), nostr=signer(name).public, name=name,
        urls=(f"http://{name}.example:8787",), roles=tuple(sorted(roles)), witness=key,
    )  # fmt: skip


def manifest(*members, **facts):
    ordered = tuple(sorted(members, key=lambda one: one.ledger))
    return Manifest(**{"number": 0, "previous": b"", "operator": OPERATOR.public,
                       "members": ordered} | facts)  # fmt: skip


A, B, C = (member(name, VOTER, WITNESS) for name in "abc")
D = member("d", "gateway")
FIRST = manifest(A, B, C, quorum=2, needed=1)
FLEET = Fleet.begin(sign_manifest(FIRST, OPERATOR))


def signed(made, *approving, by=OPERATOR):
    return sign_manifest(made, by).approved(*map(signer, approving))


def taken(one):
    """As it comes from the wire."""
    return open_manifest(one.encode())


# ---- the encoding --------------------------------------------------------------------------------


def test_it_is_read_as_it_was_written():
    one = signed(FIRST.following(members=(*FIRST.members, D)), "a", "c")
    assert taken(one) == one
    assert Manifest.parse(one.manifest.encode()) == one.manifest
    assert len(one.manifest.digest) == 32
    assert manifest() == Manifest.parse(manifest().encode())
    dated = replace(FIRST.following(), since=2**37)
    assert Manifest.parse(dated.encode()) == dated
    assert b"since" not in FIRST.encode(), "those of before that field read back as they were"


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_other_bytes_are_refused(data):
    with pytest.raises(InvalidManifest):
        open_manifest(data)


@settings(deadline=None, max_examples=150)
@given(st.integers(0, 10**6), st.integers(1, 255))
def test_every_damage_is_refused(at, change):
    data = bytearray(signed(FIRST, "a").encode())
    data[at % len(data)] ^= change
    with pytest.raises(InvalidManifest):
        open_manifest(bytes(data))


def body(**changes):
    value = {
        "version": 1, "number": 0, "previous": b"", "operator": OPERATOR.public,
        "members": [A.to_value()], "quorum": 1, "needed": 0,
    }  # fmt: skip
    value |= changes
    return encode({key: item for key, item in value.items() if item is not None})


BAD = {
    "version": body(version=2), "no quorum": body(quorum=None), "more": body(more=1),
    "bool": body(quorum=True), "negative": body(quorum=-1), "too few": body(quorum=0),
    "too many": body(quorum=2), "needed": body(needed=2), "number": body(number=2**31 + 1),
    "since": body(since=1), "since 0": body(since=0), "bytes": body(since=b"1"),
    "before": body(number=1, previous=bytes(32), since=-1), "late": body(number=1, previous=bytes(32), since=2**37 + 1),
    "previous": body(previous=bytes(32)), "none before": body(number=1),
    "operator": body(operator=bytes(31)), "members": body(members={}),
    "twice": body(members=[A.to_value(), A.to_value()], quorum=2),
    "order": body(members=[m.to_value() for m in sorted((A, B), key=lambda m: m.ledger)[::-1]], quorum=2),
    "one key": body(members=sorted([A.to_value(), B.to_value() | {"nostr": A.nostr}], key=lambda m: m["ledger"]), quorum=2),
    "one witness": body(members=sorted([A.to_value(), B.to_value() | {"witness": A.witness}], key=lambda m: m["ledger"]), quorum=2),
    **{f"member {key} {item!r}": body(members=[A.to_value() | {key: item}]) for key, item in (
        ("ledger", b""), ("nostr", bytes(33)), ("name", ""), ("name", "x" * 65), ("name", "a\nb"), ("name", b"a"),
        ("urls", ["ftp://x"]), ("urls", ["http://x"] * 9), ("urls", ["http://" + "x" * 300]), ("urls", [1]),
        ("urls", ["http://a b\x07"]), ("roles", ["voter"]), ("roles", ["witness", "voter"]), ("roles", ["king"]),
        ("roles", ["voter", "voter", "witness"]), ("witness", b""), ("more", 1),
    )},
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_a_body_that_breaks_a_rule_is_refused(name):
    with pytest.raises(InvalidManifest):
        Manifest.parse(BAD[name])
    signature = OPERATOR.sign(TAG, BAD[name])
    with pytest.raises(InvalidManifest):
        open_manifest(encode([BAD[name], signature, []]))
    assert Manifest.parse(body())


def test_what_is_signed_is_in_one_encoding():
    """A map with its keys in another order is the same to CBOR, and refused."""
    data = body()
    swapped = bytes([data[0]]) + data[1:]
    assert Manifest.parse(swapped)
    with pytest.raises(InvalidManifest):
        Manifest.parse(data + b"\x00")
    with pytest.raises(InvalidManifest):
        Manifest.parse(b"\xbf" + data[1:] + b"\xff")


# ---- forged --------------------------------------------------------------------------------------


def test_a_forged_manifest_is_named():
    with pytest.raises(ForgedManifest, match="another operator"):
        sign_manifest(FIRST, THIEF)
    wrong = SignedManifest(manifest=FIRST, signature=THIEF.sign(TAG, FIRST.encode()))
    with pytest.raises(ForgedManifest, match="operator's signature"):
        taken(wrong)
    other = sign_manifest(replace(FIRST.following(), operator=THIEF.public), THIEF)
    with pytest.raises(ForgedManifest, match="another operator"):
        FLEET.advance(taken(other))


def test_forged_approvals_are_named():
    one = signed(FIRST.following(), "a")
    [(key, signature)] = one.approvals
    bad = replace(one, approvals=((key, signature[:-1] + bytes([signature[-1] ^ 1])),))
    with pytest.raises(ForgedManifest, match="the approval of"):
        taken(bad)
    for approvals in (((key, signature),) * 2, ((key, signature[:-1]),), ((key[:-1], signature),)):
        with pytest.raises(InvalidManifest):
            taken(replace(one, approvals=approvals))
    with pytest.raises(ForgedManifest, match="is no voter"):
        FLEET.advance(taken(signed(FIRST.following(), "thief")))


# ---- what follows --------------------------------------------------------------------------------


def test_members_and_addresses_are_the_operators():
    moved = replace(A, urls=("https://elsewhere.example",))
    others = [one for one in FIRST.members if one.ledger != A.ledger]
    fleet = FLEET.advance(taken(signed(FIRST.following(members=(*others, moved, D)))))
    assert fleet.check_member(D.ledger) == D
    assert fleet.fleet_id == FIRST.digest
    without = fleet.manifest.following(members=[m for m in fleet.manifest.members if m != D])
    fleet = fleet.advance(taken(signed(without)))
    with pytest.raises(RemovedMember):
        fleet.check_member(D.ledger)
    assert fleet.removed == {D.ledger: Removal(nostr=D.nostr, number=without.number)}
    assert moved in fleet.others_of(others[0].ledger)
    assert fleet.others_of(D.ledger) == ()
    with pytest.raises(NotMember) as caught:
        fleet.check_member(bytes(32))
    assert not isinstance(caught.value, RemovedMember)
    again = fleet.manifest.following(members=(*fleet.manifest.members, D))
    assert fleet.advance(taken(signed(again))).removed == {}, "who is back was not taken out"


GUARDED = {
    "another voter": FIRST.following(members=(*FIRST.members, member("e", VOTER)), quorum=3),
    "a voter less": FIRST.following(members=[m for m in FIRST.members if m != A]),
    "a voter demoted": FIRST.following(
        members=[replace(m, roles=(WITNESS,)) if m == A else m for m in FIRST.members]
    ),
    "a witness' key": FIRST.following(
        members=[replace(m, witness=digest("x")) if m == A else m for m in FIRST.members]
    ),
    "a voter's key": FIRST.following(
        members=[replace(m, nostr=THIEF.public) if m == A else m for m in FIRST.members]
    ),
    "another quorum": FIRST.following(quorum=3),
    "fewer witnesses": FIRST.following(needed=0),
}


@pytest.mark.parametrize("name", GUARDED)
def test_who_decides_is_changed_by_those_who_decided(name):
    for approving in ((), ("a",)):
        with pytest.raises(MissingQuorum, match="2 are needed"):
            FLEET.advance(taken(signed(GUARDED[name], *approving)))
    assert FLEET.advance(taken(signed(GUARDED[name], "a", "b"))).manifest == GUARDED[name]
    assert FLEET.advance(taken(signed(GUARDED[name], "a", "b", "c")))


def test_a_thief_of_the_operators_key_cannot_lower_the_quorum_step_by_step():
    step = FIRST.following(quorum=3)
    fleet = FLEET.advance(signed(step, "a", "b"))
    with pytest.raises(MissingQuorum):
        fleet.advance(
            signed(step.following(members=[m for m in step.members if m != A], quorum=2), "b", "c")
        )


def test_a_replay_a_fork_and_a_gap_are_told_apart():
    one = signed(FIRST.following(members=(*FIRST.members, D)))
    fleet = FLEET.advance(one)
    for old in (FLEET.newest, one):
        with pytest.raises(ReplayedManifest):
            fleet.advance(taken(old))
    with pytest.raises(ManifestFork, match="two manifests 1"):
        fleet.advance(signed(FIRST.following(), "a"))
    with pytest.raises(ManifestGap):
        FLEET.advance(signed(one.manifest.following()))
    with pytest.raises(ManifestFork, match="follows"):
        fleet.advance(signed(replace(one.manifest.following(), previous=bytes(32))))
    with pytest.raises(ManifestGap):
        Fleet.begin(one)


# ---- a twin --------------------------------------------------------------------------------------


NAMES = "abcde"
STEP = st.tuples(
    st.sets(st.sampled_from(NAMES), min_size=1), st.sets(st.sampled_from(NAMES)),
    st.sets(st.sampled_from(NAMES)), st.integers(0, 2), st.booleans(),
)  # fmt: skip


@settings(deadline=None, max_examples=80)
@given(st.lists(STEP, max_size=6))
def test_it_decides_as_a_twin_that_keeps_sets(steps):
    """Sets of names in the place of manifests: who votes, who signs, what number."""
    fleet, voters, witnesses, quorum, number = FLEET, set("abc"), set("abc"), 2, 0
    for members, wanted, approving, ahead, skip in steps:
        voting = wanted & members
        made = [member(n, *([VOTER] if n in voting else [])) for n in sorted(members)]
        majority = len(voting) // 2 + 1 if voting else 0
        made = fleet.manifest.following(members=made, quorum=majority, needed=0)
        made = replace(made, number=made.number + ahead) if skip else made
        guarded = voting != voters or bool(witnesses)
        expected = not (skip and ahead) and approving <= voters
        expected = expected and (not guarded or len(approving) >= quorum)
        try:
            fleet = fleet.advance(taken(signed(made, *approving)))
        except (ManifestRefused, ForgedManifest):
            assert not expected
            continue
        assert expected
        voters, witnesses, quorum, number = voting, set(), majority, number + 1
        assert fleet.manifest.number == number
        assert {one.name for one in fleet.manifest.voters} == voters


def test_signatures_of_strangers_are_never_asked_about(monkeypatch):
    """Anybody may send a manifest with 256 approvals; each costs two milliseconds."""
    asked = []

    def counted(key, *rest):
        asked.append(key)
        return verify(key, *rest)

    monkeypatch.setattr(module, "verify", counted)
    strangers = [f"stranger {at}" for at in range(256)]
    for made, by, error in (
        (FIRST.following(), THIEF, ForgedManifest),
        (replace(FIRST.following(), operator=THIEF.public), THIEF, ForgedManifest),
        (FIRST, OPERATOR, ReplayedManifest),
        (FIRST.following(), OPERATOR, ForgedManifest),
        (FIRST.following().following(), OPERATOR, ManifestGap),
    ):
        one = SignedManifest(manifest=made, signature=by.sign(TAG, made.encode()))
        data = one.approved(*map(signer, strangers)).encode()
        with pytest.raises(error):
            FLEET.open(data)
    assert set(asked) <= {OPERATOR.public}
    good = signed(FIRST.following(), "a", "b")
    assert FLEET.open(good.encode()) == good
    again = encode([*_list(good)[:2], _list(good)[2] * 2])
    with pytest.raises(InvalidManifest, match="each once"):
        FLEET.open(again)


def _list(one):
    return [one.manifest.encode(), one.signature, [list(pair) for pair in one.approvals]]
