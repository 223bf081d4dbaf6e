"""SSH signatures and git tags, judged by OpenSSH and git themselves."""

import shutil
import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genesis.core import sshsig
from genesis.core.errors import InvalidSoul
from genesis.core.soultag import SoulTag, TagSigner, allowed_signers

SEED = bytes(range(32))
NPUB = "npub1example"
FACTS = {
    "commit": "ab" * 20,
    "name": "v1.0-soul",
    "agent": "Vector",
    "npub": NPUB,
    "soul_sha256": bytes(32),
    "soul_blake3": bytes(32),
    "ledger_id": bytes(32),
    "at_s": 1_790_000_000,
}


def openssh(folder, message, signature, signers, *, namespace="git"):
    (folder / "sig").write_text(signature)
    (folder / "signers").write_text(signers)
    command = ["ssh-keygen", "-Y", "verify", "-f", folder / "signers", "-I", NPUB, "-n", namespace, "-s", folder / "sig"]  # fmt: skip
    return subprocess.run(command, input=message, capture_output=True, check=False)


def test_openssh_accepts_what_we_sign_and_refuses_the_rest(tmp_path):
    message = b"a message\n"
    signers = allowed_signers(NPUB, sshsig.public_key(SEED))
    good = sshsig.sign(SEED, "git", message)
    assert openssh(tmp_path, message, good, signers).returncode == 0
    assert openssh(tmp_path, message + b".", good, signers).returncode != 0
    assert openssh(tmp_path, message, good, signers, namespace="file").returncode != 0
    other = allowed_signers(NPUB, sshsig.public_key(bytes(32)))
    assert openssh(tmp_path, message, good, other).returncode != 0
    (tmp_path / "key.pub").write_text(sshsig.public_key(SEED) + "\n")
    told = subprocess.run(["ssh-keygen", "-l", "-f", tmp_path / "key.pub"], capture_output=True, text=True, check=True)  # fmt: skip
    assert told.stdout.split()[1] == sshsig.fingerprint(SEED)


@settings(max_examples=8, deadline=None)
@given(seed=st.binary(min_size=32, max_size=32), message=st.binary(max_size=200))
def test_any_seed_and_message(seed, message, tmp_path_factory):
    folder = tmp_path_factory.mktemp("ssh")
    signers = allowed_signers(NPUB, sshsig.public_key(seed))
    assert openssh(folder, message, sshsig.sign(seed, "git", message), signers).returncode == 0


def test_the_ssh_key_is_another_than_the_log_key_and_always_the_same():
    assert sshsig.derive_seed(SEED) == sshsig.derive_seed(SEED) != SEED
    assert sshsig.derive_seed(SEED) != sshsig.derive_seed(bytes(32))
    assert SEED.hex() not in repr(TagSigner(seed=SEED))


@pytest.mark.parametrize(
    "changes",
    [
        *(
            {"commit": bad}
            for bad in ("", "HEAD", "ab" * 19, "AB" * 20, "ab" * 20 + "\n", "ab" * 33)
        ),
        *(
            {"name": bad}
            for bad in ("", "-x", "a b", "a..b", "a/", "a.lock", "a\nb", "x" * 101, "a//b")
        ),
    ],
    ids=repr,
)
def test_facts_that_could_become_another_tag_are_refused(changes):
    with pytest.raises(InvalidSoul):
        SoulTag(**(FACTS | changes))


def test_a_name_cannot_forge_a_line_of_the_tag():
    text = SoulTag(**(FACTS | {"agent": "Eve <eve@x> \n object 12"})).text()
    header = text.split("\n\n")[0].splitlines()
    assert [line.split()[0] for line in header] == ["object", "type", "tag", "tagger"]
    assert header[3].count("<") == header[3].count(">") == 1


@pytest.fixture
def repo(tmp_path):
    folder = tmp_path / "repo"
    folder.mkdir()
    shutil.copy("examples/SOUL.md", folder / "SOUL.md")
    who = ["-c", "user.name=A", "-c", "user.email=a@example.org"]
    for command in (["init", "-q"], ["add", "SOUL.md"], [*who, "commit", "-qm", "soul"]):
        subprocess.run(["git", "-C", folder, *command], check=True)
    return folder


def test_git_verifies_the_tag(repo):
    def git(*arguments, given=None):
        return subprocess.run(["git", "-C", repo, *arguments], input=given, capture_output=True, text=True, check=False)  # fmt: skip

    commit = git("rev-parse", "HEAD").stdout.strip()
    signer = TagSigner(seed=SEED)
    signed = signer.sign(SoulTag(**(FACTS | {"commit": commit})))
    made = git("hash-object", "-t", "tag", "-w", "--stdin", given=signed)
    git("update-ref", "refs/tags/v1.0-soul", made.stdout.strip())
    (repo / "signers").write_text(allowed_signers(NPUB, signer.public))
    trusting = ("-c", f"gpg.ssh.allowedSignersFile={repo / 'signers'}")
    found = git(*trusting, "verify-tag", "v1.0-soul")
    assert found.returncode == 0, found.stderr
    assert f'Good "git" signature for {NPUB}' in found.stderr
    forged = git(
        "hash-object", "-t", "tag", "-w", "--stdin", given=signed.replace("Vector", "Victor")
    )
    git("update-ref", "refs/tags/forged", forged.stdout.strip())
    assert git(*trusting, "verify-tag", "forged").returncode != 0
