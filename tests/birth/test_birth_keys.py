import hashlib
import hmac

import pytest
from Cryptodome.Hash import SHA256
from Cryptodome.Protocol.KDF import HKDF
from hypothesis import given
from hypothesis import strategies as st

from genesis.core import keys
from genesis.core.errors import InvalidEntropy
from genesis.core.keys import AgentKeys, Entropy, derive_independent, derive_root, derive_scalar

SOUL = hashlib.sha256(b"soul").digest()
INPUTS = (Entropy(name="os", data=bytes(range(32))), Entropy(name="boot-id", data=b"x"))

# RFC 5869 appendix A.1 to A.3: ikm, salt, info, length, prk, okm
RFC_5869 = [
    (
        "0b" * 22,
        "000102030405060708090a0b0c",
        "f0f1f2f3f4f5f6f7f8f9",
        42,
        "077709362c2e32df0ddc3f0dc47bba6390b6c73bb50f9c3122ec844ad7c2b3e5",
        "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865",
    ),
    (
        bytes(range(0x50)).hex(),
        bytes(range(0x60, 0xB0)).hex(),
        bytes(range(0xB0, 0x100)).hex(),
        82,
        "06a6b88c5853361a06104c9ceb35b45cef760014904671014a193f40c15fc244",
        "b11e398dc80327a1c8e7f78c596a49344f012eda2d4efad8a050cc4c19afa97c59045a99cac7827271cb41c65e590e09da3275600c2f09b8367793a9aca3db71cc30c58179ec3e87c14c01d5c1f3434f1d87",
    ),
    (
        "0b" * 22,
        "",
        "",
        42,
        "19ef24a32c717b167f33a91d6f648bdf96596776afdb6377ac434c1c293ccb04",
        "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8",
    ),
]


@pytest.mark.parametrize(("ikm", "salt", "info", "length", "prk", "okm"), RFC_5869)
def test_rfc_5869(ikm, salt, info, length, prk, okm):
    found = keys.hkdf_extract(bytes.fromhex(salt), bytes.fromhex(ikm))
    assert found.hex() == prk
    assert keys.hkdf_expand(found, bytes.fromhex(info), length).hex() == okm


def test_the_derivation_is_frozen():
    # Every keystore in the world holds a root: these values may never change.
    root = derive_root(soul_sha256=SOUL, inputs=INPUTS)
    assert root.hex() == "c2401a1a0b4fee02337970e976a8fb7e7c80e9443e0b6c25826cee2c120cde9b"
    public = {role: key.hex() for role, key in AgentKeys.from_root(root).public().items()}
    assert public == {
        "log": "25f3fde85999a3985c1240a0318cea5e6c52d384c45e2f435371f8258f296afb",
        "nostr": "364ddca9e1d899a5255ed2a35d01712562f6def076d829397cd8d7e1712a0bea",
        "seal": "95dab7f1027b23c221f3250fc5b07244b9fc6995a95054c7efe1cb68a2c48903",
        "funding": "94fe290b40b4f393a3067b624ca9765484f0288250c1e440b09527f26e836882",
    }


def test_same_soul_other_entropy_and_same_entropy_other_soul_give_other_keys():
    other_inputs = (Entropy(name="os", data=bytes(range(1, 33))), INPUTS[1])
    roots = {
        derive_root(soul_sha256=SOUL, inputs=INPUTS),
        derive_root(soul_sha256=SOUL, inputs=other_inputs),
        derive_root(soul_sha256=hashlib.sha256(b"soul ").digest(), inputs=INPUTS),
        derive_independent("next", INPUTS),
        derive_independent("recovery", INPUTS),
    }
    public = [key for root in roots for key in AgentKeys.from_root(root).public().values()]
    assert len(roots) == 5
    assert len(set(public)) == 20  # and no two roles are equal


def test_bytes_cannot_move_between_inputs():
    # Without names and lengths these would be one and the same concatenation.
    long = bytes(40)
    variants = [
        (Entropy(name="a", data=long), Entropy(name="b", data=b"xy")),
        (Entropy(name="a", data=long + b"x"), Entropy(name="b", data=b"y")),
        (Entropy(name="a", data=long + b"xy"), Entropy(name="b", data=b"")),
        (Entropy(name="ab", data=long + b"xy"),),
        (Entropy(name="b", data=long), Entropy(name="a", data=b"xy")),
    ]
    assert len({derive_root(soul_sha256=SOUL, inputs=inputs) for inputs in variants}) == 5


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ((), "0 entropy inputs, expected 1 to 16"),
        ((Entropy(name="os", data=bytes(31)),), "31 bytes, at least 32"),
        ((INPUTS[0], INPUTS[0]), "named twice"),
        (
            tuple(Entropy(name=f"s{n}", data=bytes(32)) for n in range(17)),
            "17 entropy inputs, expected 1 to 16",
        ),
    ],
)
def test_poor_entropy_is_refused(inputs, message):
    with pytest.raises(InvalidEntropy, match=message):
        derive_root(soul_sha256=SOUL, inputs=inputs)


@given(st.binary(min_size=32, max_size=32), st.sampled_from([2**255, 2**252, keys.CURVE_ORDER]))
def test_scalars_outside_the_order_are_skipped_as_the_dumb_twin_does(root, order):
    counter = 0
    while True:
        info = f"timmy/key/v1/log/{counter}".encode() + b"\x01"
        candidate = hmac.new(root, info, hashlib.sha256).digest()
        if 0 < int.from_bytes(candidate, "big") < order:
            break
        counter += 1
        if counter == 256:
            return
    assert derive_scalar(root, "log", order=order) == candidate


def test_an_order_that_no_candidate_meets_ends_with_an_error():
    with pytest.raises(InvalidEntropy, match="no scalar for log in 256"):
        derive_scalar(bytes(32), "log", order=2)


def test_reprs_hide_every_secret():
    bundle = AgentKeys.from_root(bytes(range(32)))
    for role in keys.ROLES:
        secret = bundle.signer(role).secret
        assert secret.hex() not in repr(bundle)
        assert repr(secret) not in repr(bundle)
    assert repr(INPUTS[0].data) not in repr(INPUTS)


@given(st.binary(max_size=80), st.binary(max_size=40), st.binary(max_size=40), st.integers(1, 200))
def test_hkdf_agrees_with_another_implementation(ikm, salt, info, length):
    expected = HKDF(ikm, length, salt, SHA256, context=info)
    assert keys.hkdf_expand(keys.hkdf_extract(salt, ikm), info, length) == expected
