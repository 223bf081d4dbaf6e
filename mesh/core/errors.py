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


class Refused(MeshError):
    """A request that makes sense and is not carried out."""


class UnsafeToMint(Refused):
    """Relays disagree on the id of such an event, so we do not make one."""


class StoreError(MeshError):
    """The files or the machine beneath the mesh."""


class StoreSchema(StoreError):
    """The database was written by another program or another version of this one."""
