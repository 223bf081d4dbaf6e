"""Labelled texts: which hold a secret, by which rule, and which only look as if they did.

Every secret is made here out of random characters of a fixed seed, and put together at run time: no
key of anybody's, and no file that a scanner of repositories would stop at.
"""

import base64
import hashlib
import json
import random
import string
import uuid
from collections.abc import Iterator

BECH32 = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
BASE58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
ALNUM = string.ascii_letters + string.digits
URL64 = ALNUM + "-_"
STD64 = ALNUM + "+/"
EACH = 20
"""Positive texts of each way of writing."""
MANY = 500
"""Negative texts of each family."""


def secrets(rng: random.Random) -> Iterator[tuple[str, str]]:
    """One secret of each way of writing: (rule, secret)."""

    def some(signs: str, count: int) -> str:
        return "".join(rng.choices(signs, k=count))

    def part(payload: dict) -> str:
        return base64.urlsafe_b64encode(json.dumps(payload).encode()).decode().rstrip("=")

    yield "nostr-key", "nsec" + "1" + some(BECH32, 58)
    yield "nostr-key", ("nsec" + "1" + some(BECH32, 58)).upper()
    yield "nostr-key", "ncrypt" + "sec1" + some(BECH32, 151)
    yield "bitcoin-key", "xp" + "rv" + some(BASE58, 107)
    yield "bitcoin-key", "tp" + "rv" + some(BASE58, 107)
    yield "sk-key", "sk" + "-" + some(ALNUM, 48)
    yield "sk-key", "sk" + "-proj-" + some(URL64, 150)
    yield "sk-key", "sk" + "-ant-api03-" + some(URL64, 93)
    yield "sk-key", "sk" + "-or-v1-" + some("0123456789abcdef", 64)
    yield "sk-key", "sk" + "-" + some("0123456789abcdef", 32)
    yield "github-token", "ghp" + "_" + some(ALNUM, 36)
    yield "github-token", "ghs" + "_" + some(ALNUM, 36)
    yield "github-token", "github" + "_pat_" + some(ALNUM, 22) + "_" + some(ALNUM, 59)
    yield "aws-key", "AK" + "IA" + some(string.ascii_uppercase + "234567", 16)
    yield "aws-key", 'aws_secret_access_key = "' + some(STD64, 40) + '"'
    yield "slack-token", "xox" + "b-" + some(string.digits, 12) + "-" + some(ALNUM, 24)
    yield "slack-token", "xapp" + "-1-A" + some(string.digits, 10) + "-" + some(ALNUM, 64)
    yield "google-key", "AI" + "za" + some(URL64, 34) + some(ALNUM, 1)
    signed = f"{part({'alg': 'HS256', 'typ': 'JWT'})}.{part({'sub': some(ALNUM, 12)})}"
    yield "jwt", f"{signed}.{some(URL64, 43)}"
    for name, size in (("", 48), ("RSA ", 1200), ("EC ", 120), ("OPENSSH ", 400)):
        body = base64.encodebytes(rng.randbytes(size)).decode()
        yield (
            "private-key",
            f"-----BEGIN {name}PRIVATE KEY-----\n{body}-----END {name}PRIVATE KEY-----",
        )
    locked = "Proc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\n"
    body = base64.encodebytes(rng.randbytes(600)).decode()
    yield (
        "private-key",
        f"-----BEGIN RSA PRIVATE KEY-----\n{locked}{body}-----END RSA PRIVATE KEY-----",
    )
    yield "private-key", f"-----BEGIN RSA PRIVATE KEY-----\n{locked}{body}"
    block = f"-----BEGIN PGP PRIVATE KEY BLOCK-----\n\n{body}=aBcD\n"
    yield "private-key", block + "-----END PGP PRIVATE KEY BLOCK-----"


FRAMES = (
    "{}",
    "my key is {}, use it",
    "API_KEY={}\nDEBUG=1",
    "curl -H 'Authorization: Bearer {}' https://example.com/v1",
    "see ({}) above.",
)


def positives() -> list[tuple[str, str, str]]:
    """(rule, secret, text with it)."""
    rng = random.Random(20)
    found = []
    for _ in range(EACH):
        for rule, secret in secrets(rng):
            found.append((rule, secret, rng.choice(FRAMES).format(secret)))
            found.append((rule, secret, json.dumps({"body": f"line\n{secret}\nend"})))
    return found


SENTENCES = (
    "A secret key in bech32 begins with nsec1, a public one with npub1.",
    "nsec1... never goes into a prompt; write nsec1qqqq (shortened) instead.",
    "A PEM file begins with -----BEGIN PRIVATE KEY----- and ends with -----END PRIVATE KEY-----.",
    "-----BEGIN PRIVATE KEY-----\n[key]\n-----END PRIVATE KEY-----",
    "Set OPENAI_API_KEY=sk-... and GITHUB_TOKEN=ghp_xxx before you begin.",
    "the sk-learn-style-estimators-part-2-of-the-tutorial are described below",
    "task-oriented-dialogue-with-2-annotators-and-internationalization",
    "class sk-fading-circle-spinner-with-12-dots and sk-cube-grid-animation-delay-0.2s",
    "risk-adjusted-returns-2024-q3-of-the-european-markets-index-fund",
    "disk-encryption-aes256gcm-hardwareaccelerated2024build",
    "AKIA is how ids of AWS keys begin; ASIA of those that pass. ASIAN markets rose.",
    "aws_secret_access_key = YOUR_SECRET_KEY_HERE",
    "a Slack token looks like xoxb-... or xoxp-your-token-goes-here-please-now",
    "eyJhbGciOiJIUzI1NiJ9 is how a JWT's head looks, and it has two dots.",
    "google keys begin with AIza and have 39 characters",
    "xprv and xpub are the two halves; the private one is xprv9s21ZrQH... (cut)",
    "github_pat_ is the prefix of fine-grained tokens",
    "Ask for sk-SK, the Slovak locale, or sk_SK.UTF-8.",
)


def negatives() -> list[tuple[str, str]]:
    """(family, text)."""
    rng = random.Random(21)

    def some(signs: str, count: int) -> str:
        return "".join(rng.choices(signs, k=count))

    families = {
        "git hash": lambda: hashlib.sha1(rng.randbytes(8)).hexdigest(),
        "hex digest": lambda: hashlib.sha256(rng.randbytes(8)).hexdigest(),
        "sha512": lambda: hashlib.sha512(rng.randbytes(8)).hexdigest(),
        "subresource integrity": lambda: "sha384-" + base64.b64encode(rng.randbytes(48)).decode(),
        "uuid": lambda: str(uuid.UUID(bytes=rng.randbytes(16))),
        "base64 image": lambda: (
            "data:image/png;base64," + base64.b64encode(rng.randbytes(3000)).decode()
        ),
        "base64url": lambda: base64.urlsafe_b64encode(rng.randbytes(600)).decode(),
        "npub": lambda: "npub1" + some(BECH32, 58),
        "note id": lambda: "note1" + some(BECH32, 58),
        "bech32 address": lambda: "bc1q" + some(BECH32, 38),
        "taproot address": lambda: "bc1p" + some(BECH32, 58),
        "base58 address": lambda: "1" + some(BASE58, 33),
        "extended public key": lambda: "xpub" + some(BASE58, 107),
        "content id": lambda: "Qm" + some(BASE58, 44),
        "ssh public key": lambda: (
            "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5" + some(STD64, 48) + " timmy@host"
        ),
        "certificate": lambda: (
            "-----BEGIN CERTIFICATE-----\n"
            + base64.encodebytes(rng.randbytes(900)).decode()
            + "-----END CERTIFICATE-----"
        ),
        "public key": lambda: (
            "-----BEGIN PUBLIC KEY-----\n"
            + base64.encodebytes(rng.randbytes(90)).decode()
            + "-----END PUBLIC KEY-----"
        ),
        "package lock": lambda: f'"integrity": "sha512-{some(STD64, 86)}=="',
        "slug": lambda: "-".join(
            rng.choice(("sk", "task", "mask", "of", "2024", "v2", "owls", "internationalization"))
            for _ in range(9)
        ),
        "shouted": lambda: some(string.ascii_uppercase, 20),
    }
    found = [(name, make()) for name, make in families.items() for _ in range(MANY)]
    return found + [("sentence", text) for text in SENTENCES]
