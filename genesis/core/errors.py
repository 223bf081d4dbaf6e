"""What can go wrong in succession, split by fault.

`InvalidPatch` and `InvalidVerdict` are in bytes somebody gave us, `Constitutional` is a request
this door never carries out, `TreeError` is in the files beneath us. What a judged patch does wrong
is no error: it is a verdict.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final

from ledger.core.errors import TimmyError


class GenesisError(TimmyError):
    """Base of the errors of birth and succession."""


class InvalidTree(GenesisError):
    """Files that cannot be an architecture tree."""


class TreeError(GenesisError):
    """A stored tree is missing, damaged or not what its name says."""


class Reason(StrEnum):
    """Why a patch or a proposal is refused: the word that events and vectors name it by."""

    SIZE = "size"
    """Too many bytes, lines or files."""
    ENCODING = "encoding"
    """Not UTF-8, a line that does not end, CR LF."""
    HIDDEN = "hidden"
    """Signs or markup that a reader would not see."""
    FRONT = "front"
    """The front matter: not TOML, unknown or missing keys, out of bounds."""
    FENCE = "fence"
    """A block that does not close, is indented, or has a mistaken label."""
    HEADER = "header"
    """A file's header, or what stands where one should."""
    PATH = "path"
    """A path that is not plain, or has no place in an architecture."""
    MODE = "mode"
    """Modes, links, submodules."""
    RENAME = "rename"
    BINARY = "binary"
    HUNK = "hunk"
    """A hunk's header, its counts, or its lines."""
    ORDER = "order"
    """Hunks that overlap, go back, or do not follow from one another."""
    CONTEXT = "context"
    """The base does not have these very lines there."""
    EXISTS = "exists"
    MISSING = "missing"
    DUPLICATE = "duplicate"
    """One file is changed twice."""
    NOTHING = "nothing"
    """It changes nothing."""
    PINNED = "pinned"
    """It touches what is not the agent's to change."""
    CLASS = "class"
    """It calls itself of another class than its paths are."""
    BASE = "base"
    """It was made against another architecture."""
    RESULT = "result"
    """What it makes is no architecture."""
    REPEATED = "repeated"
    """The same document is proposed already."""
    CROWDED = "crowded"
    """Too many proposals are open."""


_HINTS: Final[Mapping[Reason, str]] = {
    Reason.SIZE: "propose smaller changes, one after the other",
    Reason.ENCODING: "UTF-8, each line ended by LF alone, the last one too",
    Reason.HIDDEN: "write what a reader sees, and nothing beside it",
    Reason.FRONT: "timmy patch new shows a front matter; docs/spec/proposal.md defines it",
    Reason.FENCE: "```diff or ```file PATH at the beginning of a line, and ``` to end it",
    Reason.HEADER: "what diff -u or git diff --no-renames prints, and nothing around it",
    Reason.PATH: "runtime/agent/, skills/NAME/SKILL.md, skins/NAME.toml, thresholds.toml",
    Reason.MODE: "files are plain text without modes or links",
    Reason.RENAME: "delete the one file and add the other: git diff --no-renames",
    Reason.BINARY: "files are text",
    Reason.HUNK: "let diff make the hunks anew: a hand that edits them miscounts",
    Reason.ORDER: "let diff make the hunks anew: timmy patch diff FOLDER",
    Reason.CONTEXT: "make the diff anew against the adopted architecture: timmy patch new FOLDER",
    Reason.EXISTS: "change the file that is there with a diff",
    Reason.MISSING: "timmy patch new FOLDER writes the files that there are",
    Reason.DUPLICATE: "one diff for each file, with all of its hunks",
    Reason.NOTHING: "a proposal has a ```diff or a ```file block that changes something",
    Reason.PINNED: 'what the operator proposes as class = "constitutional" is signed by people',
    Reason.CLASS: "the class follows from the paths that it touches",
    Reason.BASE: "make the diff anew: timmy patch new FOLDER",
    Reason.RESULT: "docs/spec/proposal.md says what an architecture may hold",
    Reason.REPEATED: "timmy patch list",
    Reason.CROWDED: "withdraw one: timmy patch withdraw EVENT",
}


class PatchError(GenesisError):
    """A patch or proposal that is refused, and where.

    `line` counts from 1 in the text that was given, 0 for the whole of it. `path` is the file it
    speaks of, and `at` the line there, from 1; "" and 0 where there is none.
    """

    def __init__(
        self,
        message: str,
        *,
        reason: Reason,
        line: int = 0,
        path: str = "",
        at: int = 0,
        hint: str | None = None,
    ) -> None:
        told = f"line {line}: {message}" if line else message
        super().__init__(told, hint=hint or _HINTS[reason])
        self.reason = reason
        self.line = line
        self.path = path
        self.at = at


class InvalidPatch(PatchError):
    """Not a patch or proposal this software applies, or it does not fit the architecture."""


class Constitutional(PatchError):
    """A change of what is pinned: people decide it, never this judge."""


class InvalidVerdict(GenesisError):
    """A verdict envelope is malformed, or its signature or digest fails."""


class InvalidApproval(GenesisError):
    """An answer to a proposal is malformed, or does not show whose it is."""


class InvalidSealedWord(GenesisError):
    """A sealed message that is shown in evidence is none, or its keys are of another."""


class BirthError(GenesisError):
    """Base of the errors of birth: keys, genesis, keystore, passphrase, SOUL."""


class InvalidEntropy(BirthError):
    """Entropy inputs from which no key may be made."""


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


class ForkError(GenesisError):
    """A fork of a session cannot be made, or cannot go on."""


class InvalidExport(ForkError):
    """Files that are no export of a session, or not a whole one."""


class StateDiffers(ForkError):
    """Replay gives another state than the parent had: nothing is tried on it."""
