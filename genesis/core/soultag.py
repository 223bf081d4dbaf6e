"""A git tag that names a SOUL.md: the object's bytes, and the one signer that makes it.

The signer is given facts, never bytes: what it signs is always a tag, of a commit somebody names,
that says whose SOUL.md this is. That the commit holds that file is for the caller to check, who has
the repository; `timmy soul tag` does.
"""

import re
from dataclasses import dataclass, field
from typing import Final

from genesis.core import sshsig
from genesis.core.errors import InvalidSoul

_OBJECT: Final = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
"""SHA-1 or SHA-256, whichever the repository uses."""
_NAME: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_-]|[./](?=[A-Za-z0-9_-])){0,99}")
"""A part of what `git check-ref-format` allows, without anything a shell or a path minds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SoulTag:
    """A tag of the commit `commit` (hex). Digests and ids are 32 bytes, `at_s` Unix seconds."""

    commit: str
    name: str
    agent: str
    npub: str
    soul_sha256: bytes
    soul_blake3: bytes
    ledger_id: bytes
    at_s: int

    def __post_init__(self) -> None:
        if _OBJECT.fullmatch(self.commit) is None:
            raise InvalidSoul(f"{self.commit[:80]!r} is no commit id in hex")
        if _NAME.fullmatch(self.name) is None or self.name.endswith(".lock"):
            raise InvalidSoul(
                f"{self.name[:80]!r} is no name for a tag",
                hint="letters, digits, dots, dashes and slashes, for example v1.0-soul",
            )

    def text(self) -> str:
        """The tag object without its signature."""
        tagger = "".join(c for c in self.agent if c not in "<>\n").strip() or "agent"
        return (
            f"object {self.commit}\n"
            "type commit\n"
            f"tag {self.name}\n"
            f"tagger {tagger} <{self.npub}> {self.at_s} +0000\n"
            "\n"
            f"SOUL.md of {self.agent}\n"
            "\n"
            f"soul-sha256: {self.soul_sha256.hex()}\n"
            f"soul-blake3: {self.soul_blake3.hex()}\n"
            f"ledger: {self.ledger_id.hex()}\n"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class TagSigner:
    """Signs soul tags and nothing else. The repr shows no secret."""

    seed: bytes = field(repr=False)

    @property
    def public(self) -> str:
        """The key as OpenSSH writes it."""
        return sshsig.public_key(self.seed)

    def sign(self, tag: SoulTag) -> str:
        """The whole tag object: its text and the SSH signature that git looks for."""
        text = tag.text()
        return text + sshsig.sign(self.seed, sshsig.NAMESPACE_GIT, text.encode())


def allowed_signers(npub: str, public: str) -> str:
    """The line for git's `gpg.ssh.allowedSignersFile` (ssh-keygen(1), ALLOWED SIGNERS)."""
    return f'{npub} namespaces="{sshsig.NAMESPACE_GIT}" {public}\n'
