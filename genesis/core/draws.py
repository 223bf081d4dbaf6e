"""Consensus-critical: the numbers and words of hidden cases, drawn from a seed.

Every judge that is given the same seed must make the same cases, whatever its Python version, so
nothing of `random` is used: the n-th block is SHA-256 over the tag, the key and n. A word is built
of syllables, so that it is no word of any language, cannot be guessed, and is found by a search.
"""

from typing import Final

from ledger.core.hashing import tagged

KEY_TAG: Final = "timmy/case-key/v1"
_BLOCK_TAG: Final = "timmy/case-block/v1"
_ONSETS: Final = "bdfgklmnprstvz"
_VOWELS: Final = "aeiou"
_SYLLABLES_TOTAL: Final = len(_ONSETS) * len(_VOWELS)
_SYLLABLES: Final = 4
"""(14 * 5) ** 4: one in 24 million, by chance; each case draws several."""


def case_key(seed: bytes, patch_sha256: bytes) -> bytes:
    """Return the key of one patch's cases: a seed that was revealed helps with no other patch."""
    return tagged(KEY_TAG, seed + patch_sha256)


class Draws:
    """A stream of draws under a 32-byte key and a name."""

    def __init__(self, key: bytes, name: str) -> None:
        self._key = tagged(_BLOCK_TAG, key + name.encode())
        self._block = 0

    def octets(self, length: int) -> bytes:
        """Return `length` bytes, at most 32."""
        self._block += 1
        return tagged(_BLOCK_TAG, self._key + self._block.to_bytes(8, "big"))[:length]

    def below(self, bound: int) -> int:
        """Return a number from 0 to `bound` - 1; the bias of at most bound / 2**128 is nothing."""
        return int.from_bytes(self.octets(16), "big") % bound

    def word(self) -> str:
        """Return a word of eight letters."""
        number, word = self.below(_SYLLABLES_TOTAL**_SYLLABLES), ""
        for _ in range(_SYLLABLES):
            number, syllable = divmod(number, _SYLLABLES_TOTAL)
            word += _ONSETS[syllable % len(_ONSETS)] + _VOWELS[syllable // len(_ONSETS)]
        return word

    def words(self, count: int) -> str:
        """Return `count` words with spaces between."""
        return " ".join(self.word() for _ in range(count))
