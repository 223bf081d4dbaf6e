"""The recovery kit: the next and the recovery key, as 24 BIP-39 words each, kept off the node.

The kit is made at birth, shown once, and nothing of it is stored: genesis holds digests only. Both
keys have entropy of their own, so a thief of the whole node can neither hand the identity over nor
begin a new epoch.

Words to key: BIP-39 seed with an empty passphrase, then the first BIP-86 address of the network
(m/86h/0h/0h/0/0, coin type 1h off mainnet). Any wallet that speaks BIP-86 finds the recovery output
with the words alone, without this software.

BIP-39's checksum is eight bits over all words: it says that one is wrong, not which. The kit
therefore prints sixteen more bits per row of six words, and an error names the word or the row.
Not covered: a kit that is lost, or read by somebody else.
"""

import difflib
import hashlib
import re
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Final

from coincurve import PublicKeyXOnly
from embit import bip32, bip39
from embit.wordlists.bip39 import WORDLIST

from genesis.core.errors import InvalidPhrase, KeyMismatch
from genesis.core.keys import CURVE_ORDER, SECRET_BYTES
from ledger.core.errors import InvalidGenesis
from ledger.core.genesis import Genesis, check_name, check_network, key_digest
from ledger.core.hashing import tagged
from ledger.core.keys import Signer

WORDS: Final = 24
ROW_WORDS: Final = 6
KIT_CHARS_MAX: Final = 8192
"""Four times a kit as it is rendered: room for the notes of whoever copied it."""

_TITLE: Final = "TIMMY RECOVERY KIT 1"
_SECTIONS: Final = {"NEXT KEY": "next key", "RECOVERY KEY": "recovery key"}
_FACT: Final = re.compile(r"(agent|network|soul) +(\S.*)")
_ROW: Final = re.compile(r"((?:\d+ \S+ )+)check ([0-9a-f]{4})")


def phrase_from_entropy(entropy: bytes) -> str:
    """Return the 24 words of 32 bytes (BIP-39, English)."""
    assert len(entropy) == SECRET_BYTES
    return str(bip39.mnemonic_from_bytes(entropy))


def _check_word(word: str, number: int, where: str) -> None:
    if word in WORDLIST:
        return
    near = difflib.get_close_matches(word, WORDLIST, n=3, cutoff=0.6)
    raise InvalidPhrase(
        f"{where}, word {number}: {word!r} is not one of the 2048 BIP-39 words",
        hint=f"did you mean {' or '.join(near)}" if near else "look at the kit again",
    )


def parse_phrase(text: str, *, where: str = "phrase") -> str:
    """Return 24 words in their one spelling: lower case, single spaces.

    Raises InvalidPhrase with the number of the word that is unknown, or the number of words.
    """
    words = text.lower().split()
    for number, word in enumerate(words[:WORDS], 1):
        _check_word(word, number, where)
    if len(words) != WORDS:
        raise InvalidPhrase(f"{where}: {len(words)} words, expected {WORDS}")
    phrase = " ".join(words)
    if not bip39.mnemonic_is_valid(phrase):
        raise InvalidPhrase(
            f"{where}: every word of 1 to {WORDS} is known, but their checksum fails",
            hint="one word is another word than on the kit, or two changed places",
        )
    return phrase


def key_from_seed(seed: bytes, network: str) -> Signer:
    """Return the untweaked key of the first BIP-86 address of a 64-byte BIP-39 seed."""
    coin = 0 if network == "mainnet" else 1
    return Signer(bytes(bip32.HDKey.from_seed(seed).derive(f"m/86h/{coin}h/0h/0/0").secret))


def key_from_phrase(phrase: str, network: str) -> Signer:
    """Return the key behind 24 words. Raises InvalidPhrase."""
    return key_from_seed(bip39.mnemonic_to_seed(parse_phrase(phrase)), network)


def output_key(internal: bytes) -> bytes:
    """Return the x-only Taproot output key of an internal key without scripts (BIP-341, BIP-86)."""
    key = PublicKeyXOnly(internal)
    key.tweak_add(tagged("TapTweak", internal))
    return key.format()


def output_signer(internal: Signer) -> Signer:
    """Return the secret side of `output_key` (BIP-341, taproot_tweak_seckey)."""
    secret = int.from_bytes(internal.secret, "big")
    if PublicKeyXOnly.from_secret(internal.secret).parity:
        secret = CURVE_ORDER - secret
    tweak = int.from_bytes(tagged("TapTweak", internal.public), "big")
    return Signer(((secret + tweak) % CURVE_ORDER).to_bytes(SECRET_BYTES, "big"))


@dataclass(frozen=True, slots=True, kw_only=True)
class RecoveryKit:
    """Two phrases and whose they are. The repr hides the phrases."""

    agent: str
    network: str
    soul_sha256: bytes
    next_phrase: str = field(repr=False)
    recovery_phrase: str = field(repr=False)

    def __post_init__(self) -> None:
        try:
            check_name(self.agent)
            check_network(self.network)
        except InvalidGenesis as error:
            raise InvalidPhrase(f"recovery kit: {error}") from error
        for where in ("next", "recovery"):
            phrase = getattr(self, f"{where}_phrase")
            object.__setattr__(self, f"{where}_phrase", parse_phrase(phrase, where=f"{where} key"))
        if self.next_phrase == self.recovery_phrase:
            raise InvalidPhrase("recovery kit: the next and the recovery words are the same")

    @property
    def next_key(self) -> Signer:
        """Signs the handoff; its digest is `next_key_digest` of the genesis."""
        return key_from_phrase(self.next_phrase, self.network)

    @property
    def recovery_key(self) -> Signer:
        """Signs a new epoch; its digest is `recovery_key_digest` of the genesis."""
        return key_from_phrase(self.recovery_phrase, self.network)


def check_kit(
    kit: RecoveryKit, genesis: Genesis, *, announced: Collection[bytes] | None = None
) -> None:
    """Raise KeyMismatch unless this kit was made with this genesis.

    `announced` are the digests of next keys that may be in it, if not the one of genesis: each
    handoff makes a kit with another next key, and the same recovery key.
    """
    recovery = kit.recovery_key.public
    digests = (genesis.next_key_digest,) if announced is None else announced
    found = {
        "network": kit.network == genesis.network,
        "SOUL": kit.soul_sha256 == genesis.soul.sha256,
        "next key": key_digest(kit.next_key.public) in digests,
        "recovery key": key_digest(recovery) == genesis.recovery_key_digest,
        "recovery output": output_key(recovery) == genesis.recovery_output_key,
    }
    for name, same in found.items():
        if not same:
            raise KeyMismatch(
                f"the kit's {name} is not the one the genesis announces",
                hint=f"this kit is of {kit.agent!r} on {kit.network}",
            )


def _row_check(where: str, start: int, words: list[str]) -> str:
    data = f"timmy/kit/v1 {where} {start} {' '.join(words)}"
    return hashlib.sha256(data.encode()).hexdigest()[:4]


def _rows(where: str, phrase: str) -> list[str]:
    words, rows = phrase.split(), []
    for start in range(0, WORDS, ROW_WORDS):
        row = words[start : start + ROW_WORDS]
        cells = "".join(f"{start + i:>2} {word:<9}" for i, word in enumerate(row, 1))
        rows.append(f"{cells}check {_row_check(where, start, row)}")
    return rows


def render_kit(kit: RecoveryKit, *, remark: str | None = None) -> str:
    """Return the text to print or copy by hand. `parse_kit` reads it back, `remark` left out."""
    return "\n".join(
        [
            _TITLE,
            "# Copy this to paper and keep it away from the machine. It is shown once.",
            "# Whoever reads it can take the agent over; without it a lost agent stays lost.",
            *([] if remark is None else [f"# {remark}"]),
            "",
            f"agent   {kit.agent}",
            f"network {kit.network}",
            f"soul    {kit.soul_sha256.hex()}",
            "",
            "NEXT KEY",
            "# signs the handoff to the agent's successor",
            *_rows("next key", kit.next_phrase),
            "",
            "RECOVERY KEY",
            "# signs a new epoch after a loss, and spends the recovery seal",
            *_rows("recovery key", kit.recovery_phrase),
            "",
        ]
    )


def _read_row(line: str, where: str, start: int) -> list[str]:
    match = _ROW.fullmatch(line)
    if match is None:
        raise InvalidPhrase(
            f"{where}, after word {start}: {line!r} is no row of the kit",
            hint="a row is six numbered words and their check, for example: 1 able ... check 3fa1",
        )
    cells = match[1].split()
    numbers, words = cells[::2], cells[1::2]
    for offset, (number, word) in enumerate(zip(numbers, words, strict=True), start + 1):
        if number != str(offset):
            raise InvalidPhrase(f"{where}, word {number}: expected word {offset} here")
        _check_word(word, offset, where)
    if len(words) != ROW_WORDS:
        raise InvalidPhrase(f"{where}: {len(words)} words from word {start + 1}, expected 6")
    check = _row_check(where, start, words)
    if match[2] != check:
        raise InvalidPhrase(
            f"{where}, words {start + 1} to {start + ROW_WORDS}: "
            f"their check is {check}, the kit says {match[2]}",
            hint="one of these words, or the check, was miscopied",
        )
    return words


def parse_kit(text: str) -> RecoveryKit:
    """Read a kit that was typed back; case, blanks, empty lines and # lines are free.

    Raises InvalidPhrase naming the word, or the row of six, that was not copied as shown.
    """
    if len(text) > KIT_CHARS_MAX:
        raise InvalidPhrase(f"{len(text)} characters, a kit has at most {KIT_CHARS_MAX}")
    lines = [line for line in map(str.strip, text.splitlines()) if line and line[0] != "#"]
    if not lines or " ".join(lines[0].upper().split()) != _TITLE:
        raise InvalidPhrase(f"the first line is not {_TITLE!r}")
    facts: dict[str, str] = {}
    words: dict[str, list[str]] = {}
    section = ""
    for line in lines[1:]:
        plain = " ".join(line.lower().split())
        fact = _FACT.fullmatch(line)
        if plain.upper() in _SECTIONS:
            section = _SECTIONS[plain.upper()]
            words[section] = []
        elif fact is not None and not section:
            facts[fact[1]] = fact[2]
        else:
            where = section or "before the first key"
            words.setdefault(section, []).extend(
                _read_row(plain, where, len(words.get(section, [])))
            )
    return _assemble(facts, words)


def _assemble(facts: dict[str, str], words: dict[str, list[str]]) -> RecoveryKit:
    for name in ("agent", "network", "soul"):
        if name not in facts:
            raise InvalidPhrase(f"the kit has no line that begins with {name!r}")
    if re.fullmatch(r"[0-9a-f]{64}", facts["soul"]) is None:
        raise InvalidPhrase("soul is not 64 hexadecimal digits")
    return RecoveryKit(
        agent=facts["agent"],
        network=facts["network"],
        soul_sha256=bytes.fromhex(facts["soul"]),
        next_phrase=" ".join(words.get("next key", [])),
        recovery_phrase=" ".join(words.get("recovery key", [])),
    )
