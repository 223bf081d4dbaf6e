"""A chain of seals on regtest for the rows about Bitcoin: signed and mined once a run, then read.

Transactions are built and signed as the anchorer does it, with a fee coin each out of thin air;
blocks are ground by the tests' forge. What is kept is what a verifier would be given.
"""

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from attest.core.anchor import ChainResult, Step, verify_chain
from attest.core.header import HEADER_BYTES, REGTEST
from attest.core.merkle import MerklePath
from attest.core.proof import AnchorProof, SealOpening
from attest.core.seal import Coin, Fee, anchor_draft, opening_draft, sign
from attest.core.signer import FundingSigner, SealSigner
from attest.core.transaction import OutPoint, Transaction, TxOut, double_sha256
from ledger.core.codec import decode, encode
from tests.attest.forge import grind_raw

_YEAR_LINKS: Final = 1000
_YEAR_HEADERS: Final = 52_560
"""Blocks of ten minutes in 365 days; a chain of fewer links spans so much less."""
_HEIGHT: Final = 1000
_BEGIN_S: Final = 1_700_000_000
_INTERVAL_S: Final = 600
_SEAL_SAT: Final = 10_000
_FEE: Final = Fee(sat_per_kvb=1000)
_SEAL: Final = SealSigner(secret=b"\x01" * 32, soul_digest=b"\x02" * 32)
_FUNDING: Final = FundingSigner(secret=b"\x03" * 32)
_BYTES_MAX: Final = 2**27


@dataclass(frozen=True, slots=True, kw_only=True)
class Seals:
    """What a verifier is given."""

    opening: SealOpening
    links: tuple[AnchorProof, ...]
    steps: tuple[Step, ...]

    @property
    def headers(self) -> bytes:
        """All headers of the stretch, joined."""
        return b"".join(header for link in self.links for header in link.headers)

    @property
    def short(self) -> "Seals":
        """The same links with one header each."""
        return replace(self, links=tuple(replace(k, headers=k.headers[:1]) for k in self.links))

    def verify(self) -> ChainResult:
        """The offline verification of the whole chain."""
        return verify_chain(
            opening=self.opening,
            links=self.links,
            steps=self.steps,
            soul_digest=_SEAL.soul_digest,
            network=REGTEST,
        )


def seals(folder: Path, links: int) -> Seals:
    """Read the chain of so many links, or make it first."""
    path = folder / f"seals-{links}.cbor"
    if not path.exists():
        path.write_bytes(encode(_made(links, _YEAR_HEADERS * links // _YEAR_LINKS)))
    public = _SEAL.public
    value = decode(path.read_bytes(), bytes_max=_BYTES_MAX)
    return Seals(
        opening=SealOpening.from_value(value["opening"]),
        links=tuple(AnchorProof.from_value(link) for link in value["links"]),
        steps=tuple(Step(digest=digest, seal_key=public) for digest in value["digests"]),
    )


def link_bytes(depth: int) -> int:
    """What one anchor takes in a proof, its head's note and its headers left out.

    It has a fee input and change, and stands in a block of 2 ** `depth` transactions.
    """
    made, spent = _transactions([bytes(32), bytes(32)])[-1]
    path = MerklePath(index=0, siblings=(bytes(32),) * depth)
    header = bytes(HEADER_BYTES)
    proof = AnchorProof(
        transaction=made.raw, spent=tuple(spent), path=path, height=900_000, headers=(header,)
    )
    return len(encode(proof.to_value())) - HEADER_BYTES


def _coin(number: int) -> Coin:
    txid = hashlib.sha256(b"coin %d" % number).digest()
    output = TxOut(value_sat=50_000, script=_FUNDING.script)
    return Coin(outpoint=OutPoint(txid=txid, index=0), output=output)


def _transactions(digests: list[bytes]) -> list[tuple[Transaction, list[TxOut]]]:
    """Each signed transaction, with what its fee inputs spend."""
    seal_output = TxOut(value_sat=_SEAL_SAT, script=_SEAL.script)
    draft = opening_draft(
        coins=[_coin(0)],
        digest=digests[0],
        seal=seal_output,
        recovery=None,
        change_script=_FUNDING.script,
        fee=_FEE,
    )
    made: list[tuple[Transaction, list[TxOut]]] = [(sign(draft, seal=_SEAL, funding=_FUNDING), [])]
    for number, digest in enumerate(digests[1:], start=1):
        seal = Coin(outpoint=OutPoint(txid=made[-1][0].txid, index=1), output=seal_output)
        draft = anchor_draft(
            seal=seal,
            fee_coins=[_coin(number)],
            digest=digest,
            change_script=_FUNDING.script,
            fee=_FEE,
        )
        made.append((sign(draft, seal=_SEAL, funding=_FUNDING), draft.spent[1:]))
    return made


def _made(links: int, headers: int) -> dict[str, object]:
    digests = [hashlib.sha256(b"head %d" % number).digest() for number in range(links)]
    transactions = _transactions(digests)
    starts = [number * headers // links for number in range(links)]
    roots = {start: made.txid for start, (made, _) in zip(starts, transactions, strict=True)}
    rows, previous = [], bytes(32)
    for at in range(headers):
        root, time_s = roots.get(at, bytes(32)), _BEGIN_S + _INTERVAL_S * at
        rows.append(grind_raw(previous=previous, root=root, time_s=time_s))
        previous = double_sha256(rows[-1])
    proofs = [
        AnchorProof(
            transaction=made.raw,
            spent=tuple(spent),
            path=MerklePath(index=0, siblings=()),
            height=_HEIGHT + start,
            headers=tuple(rows[start:stop]),
        )
        for (made, spent), start, stop in zip(
            transactions, starts, [*starts[1:], headers], strict=True
        )
    ]
    opening = SealOpening(network="regtest", outpoint=_coin(0).outpoint, seal_sat=_SEAL_SAT)
    return {
        "opening": opening.to_value(),
        "links": [proof.to_value() for proof in proofs],
        "digests": digests,
    }
