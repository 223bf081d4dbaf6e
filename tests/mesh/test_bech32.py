"""BIP-173 and BIP-350 on the decoder behind NIP-19: every valid string, every way one is not."""

import re
from pathlib import Path

import pytest

from mesh.core import nip19
from mesh.core.errors import InvalidIdentifier

VECTORS = Path(__file__).parents[1] / "vectors/bitcoin"
BIP173 = (VECTORS / "bip-0173.vectors.mediawiki").read_text()
BIP350 = (VECTORS / "bip-0350.vectors.mediawiki").read_text()


def section(text: str, begin: str, end: str) -> list[tuple[str, str, str, str]]:
    """(byte before, string, byte after, reason) of each line of a list."""
    part = text[text.index(begin) :]
    part = part[: part.index(end)]
    lines = r"^\* (?:0x(\w\w) \+ )?<tt>(.*?)</tt>(?: \+ 0x(\w\w))?(?:: (.*))?"
    return re.findall(lines, part, re.MULTILINE)


def whole(before: str, text: str, after: str) -> str:
    return "".join(
        [chr(int(before, 16)) if before else "", text, chr(int(after, 16)) if after else ""]
    )


VALID = section(BIP173, "The following strings are valid Bech32:", "The following string are not")
INVALID = section(BIP173, "The following string are not", "The following list gives valid")
BECH32M = section(BIP350, "The following strings are valid Bech32m:", "No string can be")
LONGER = "overall max length exceeded"
"""NIP-19 lifts BIP-173's limit of 90 characters: naddr and nprofile are longer."""
PREFIX = "HRP character out of range"
"""Prefixes of NIP-19 are npub and its kin: an odd one is refused by name, not by its alphabet."""


def test_all_lists_were_found():
    assert (len(VALID), len(INVALID), len(BECH32M)) == (7, 12, 7)


@pytest.mark.parametrize("case", VALID, ids=lambda case: case[1][:20])
def test_valid_bech32(case):
    text = whole(*case[:3])
    prefix, data = nip19._from_bech32(text)
    assert prefix == text.lower().rpartition("1")[0]
    assert len(data) == (len(text.rpartition("1")[2]) - 6) * 5 // 8


@pytest.mark.parametrize("case", INVALID, ids=lambda case: f"{case[3]} {case[1][:12]}")
def test_invalid_bech32(case):
    text = whole(*case[:3])
    with pytest.raises(InvalidIdentifier):
        nip19.decode(text)
    if case[3] not in {LONGER, PREFIX}:
        with pytest.raises(InvalidIdentifier, match="not bech32"):
            nip19._from_bech32(text)


@pytest.mark.parametrize("case", BECH32M, ids=lambda case: case[1][:20])
def test_bech32m_is_not_bech32(case):
    with pytest.raises(InvalidIdentifier, match="wrong checksum"):
        nip19._from_bech32(whole(*case[:3]))
