"""Every error attest raises on purpose, split by fault.

`InvalidProof`: bytes somebody gave us do not show what they claim. `Refused`: a request we will
not carry out (now). `NodeError`: the Bitcoin node, or the way to it. `StateError`: our own files.
Anything else is our bug.
"""

from ledger.core.errors import TimmyError


class AttestError(TimmyError):
    """Base of attest's errors."""


# ---- their data --------------------------------------------------------------------------------


class InvalidProof(AttestError):
    """Base: the evidence does not hold. `link` is the failing link's index, where one is known."""

    link: int | None = None


class InvalidRecord(InvalidProof):
    """A decoded map is not the opening, proof or record it should be."""


class InvalidKey(InvalidProof):
    """32 bytes that are not the key they should be."""


class InvalidTransaction(InvalidProof):
    """Bytes that are not one whole, canonically serialised, possible transaction."""


class SixtyFourByteTransaction(InvalidTransaction):
    """64 bytes without witness: cannot be told from an inner node of a Merkle tree (BIP-54)."""


class NoCommitment(InvalidProof):
    """vout[0] is not the 38-byte commitment output."""


class TwoCommitments(InvalidProof):
    """A second output carries the magic: which of the two counts would be a matter of opinion."""


class WrongKind(InvalidProof):
    """A commitment of another type than this place in the chain allows."""


class WrongDigest(InvalidProof):
    """The transaction commits to something else than the preimage given."""


class SealNotSpent(InvalidProof):
    """vin[0] does not spend the seal (or, in the opening, the outpoint it names)."""


class WrongSeal(InvalidProof):
    """vout[1] (or the recovery seal at vout[2]) does not pay the key and amount it must."""


class WrongWitness(InvalidProof):
    """The seal was not spent by the key path with one 64-byte SIGHASH_DEFAULT signature."""


class BadSignature(InvalidProof):
    """The signature does not verify under the seal's output key."""


class BadPath(InvalidProof):
    """A Merkle path that is malformed or leads to another root."""


class DuplicatedSibling(BadPath):
    """A right-hand node equal to its left sibling: two positions for one leaf (CVE-2012-2459)."""


class InvalidHeader(InvalidProof):
    """Not an 80-byte block header, or impossible fields in one."""


class BadWork(InvalidHeader):
    """The block hash does not meet its target, or the target is easier than the network allows."""


class BadDifficulty(InvalidHeader):
    """The target contradicts the retarget rule."""


class BadBlockTime(InvalidHeader):
    """Not later than the median of the eleven blocks before it."""


class BrokenHeaders(InvalidProof):
    """A header does not name the one before it."""


class ConflictingHeaders(InvalidProof):
    """Two links show different blocks, or different targets, where there can be only one."""


class OutOfOrder(InvalidProof):
    """A link stands in an earlier block than the link it spends."""


class WrongNetwork(InvalidProof):
    """The evidence is of another network than the one asked about."""


class MissingLink(InvalidProof):
    """As many links as digests are needed, and at least the opening."""


class InvalidSlot(InvalidProof):
    """Not a proof of what stands at one ledger's place in a tree of ledgers."""


class WrongSlot(InvalidProof):
    """A slot that leads to another root, or holds another digest, than it should."""


class MissingSlot(InvalidProof):
    """A link of an aggregator without this ledger's slot and without the proof of its absence."""


class InvalidSubmission(InvalidProof):
    """A head handed to an aggregator that does not show what it must."""


class InvalidTimestamp(InvalidProof):
    """Base: bytes that are not an OpenTimestamps proof as this version reads them."""


class NotATimestamp(InvalidTimestamp):
    """Not the magic, major version or digest type of a .ots file."""


class TimestampTruncated(InvalidTimestamp):
    """The bytes end in the middle of something."""


class TimestampTooLarge(InvalidTimestamp):
    """A message, argument, payload, number, depth or file beyond the format's bounds."""


class UnknownOperation(InvalidTimestamp):
    """An operation tag that the format does not define: what follows it cannot be read."""


class InvalidAttestation(InvalidTimestamp):
    """A known attestation whose payload is not what it must be."""


class TimestampNotCanonical(InvalidTimestamp):
    """Bytes that would be written otherwise: long numbers, one branch twice, trailing bytes."""


class UnsupportedOperation(InvalidTimestamp):
    """A known operation whose hash function is not here: nothing beyond it can be computed."""


# ---- requests we refuse ------------------------------------------------------------------------


class Refused(AttestError):
    """Base: a request that makes sense and is not carried out."""


class MainnetRefused(Refused):
    """Real money moves only when the configuration says so in as many words."""


class NotFunded(Refused):
    """The funding address does not hold what the transaction costs."""


class FeeTooHigh(Refused):
    """The fee is above the cap."""


class SealNotOpen(Refused):
    """There is no seal yet to anchor with."""


class SealAlreadyOpen(Refused):
    """The seal was opened before: a second opening would be a second identity."""


class NothingPending(Refused):
    """Every signed transaction is in a block already."""


class AnchorPending(Refused):
    """The transaction is not in a block yet."""


class NoBackend(Refused):
    """No Bitcoin node is configured; what was asked for waits."""


class SigningRefused(Refused):
    """A signer was given a transaction that is not its business."""


class UnknownLedger(Refused):
    """An aggregator does not know this ledger's key yet."""


class HeadNotNewer(Refused):
    """An aggregator has a newer head of this ledger, or one of its size with another root."""


class HeadDoesNotContinue(Refused):
    """No proof that a head continues the one an aggregator has of this ledger."""


class TooManyLedgers(Refused):
    """An aggregator takes no more ledgers."""


class TooManySubmissions(Refused):
    """An aggregator takes no more heads of this ledger for now."""


class NoSlot(Refused):
    """An aggregator has nothing in a block yet of what was asked for."""


# ---- the node ----------------------------------------------------------------------------------


class NodeError(AttestError):
    """Base: the Bitcoin node, or the way to it."""


class NodeUnreachable(NodeError):
    """Nobody answers in time at the configured address."""


class NodeUnauthorised(NodeError):
    """The node does not accept our credentials, or they cannot be read safely."""


class NodeWarmingUp(NodeError):
    """The node is starting (RPC error -28), or catching up with the chain; ask again later."""


class NodeOnWrongNetwork(NodeError):
    """The node follows another chain than the configured one."""


class InvalidAnswer(NodeError):
    """The node's answer is not what its documentation promises."""


class RpcError(NodeError):
    """The node answered a call with an error. `code` is Bitcoin Core's (src/rpc/protocol.h)."""

    def __init__(self, method: str, code: int, message: str) -> None:
        super().__init__(f"{method}: {message} (code {code})")
        self.method = method
        self.code = code


class SealLost(NodeError):
    """The node knows a spend of the seal that is none of ours: the seal key may be stolen."""


# ---- calendars ---------------------------------------------------------------------------------


class CalendarError(AttestError):
    """Base: an OpenTimestamps calendar, or the way to it."""


class CalendarNotAllowed(CalendarError):
    """An address that is not ours to ask: neither configured nor among those that are followed."""


class CalendarUnreachable(CalendarError):
    """Nobody answers in time at the calendar's address."""


class CalendarRefused(CalendarError):
    """The calendar answered, and did not do what it was asked. `status` is HTTP's."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


class InvalidCalendarAnswer(CalendarError):
    """The calendar's answer is not a timestamp of what it was given."""


# ---- aggregators -------------------------------------------------------------------------------


class AggregatorError(AttestError):
    """Base: the aggregator that heads are handed in to, or the way to it."""


class AggregatorUnreachable(AggregatorError):
    """Nobody answers in time at the aggregator's address."""


class AggregatorRefused(AggregatorError):
    """The aggregator answered, and did not do what it was asked."""


# ---- our files ---------------------------------------------------------------------------------


class StateError(AttestError):
    """Base: the anchorer's own files."""


class StateDamaged(StateError):
    """A stored record cannot be read back."""


class StateLocked(StateError):
    """Another process holds the anchorer's state."""
