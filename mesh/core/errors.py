"""The mesh's errors, split by fault.

`InvalidData` is in what a stranger sent, `Refused` is something we will not do ourselves,
`StoreError` is in the files or the machine beneath us. Anything else is our bug.
"""

from ledger.core.errors import TimmyError


class MeshError(TimmyError):
    """Base of the mesh's errors."""


class InvalidData(MeshError):
    """Bytes or text from outside do not say what they must."""


class InvalidEvent(InvalidData):
    """A Nostr event breaks a rule of NIP-01 or one of our bounds."""


class InvalidSignature(InvalidEvent):
    """An event's id or signature is not that of its contents."""


class InvalidFilter(InvalidData):
    """A subscription filter breaks a rule of NIP-01 or one of our bounds."""


class UnsupportedFilter(InvalidFilter):
    """A filter asks for something this relay does not know: ignoring it would widen the query."""


class InvalidMessage(InvalidData):
    """A frame is not a message of the relay protocol."""


class InvalidIdentifier(InvalidData):
    """A text is not a NIP-19 identifier."""


class InvalidReconciliation(InvalidData):
    """A message of set reconciliation breaks its protocol or one of our bounds."""


class UnsupportedReconciliation(InvalidReconciliation):
    """The other side reconciles by another version of the protocol."""


class InvalidRequest(InvalidData):
    """A request to a witness, or its answer, is not what c2sp.org/tlog-witness says."""


class InvalidIntroduction(InvalidData):
    """A file does not show who a log is, or shows another log."""


class InvalidToken(InvalidData):
    """A text is not a token that an operator gave."""


class InvalidPresence(InvalidData):
    """A member's word about itself is malformed, not its own, or of another time."""


class InvalidGossip(InvalidData):
    """Bytes are no messages of gossip in their one encoding."""


class InvalidManifest(InvalidData):
    """A fleet manifest breaks a rule of docs/spec/mesh.md or one of our bounds."""


class ForgedManifest(InvalidManifest):
    """A signature under a manifest is not that of the key it is said to be."""


class InvalidPayload(InvalidData):
    """A ciphertext of NIP-44 or NIP-04 is malformed, or not made for this pair of keys."""


class UnsupportedVersion(InvalidPayload):
    """A ciphertext of an encryption that this version does not know."""


class InvalidWrap(InvalidData):
    """A gift wrap, or what is in it, breaks a rule of NIP-59 or NIP-17."""


class InvalidEnvelope(InvalidData):
    """A conversation envelope breaks a rule of docs/spec/mesh.md or is not its node's."""


class InvalidPackage(InvalidData):
    """What a peer sent of a log is malformed, or is not what the log's signed head proves."""


class Withheld(InvalidPackage):
    """A peer leaves out the content of an event that no redaction of the log names."""


class Inconsistent(InvalidPackage):
    """A peer's head does not continue the one that is known, as far as it shows: see `note`."""

    def __init__(self, message: str, *, note: bytes) -> None:
        super().__init__(message)
        self.note = note


class InvalidSignedRequest(InvalidData):
    """A signed request (NIP-98) is not one, or is not for this request."""


class Refused(MeshError):
    """A request that makes sense and is not carried out."""


class TooMuchToRead(Refused):
    """A query would look through more than one client may ask for."""


class UnsafeToMint(Refused):
    """Relays disagree on the id of such an event, so we do not make one."""


class ManifestRefused(Refused):
    """A manifest is what it should be, and does not follow the one that is known."""


class ReplayedManifest(ManifestRefused):
    """A manifest that is known already, or older."""


class ManifestFork(ManifestRefused):
    """The operator signed two manifests that exclude each other."""


class ManifestGap(ManifestRefused):
    """Manifests between the known one and this one are missing."""


class MissingQuorum(ManifestRefused):
    """Who decides is changed without a quorum of those who decided before."""


class NotMember(Refused):
    """A node that never was of this fleet."""


class RemovedMember(NotMember):
    """A node that was of this fleet and is no more."""


class TooLong(Refused):
    """Words that do not fit into one sealed message."""


class StoreError(MeshError):
    """The files or the machine beneath the mesh."""


class StoreSchema(StoreError):
    """The database was written by another program or another version of this one."""


class InvalidSubject(InvalidData):
    """A text is not a subject of the bus, or not a pattern of subjects."""


class InvalidNKey(InvalidData):
    """A text is not the NKey it should be."""


class InvalidFrame(InvalidData):
    """Bytes are not a message of one member to another, signed and for this node."""


class InvalidDuty(InvalidData):
    """Bytes are not a signed message about a planned run."""


class BusError(MeshError):
    """The bus did not do what it was asked. What may have happened all the same is in the name."""


class BusDown(BusError):
    """There is no connection: nothing was sent."""


class BusFull(BusError):
    """As much is kept, or under way, as may be: nothing was kept."""


class NobodyThere(BusError):
    """Nobody listens to the subject of a request."""


class Unanswered(BusError):
    """No answer in time: what was asked may have been done, or not."""
