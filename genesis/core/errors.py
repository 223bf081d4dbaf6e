"""What can go wrong in succession, split by fault.

`InvalidPatch` and `InvalidVerdict` are in bytes somebody gave us, `Constitutional` is a request
this door never carries out, `TreeError` is in the files beneath us. What a judged patch does wrong
is no error: it is a verdict.
"""

from ledger.core.errors import TimmyError


class GenesisError(TimmyError):
    """Base of the errors of birth and succession."""


class InvalidTree(GenesisError):
    """Files that cannot be an architecture tree."""


class TreeError(GenesisError):
    """A stored tree is missing, damaged or not what its name says."""


class InvalidPatch(GenesisError):
    """Not a unified diff this software applies, or it does not fit the tree."""


class Constitutional(GenesisError):
    """A change outside the architecture tree: people decide it, never this judge."""


class InvalidVerdict(GenesisError):
    """A verdict envelope is malformed, or its signature or digest fails."""


class BirthError(GenesisError):
    """Base of the errors of birth: keys, genesis, keystore, passphrase, SOUL."""


class InvalidEntropy(BirthError):
    """Entropy inputs from which no key may be made."""


class InvalidGenesis(BirthError):
    """A genesis payload is malformed or contradicts itself."""


class UnprovenKey(InvalidGenesis):
    """A key named in a genesis did not sign it. `role` says which."""

    def __init__(self, role: str) -> None:
        super().__init__(f"genesis: the {role} key's signature does not verify")
        self.role = role


class KeyMismatch(BirthError):
    """Secret keys, or a recovery kit, belong to another genesis."""


class InvalidPhrase(BirthError):
    """Recovery words or a recovery kit were not copied as they were shown."""


class InvalidNcryptsec(BirthError):
    """Not a NIP-49 encrypted key that this software opens."""


class WrongPassphrase(BirthError):
    """The passphrase does not open the key. Nothing was changed."""


class InvalidSoul(BirthError):
    """Bytes that cannot be a SOUL.md."""


class SoulChanged(BirthError):
    """SOUL.md is not the one this agent was born with."""


class PrivateFileError(BirthError):
    """A file that holds a secret is missing, in the way, damaged, or open to others."""


class PrivateFileMissing(PrivateFileError):
    """No such file."""


class PrivateFileExists(PrivateFileError):
    """A file is there already, and it is never overwritten."""


class PrivateFileExposed(PrivateFileError):
    """Somebody else owns the file or may read it."""


class InvalidKeystore(PrivateFileError):
    """A keystore file does not say what it must."""


class HalfBirth(BirthError):
    """A home holds a keystore, and its ledger has no genesis event."""


class PassphraseError(BirthError):
    """A passphrase source was given and cannot be used."""


class PassphraseMissing(PassphraseError):
    """No source gave a passphrase."""
